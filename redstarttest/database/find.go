package database

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// FindPostgres gives the folder that holds postgres and initdb: that of the ones on
// PATH (links followed), else of the newest version that Debian or Red Hat packaged.
func FindPostgres() (dir string, err error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && filepath.IsAbs(path) && hasInit(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	newest := -1.0
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, bin := range found {
			name := filepath.Base(filepath.Dir(bin))
			if _, version, cut := cutLast(name, '-'); cut {
				name = version
			}
			version, err := strconv.ParseFloat(name, 64) // "15", and "9.6" long ago
			if err == nil && version > newest && hasInit(bin) {
				newest, dir = version, bin
			}
		}
	}
	if dir == "" {
		return "", errors.New("redstart/redstarttest/database: no postgres and initdb on PATH or in /usr/lib/postgresql")
	}
	return dir, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func hasInit(bin string) bool {
	_, server := exec.LookPath(filepath.Join(bin, "postgres"))
	_, maker := exec.LookPath(filepath.Join(bin, "initdb"))
	return server == nil && maker == nil
}

// FindMariaDB gives the paths of mariadbd, which may be off a user's PATH, and of
// mariadb-install-db.
func FindMariaDB() (server, install string, err error) {
	if server, err = lookup("mariadbd"); err == nil {
		install, err = lookup("mariadb-install-db")
	}
	if err != nil {
		return "", "", fmt.Errorf("redstart/redstarttest/database: no MariaDB: %w", err)
	}
	return server, install, nil
}

// lookup looks on PATH, then in /usr/sbin and /usr/bin.
func lookup(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if path, found := exec.LookPath(filepath.Join(dir, name)); found == nil {
			return path, nil
		}
	}
	return "", err
}

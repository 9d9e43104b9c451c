package redstarttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Launcher is a server program of this machine.
type Launcher struct {
	Name string // "PATH", or the folder's name below $REDSTART_TEST_SERVERS
	Path string // absolute
}

// Find gives the absolute path of the redis-server on PATH.
func Find() (path string, err error) {
	path, err = exec.LookPath("redis-server")
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("redstart/redstarttest: no redis-server: %w", err)
	}
	return path, nil
}

// Launchers lists every server to test on: the redis-server on PATH first, then
// each */redis-server below the folder $REDSTART_TEST_SERVERS, in the order of the
// folders' names. None: the list is empty.
func Launchers() []Launcher {
	var all []Launcher
	if path, err := Find(); err == nil {
		all = append(all, Launcher{"PATH", path})
	}
	dir := os.Getenv("REDSTART_TEST_SERVERS")
	if dir == "" {
		return all
	}
	folders, _ := os.ReadDir(dir) // sorted; a folder that cannot be read has none
	for _, folder := range folders {
		path, err := filepath.Abs(filepath.Join(dir, folder.Name(), "redis-server"))
		if err != nil {
			continue
		}
		if path, err = exec.LookPath(path); err == nil { // is an executable file
			all = append(all, Launcher{folder.Name(), path})
		}
	}
	return all
}

package redstarttest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Cut takes n bytes off the end of the newest append-only file, all of it when it
// is shorter: what a power failure takes that came before the data was on disk. The
// server must be down (after Kill), and started with AOF; the next Restart reads
// what is left, and drops a command that was cut in half.
func (s *Server) Cut(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errServerClosed
	}
	if s.proc.Running() {
		return fmt.Errorf("redstart/redstarttest: cut the append-only file of a running server at %s: call Kill first", s.Addr())
	}
	if n < 0 {
		return fmt.Errorf("redstart/redstarttest: cut %d bytes: want 0 or more", n)
	}
	path, err := newestAOF(s.dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("redstart/redstarttest: %w", err)
	}
	if err := os.Truncate(path, max(info.Size()-n, 0)); err != nil {
		return fmt.Errorf("redstart/redstarttest: %w", err)
	}
	return nil
}

// newestAOF finds the file that the server appended to last. Since Redis 7 it is
// the last one that a manifest in a folder of its own lists; before, the file in
// the server's folder.
func newestAOF(dir string) (string, error) {
	manifests, err := filepath.Glob(filepath.Join(dir, "*", "*.manifest"))
	if err != nil {
		return "", fmt.Errorf("redstart/redstarttest: %w", err)
	}
	for _, manifest := range manifests {
		f, err := os.Open(manifest)
		if err != nil {
			return "", fmt.Errorf("redstart/redstarttest: %w", err)
		}
		newest := ""
		// "file NAME seq N type b|h|i", in the order of replay; h: replaced, history.
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if w := strings.Fields(lines.Text()); len(w) >= 6 && w[0] == "file" && w[4] == "type" && w[5] != "h" {
				newest = w[1]
			}
		}
		f.Close()
		if newest != "" {
			return filepath.Join(filepath.Dir(manifest), newest), nil
		}
	}
	old := filepath.Join(dir, "appendonly.aof")
	if _, err := os.Stat(old); err != nil {
		return "", fmt.Errorf("redstart/redstarttest: no append-only file in %s: start the server with AOF", dir)
	}
	return old, nil
}

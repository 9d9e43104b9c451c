package redstarttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

const (
	startWithin = 15 * time.Second // for a start, where the context has no deadline
	endWithin   = 5 * time.Second  // for SIGTERM, before SIGKILL
	portTries   = 10               // when another took the port between the choice and the start
	highestPort = 55535            // a cluster's bus takes the port 10,000 above
	longestPath = 100              // of a Unix socket, in bytes (the kernel takes 103 to 107)
)

var errServerClosed = errors.New("redstart/redstarttest: the server has been closed")

// ServerConfig of a private server. The zero value is a server on a free port that
// keeps nothing on disk.
type ServerConfig struct {
	// Path of the program; "": the redis-server on PATH.
	Path string
	// AOF is the append-only file's fsync policy: "" off, "everysec" or "always".
	AOF string
	// Args are put behind the program's own arguments, so they win:
	// []string{"--maxmemory", "64mb"}. A password given with --requirepass is
	// used by Do and is in the URL.
	Args []string
	// Conf is the text of a configuration file, which the program reads before its
	// arguments and may rewrite, as Sentinel and CONFIG REWRITE do. The file stands in
	// the server's folder, so Restart reads what was rewritten. "": no file.
	Conf string
	// Dir is the server's working folder, which must exist and is kept; "": a
	// temporary one, removed by Close.
	Dir string
	// Unix makes it listen on a Unix socket alone instead of a port.
	Unix bool
}

// Server is a private server. Its methods are safe for concurrent use; Kill,
// Freeze, Continue, Restart, Cut and Close wait for one another.
type Server struct {
	cfg      ServerConfig
	path     string
	version  string
	dir      string
	network  string // "tcp" or "unix"
	port     int
	socket   string
	password string
	remove   []string // folders of ours

	mu     sync.Mutex
	proc   *process.Process // the last one started
	frozen bool
	closed bool
	logged *os.File
}

// StartServer starts a server and returns once it has answered PING, within ctx's
// deadline (15 s without one); ctx plays no part afterwards. When it does not come
// up, the error has the server's log in it, and nothing is left behind. Close it
// when done.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	s := &Server{cfg: cfg, path: cfg.Path, dir: cfg.Dir, network: "tcp"}
	switch cfg.AOF {
	case "", "everysec", "always":
	default:
		return nil, fmt.Errorf("redstart/redstarttest: AOF %q: want \"\", \"everysec\" or \"always\"", cfg.AOF)
	}
	if s.path == "" {
		path, err := Find()
		if err != nil {
			return nil, err
		}
		s.path = path
	}
	ctx, cancel := startDeadline(ctx)
	defer cancel()
	version, err := exec.CommandContext(ctx, s.path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest: %s --version: %w", s.path, err)
	}
	s.version, _, _ = strings.Cut(strings.TrimSpace(string(version)), "\n")
	for i, arg := range cfg.Args {
		if arg == "--requirepass" && i+1 < len(cfg.Args) {
			s.password = cfg.Args[i+1]
		}
	}
	if err := s.prepare(); err != nil {
		_ = s.discard()
		return nil, err
	}
	if err := s.firstStart(ctx); err != nil {
		_ = s.discard()
		return nil, err
	}
	return s, nil
}

func startDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startWithin)
}

func (s *Server) confFile() string { return filepath.Join(s.dir, "server.conf") }

// prepare makes the server's folders, its files and the name of its socket.
func (s *Server) prepare() error {
	folder := func() (string, error) {
		dir, err := os.MkdirTemp("", "redstart-")
		if err != nil {
			return "", fmt.Errorf("redstart/redstarttest: %w", err)
		}
		s.remove = append(s.remove, dir)
		return dir, nil
	}
	var err error
	if s.dir == "" {
		s.dir, err = folder()
	} else if s.dir, err = filepath.Abs(s.dir); err != nil {
		err = fmt.Errorf("redstart/redstarttest: %w", err)
	}
	if err != nil {
		return err
	}
	if s.cfg.Unix {
		s.network, s.socket = "unix", filepath.Join(s.dir, "s.sock")
		if len(s.socket) > longestPath {
			dir, err := folder()
			if err != nil {
				return err
			}
			if s.socket = filepath.Join(dir, "s.sock"); len(s.socket) > longestPath {
				return fmt.Errorf("redstart/redstarttest: %s is too long for a Unix socket: set TMPDIR to a shorter path", s.socket)
			}
		}
	}
	if s.cfg.Conf != "" {
		if err := os.WriteFile(s.confFile(), []byte(s.cfg.Conf), 0o600); err != nil {
			return fmt.Errorf("redstart/redstarttest: %w", err)
		}
	}
	s.logged, err = os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("redstart/redstarttest: %w", err)
	}
	return nil
}

// firstStart starts the server on a port that is free, choosing again when another
// program took it meanwhile.
func (s *Server) firstStart(ctx context.Context) error {
	for try := 1; ; try++ {
		if !s.cfg.Unix {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.start(ctx)
		if err == nil || try == portTries || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// freePort asks the kernel for a port of 127.0.0.1 that nobody has.
func freePort() (int, error) {
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
		if err != nil {
			return 0, fmt.Errorf("redstart/redstarttest: no free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port <= highestPort {
			return port, nil
		}
	}
	return 0, fmt.Errorf("redstart/redstarttest: no free port up to %d", highestPort)
}

func (s *Server) args() []string {
	var args []string
	if s.cfg.Conf != "" {
		args = append(args, s.confFile()) // the program wants it first
	}
	args = append(args,
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--daemonize", "no", "--logfile", "", "--save", "",
	)
	if s.cfg.Unix {
		args = append(args, "--unixsocket", s.socket)
	}
	if s.cfg.AOF != "" {
		args = append(args, "--appendonly", "yes", "--appendfsync", s.cfg.AOF)
	} else {
		args = append(args, "--appendonly", "no")
	}
	return append(args, s.cfg.Args...)
}

// URL for redstart.Open: "redis://127.0.0.1:port" or "unix:///path".
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.address()}
	if s.cfg.Unix {
		u = url.URL{Scheme: "unix", Path: s.socket}
	}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Addr is "127.0.0.1:port", or the path of the Unix socket.
func (s *Server) Addr() string { return s.address() }

func (s *Server) address() string {
	if s.cfg.Unix {
		return s.socket
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Dir is the server's working folder.
func (s *Server) Dir() string { return s.dir }

// Version is the first line that the program prints for --version.
func (s *Server) Version() string { return s.version }

// Pid is the id of the process that runs now or ran last.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Pid()
}

// Log is what the server has logged since StartServer, over all restarts; "" after
// Close of a server in a temporary folder.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return ""
	}
	return string(text)
}

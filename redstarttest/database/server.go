package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

const (
	startWithin = 30 * time.Second // for a start, where the context has no deadline
	endWithin   = 10 * time.Second // for the gentle end, before SIGKILL
	portTries   = 10               // when another took the port between the choice and the start
	longestPath = 100              // of a Unix socket, in bytes (the kernel takes 103 to 107)
)

var (
	errServerClosed = errors.New("redstart/redstarttest/database: the server has been closed")
	errPortTaken    = errors.New("another program has the port")
)

// Config of a private database. The zero value is one on a free port that forces
// every commit to the disk, as a service's would.
type Config struct {
	// Unix makes it listen on a Unix socket alone, instead of a port as well.
	Unix bool
	// NoSync leaves it to the kernel when something reaches the disk: quicker, and a
	// killed server has all the same, but a rate of writes that was measured so says
	// nothing.
	NoSync bool
	// Args are put behind the server's own arguments, so they win:
	// []string{"-c", "max_connections=20"}, []string{"--max-connections=20"}.
	Args []string
}

// engine is what PostgreSQL and MariaDB do differently.
type engine interface {
	users() []string                             // who runs it where this program is root's
	program() string                             // the server's path
	gentle() os.Signal                           // ends it without waiting for clients
	portTaken() string                           // what its log says then
	socketName() string                          // of a server with Config.Unix
	create(ctx context.Context, s *Server) error // makes the data folder
	args(s *Server) []string
	ready(ctx context.Context, s *Server) bool
	dsn(s *Server) string
}

// Server is a private database. Its methods are safe for concurrent use; Kill,
// Freeze, Continue, Restart and Close wait for one another.
type Server struct {
	engine engine
	cfg    Config
	dir    string // holds the data, the log and the socket
	socket string
	port   int
	owner  *process.Owner // nil: this program's

	mu     sync.Mutex
	proc   *process.Process // the last one started
	frozen bool
	closed bool
	logged *os.File
}

// StartPostgres makes a database and starts its server, and returns once it takes
// connections, within ctx's deadline (30 s without one); ctx plays no part
// afterwards. When it does not come up, the error has the server's log in it, and
// nothing is left behind. Close it when done.
func StartPostgres(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, newPostgres)
}

// StartMariaDB is StartPostgres for MariaDB.
func StartMariaDB(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, newMariaDB)
}

func start(ctx context.Context, cfg Config, find func() (engine, error)) (*Server, error) {
	e, err := find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := startDeadline(ctx)
	defer cancel()
	s := &Server{engine: e, cfg: cfg}
	if err := s.prepare(); err != nil {
		_ = s.discard()
		return nil, err
	}
	if err := e.create(ctx, s); err != nil {
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

// prepare makes the folder, gives it to whoever runs the server, and opens the log.
func (s *Server) prepare() error {
	wrap := func(err error) error { return fmt.Errorf("redstart/redstarttest/database: %w", err) }
	var err error
	if s.owner, err = serverUser(s.engine.users()); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "redstart-"); err != nil {
		return wrap(err)
	}
	if s.socket = filepath.Join(s.dir, s.engine.socketName()); len(s.socket) > longestPath {
		return fmt.Errorf("redstart/redstarttest/database: %s is too long for a Unix socket: set TMPDIR to a shorter path", s.socket)
	}
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.UID), int(s.owner.GID)); err != nil {
			return wrap(err)
		}
	}
	s.logged, err = os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return wrap(err)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch starts a program as the server's user. MariaDB's are scripts in part, which
// look for others on a PATH that this program's may lack.
func (s *Server) launch(path string, args []string) (*process.Process, error) {
	env := append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/usr/bin:/sbin:/bin")
	p, err := process.Start(process.Program{Path: path, Args: args, Env: env, Dir: s.dir, Log: s.logged, Owner: s.owner})
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest/database: start %s: %w", path, err)
	}
	return p, nil
}

// run runs a program that makes something and ends.
func (s *Server) run(ctx context.Context, path string, args ...string) error {
	p, err := s.launch(path, args)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_ = p.KillAll()
		return fmt.Errorf("redstart/redstarttest/database: %s does not end in time (%w):\n%s", path, ctx.Err(), s.Log())
	}
	if !p.Succeeded() {
		return fmt.Errorf("redstart/redstarttest/database: %s: %w\n%s", path, p.Err(), s.Log())
	}
	return nil
}

// firstStart starts the server on a port that is free, choosing again when another
// program took it meanwhile.
func (s *Server) firstStart(ctx context.Context) error {
	for try := 1; ; try++ {
		if !s.cfg.Unix {
			l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
			if err != nil {
				return fmt.Errorf("redstart/redstarttest/database: no free port: %w", err)
			}
			s.port = l.Addr().(*net.TCPAddr).Port
			l.Close()
		}
		err := s.start(ctx)
		if err == nil || try == portTries || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// DSN is the data source's name, for a user who may do everything in an empty
// database: for PostgreSQL the URL that pgx and others take, for MariaDB the form
// of go-sql-driver/mysql, to which "?parseTime=true" and the like can be added.
func (s *Server) DSN() string { return s.engine.dsn(s) }

// Addr is "127.0.0.1:port", or the path of the Unix socket.
func (s *Server) Addr() string { return s.address() }

func (s *Server) address() string {
	if s.cfg.Unix {
		return s.socket
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Dir is the server's folder.
func (s *Server) Dir() string { return s.dir }

// Pid is the id of the server's process that runs now or ran last.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Pid()
}

// Log is what the server has logged since it was made, over all restarts; "" after
// Close.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return ""
	}
	return string(text)
}

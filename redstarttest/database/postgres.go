package database

import (
	"bufio"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

// postgres is how PostgreSQL is made, started and asked.
type postgres struct{ bin string }

func newPostgres() (engine, error) {
	bin, err := FindPostgres()
	return &postgres{bin}, err
}

func (*postgres) users() []string    { return []string{"postgres", "nobody"} }
func (*postgres) gentle() os.Signal  { return process.Interrupt } // SIGTERM waits for the clients to go
func (p *postgres) program() string  { return filepath.Join(p.bin, "postgres") }
func (*postgres) portTaken() string  { return "could not create any TCP/IP sockets" }
func (*postgres) socketName() string { return ".s.PGSQL." + strconv.Itoa(socketPort) }

// socketPort names the socket of a server that listens on nothing else.
const socketPort = 5432

func (p *postgres) create(ctx context.Context, s *Server) error {
	return s.run(ctx, filepath.Join(p.bin, "initdb"),
		"-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
}

func (p *postgres) args(s *Server) []string {
	set := []string{
		"unix_socket_directories=" + s.dir,
		"dynamic_shared_memory_type=mmap", // in the folder, so a kill leaves none behind
		"port=" + strconv.Itoa(s.pgPort()),
		"log_line_prefix=%m [%p] ",
	}
	if s.cfg.Unix {
		set = append(set, "listen_addresses=")
	} else {
		set = append(set, "listen_addresses=127.0.0.1")
	}
	if s.cfg.NoSync {
		set = append(set, "fsync=off", "full_page_writes=off")
	}
	args := []string{"-D", s.data()}
	for _, one := range set {
		args = append(args, "-c", one)
	}
	return args
}

// pgPort is the port that a server listens on, or that its socket is named after.
func (s *Server) pgPort() int {
	if s.cfg.Unix {
		return socketPort
	}
	return s.port
}

// ready reads the file in which the server tells pg_ctl the same: its process's id
// in the first line, its state in the eighth.
func (p *postgres) ready(_ context.Context, s *Server) bool {
	f, err := os.Open(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	defer f.Close()
	var lines []string
	for text := bufio.NewScanner(f); text.Scan(); {
		lines = append(lines, strings.TrimSpace(text.Text()))
	}
	return len(lines) >= 8 && lines[0] == strconv.Itoa(s.proc.Pid()) && lines[7] == "ready"
}

func (p *postgres) dsn(s *Server) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: s.address(), Path: "/postgres"}
	query := url.Values{"sslmode": {"disable"}}
	if s.cfg.Unix {
		u.Host = ""
		query.Set("host", s.dir)
		query.Set("port", strconv.Itoa(socketPort))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

package database

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

// mariadb is how MariaDB is made, started and asked.
type mariadb struct{ server, install string }

func newMariaDB() (engine, error) {
	server, install, err := FindMariaDB()
	return &mariadb{server, install}, err
}

func (*mariadb) users() []string    { return []string{"mysql", "nobody"} }
func (*mariadb) gentle() os.Signal  { return process.Terminate }
func (m *mariadb) program() string  { return m.server }
func (*mariadb) portTaken() string  { return "Bind on TCP/IP port" }
func (*mariadb) socketName() string { return "s.sock" }

func (*mariadb) pidFile(s *Server) string { return filepath.Join(s.dir, "pid") }

func (m *mariadb) create(ctx context.Context, s *Server) error {
	// What is made is not worth forcing to the disk; the server does so for all that follows.
	err := s.run(ctx, m.install, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
		"--skip-name-resolve", "--innodb-log-file-size=32M", "--innodb-flush-method=nosync")
	if err != nil {
		return err
	}
	// It gives the empty database an encoding of old; without this file it has the server's.
	return os.Remove(filepath.Join(s.data(), "test", "db.opt"))
}

func (m *mariadb) args(s *Server) []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.socket, "--pid-file=" + m.pidFile(s), "--tmpdir=" + s.dir,
		"--innodb-log-file-size=32M", "--skip-name-resolve", "--skip-log-bin",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
	}
	if s.cfg.Unix {
		args = append(args, "--skip-networking")
	} else {
		args = append(args, "--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.port))
	}
	if s.cfg.NoSync {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}
	return args
}

// ready asks for the server's greeting. Its id stands in a file when it is about to
// listen; the socket is in a folder that no other server knows.
func (m *mariadb) ready(ctx context.Context, s *Server) bool {
	id, err := os.ReadFile(m.pidFile(s))
	if err != nil || strings.TrimSpace(string(id)) != strconv.Itoa(s.proc.Pid()) {
		return false
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// Four bytes of framing, then the protocol's version: 10, or 255 for a refusal.
	head := make([]byte, 5)
	n, err := conn.Read(head)
	return err == nil && n == len(head) && head[4] == 10
}

// dsn in the form of go-sql-driver/mysql.
func (m *mariadb) dsn(s *Server) string {
	if s.cfg.Unix {
		return "root@unix(" + s.socket + ")/test"
	}
	return "root@tcp(" + s.address() + ")/test"
}

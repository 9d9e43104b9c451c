package embedded

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// sections of INFO in the order of a real server.
var sections = []string{"server", "clients", "memory", "persistence", "stats", "replication", "cluster"}

// info answers INFO [section ...]. A section that is not there is left to the
// engine, which refuses it. A field whose value is not known is absent.
func (s *Server) info(c *server.Peer, args []string) bool {
	want := sections
	if len(args) > 0 {
		want = nil
		for _, a := range args {
			switch a = strings.ToLower(a); a {
			case "all", "default", "everything":
				want = append(want, sections...)
			default:
				want = append(want, a)
			}
		}
	}
	var b strings.Builder
	seen := map[string]bool{}
	for _, name := range want {
		if seen[name] {
			continue
		}
		seen[name] = true
		text, ok := s.section(name)
		if !ok {
			if len(args) == 1 {
				return false
			}
			c.WriteError(fmt.Sprintf("ERR section (%s) is not supported", name))
			return true
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(text)
	}
	c.WriteBulk(b.String())
	return true
}

func (s *Server) section(name string) (string, bool) {
	fields := []string{"# " + strings.ToUpper(name[:min(1, len(name))]) + name[min(1, len(name)):]}
	add := func(name string, value any) { fields = append(fields, fmt.Sprintf("%s:%v", name, value)) }
	switch name {
	case "server":
		up := time.Since(s.started)
		add("redis_version", compatible)
		add("server_name", Name)
		add("engine", engine)
		add("redis_mode", "standalone")
		add("os", runtime.GOOS+" "+runtime.GOARCH)
		add("arch_bits", 32<<(^uint(0)>>63))
		add("process_id", os.Getpid())
		add("run_id", s.runID)
		add("tcp_port", s.port)
		add("uptime_in_seconds", int64(up/time.Second))
		add("uptime_in_days", int64(up/(24*time.Hour)))
	case "clients":
		add("connected_clients", s.srv.ClientsLen())
	case "memory":
		add("maxmemory", 0)
		add("maxmemory_policy", "noeviction")
	case "persistence":
		add("loading", 0)
		add("async_loading", 0)
		add("rdb_bgsave_in_progress", 0)
		add("aof_enabled", 0)
		add("aof_rewrite_in_progress", 0)
	case "stats":
		add("total_connections_received", s.srv.TotalConnections())
		add("total_commands_processed", s.srv.TotalCommands())
		add("rejected_connections", 0)
		add("evicted_keys", 0)
	case "replication":
		add("role", "master")
		add("connected_slaves", 0)
		add("master_failover_state", "no-failover")
		add("master_repl_offset", 0)
		add("repl_backlog_active", 0)
	case "cluster":
		add("cluster_enabled", 0)
	default:
		return "", false
	}
	return strings.Join(fields, "\r\n") + "\r\n", true
}

// settings are the parameters that CONFIG GET knows: those whose value here
// means what it means on a real server.
var settings = [][2]string{
	{"maxmemory", "0"},
	{"maxmemory-policy", "noeviction"},
	{"appendonly", "no"},
	{"save", ""},
	{"notify-keyspace-events", ""},
}

// config answers CONFIG GET pattern ...
func (s *Server) config(c *server.Peer, cmd string, args []string) {
	if len(args) == 0 {
		c.WriteError("ERR wrong number of arguments for 'config' command")
		return
	}
	if !strings.EqualFold(args[0], "GET") {
		c.WriteError(fmt.Sprintf("ERR unknown subcommand '%s'. The embedded server has CONFIG GET only.", args[0]))
		return
	}
	if len(args) == 1 {
		c.WriteError("ERR wrong number of arguments for 'config|get' command")
		return
	}
	var found [][2]string
	for _, kv := range settings {
		for _, pattern := range args[1:] {
			// No parameter has a slash, so path.Match is the server's glob.
			if ok, _ := path.Match(strings.ToLower(pattern), kv[0]); ok {
				found = append(found, kv)
				break
			}
		}
	}
	c.Block(func(w *server.Writer) {
		w.WriteMapLen(len(found))
		for _, kv := range found {
			w.WriteBulk(kv[0])
			w.WriteBulk(kv[1])
		}
	})
}

// role answers ROLE: a primary at offset 0 without replicas.
func (s *Server) role(c *server.Peer, cmd string, args []string) {
	if len(args) != 0 {
		c.WriteError("ERR wrong number of arguments for 'role' command")
		return
	}
	c.Block(func(w *server.Writer) {
		w.WriteLen(3)
		w.WriteBulk("master")
		w.WriteInt(0)
		w.WriteLen(0)
	})
}

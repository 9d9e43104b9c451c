package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/faults/guarantees"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func TestMain(m *testing.M) {
	harness.Play(map[string]harness.Role{
		"member": member, "refined": refinedMember, "writer": writerRole, "copier": copier, "many": manyMember, "holder": holderRole,
		"spender": spender, "clerk": clerkRole, "flusher": flusherRole, "sql": sqlRole,
	})
	goleak.VerifyTestMain(m, // the inner client closes connections of a changed cluster five seconds later
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// launchers gives the servers that a row runs on: in the short form only those
// rows run on all that say so.
func launchers(t *testing.T, form harness.Form, everywhere bool) []redstarttest.Launcher {
	t.Helper()
	all := redstarttest.Launchers()
	if len(all) == 0 {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where servers are required
	}
	if form == harness.Short && !everywhere {
		return all[:1]
	}
	return all
}

// start gives a server, and its name and version for people.
func start(t *testing.T, l redstarttest.Launcher, cfg redstarttest.ServerConfig) (*redstarttest.Server, string) {
	t.Helper()
	cfg.Path = l.Path
	s := redstarttest.Run(t, cfg)
	// "Redis server v=7.0.15 sha=…", "Valkey server v=9.1.2 …"
	words := strings.Fields(s.Version())
	name := s.Version()
	if len(words) > 2 {
		name = words[0] + " " + strings.TrimPrefix(words[2], "v=")
	}
	t.Logf("server: %s", s.Version())
	return s, name
}

// newProxy gives a proxy before a server that is closed with the test.
func newProxy(t *testing.T, s *redstarttest.Server) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// keep writes a promise's row, unless the test has failed.
func keep(t *testing.T, form harness.Form, id string, servers []string, format string, args ...any) {
	t.Helper()
	figure := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", id, figure)
	path := os.Getenv("REDSTART_GUARANTEES")
	if path == "" || t.Failed() {
		return
	}
	row := guarantees.Row{
		ID:   id,
		Test: "faults." + t.Name(),
		Figure: fmt.Sprintf("%s; %s, %s form; %s", figure, time.Now().Format(time.DateOnly), form,
			strings.Join(servers, ", ")),
	}
	if err := guarantees.Update(path, row); err != nil {
		t.Error(err)
	}
}

package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// siege is a storm over spenders, each behind a proxy of its own.
type siege struct {
	*storm

	spenders []spenderArg
	dir      string
}

// besiege starts processes of a recipe on a server.
func besiege(t *testing.T, l redstarttest.Launcher, seed uint64, processes int, arg spenderArg) (*siege, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{AOF: "always"})
	s := &siege{dir: t.TempDir(), storm: &storm{
		t: t, rng: harness.Rand(seed, "siege", 0), lease: 100 * time.Millisecond, server: server,
	}}
	arg.Seed, arg.History = seed, s.dir
	s.args = []memberArg{{Recipe: arg.Recipe, History: s.dir}}
	for p := range processes {
		way := newProxy(t, server)
		s.proxies = append(s.proxies, way)
		arg.Process, arg.URL = p, way.URL()
		s.join(arg)
	}
	return s, name
}

// join adds a process; every other one has its clock an hour ahead, and does
// not remember denials.
func (s *siege) join(arg spenderArg) {
	s.t.Helper()
	if arg.Process%2 == 1 {
		arg.Skew, arg.Denials = time.Hour, -1
	}
	s.spenders = append(s.spenders, arg)
	s.members = append(s.members, harness.Start(s.t, "spender", arg))
}

func (s *siege) killSpender() {
	i := s.pick()
	s.members[i].Kill()
	s.kills++
	s.spenders[i].Life++
	s.members[i] = harness.Start(s.t, "spender", s.spenders[i])
}

// loseReply swallows a decision that was made, and cuts the connection.
func (s *siege) loseReply() {
	rule := s.proxies[s.pick()].AddRule(proxy.Rule{
		Match: proxy.Named("EVALSHA"), Nth: 1 + s.rng.IntN(3), Action: proxy.SwallowReply(proxy.CutConnection),
	})
	s.strike(rule)
	rule.Remove()
	s.lost += rule.Hits()
}

// everything lists the faults. A naive recipe gets the gentle ones.
func (s *siege) everything() []func() {
	if s.args[0].Recipe != redstarts {
		return []func(){s.delays, s.reset}
	}
	return []func(){s.lateFills, s.delays, s.loseReply, s.reset, s.flushScripts, s.killSpender, s.freezeMember, s.killServer}
}

// halt ends the traffic, fails the test when any fault or answer is missing,
// and gives what was spent by those who live, and the history of all.
func (s *siege) halt() (sum spent, events []history.Event) {
	s.t.Helper()
	for i, m := range s.members {
		var n spent
		if err := m.Call(s.t.Context(), "stop", 0, &n); err != nil {
			s.t.Errorf("process %d: %v", i, err)
		}
		sum = spent{sum.Granted + n.Granted, sum.Denied + n.Denied, sum.Unanswered + n.Unanswered, sum.Failed + n.Failed}
		m.Close()
	}
	events, err := history.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.args[0].Recipe != redstarts {
		return sum, events
	}
	if sum.Failed > 0 {
		s.t.Errorf("%d calls failed; want a decision by policy", sum.Failed)
	}
	for what, n := range map[string]int{
		"units granted": int(sum.Granted), "denials": int(sum.Denied),
	} {
		if n == 0 {
			s.t.Errorf("%s: none; the run proves nothing", what)
		}
	}
	return sum, events
}

// stricken fails the test for each fault that did not take place.
func (s *siege) stricken(sum spent) {
	s.t.Helper()
	for what, n := range map[string]int{
		"processes killed": s.kills, "processes frozen": s.freezes, "servers restarted": s.restarts, "scripts flushed": s.flushes,
		"replies lost": s.lost, "commands held back": s.late, "connections reset": int(s.resets()), "calls without an answer": int(sum.Unanswered),
	} {
		if n == 0 {
			s.t.Errorf("%s: none; the run proves nothing", what)
		}
	}
}

func (s *siege) String() string {
	return fmt.Sprintf("%d processes killed, %d frozen, %d server kills (AOF always), %d connections reset, %d replies lost, %d commands held back, %d SCRIPT FLUSH",
		s.kills, s.freezes, s.restarts, s.resets(), s.lost, s.late, s.flushes)
}

// move takes a tag's slot to other primaries of a cluster, one key at a time
// under the traffic, and has them forget their scripts.
func (s *siege) move(cl *topology.Cluster, tag string, moves int) {
	s.t.Helper()
	c := openHere(s.t, cl.URL(), redstart.Config{})
	slot, err := c.Do(s.t.Context(), c.B().ClusterKeyslot().Key(tag).Build()).AsInt64()
	if err != nil {
		s.t.Fatal(err)
	}
	for range moves {
		s.pause(100, 300)
		from, err := cl.PrimaryOf(s.t.Context(), int(slot))
		if err != nil {
			s.t.Fatal(err)
		}
		to := cl.Nodes()[s.rng.IntN(len(cl.Nodes()))]
		for to == from {
			to = cl.Nodes()[s.rng.IntN(len(cl.Nodes()))]
		}
		m, err := cl.BeginMigration(s.t.Context(), int(slot), to)
		if err != nil {
			s.t.Fatal(err)
		}
		for moved := 1; moved > 0; {
			s.pause(5, 30) // traffic in the middle of the move
			if moved, err = m.MoveKeys(s.t.Context(), 1); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := m.End(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		for _, n := range cl.Nodes() {
			if _, err := n.Do(s.t.Context(), "SCRIPT", "FLUSH"); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// first fails the test with the first of what is wrong.
func first(t *testing.T, wrong []string) {
	t.Helper()
	for i, w := range wrong {
		if i < 5 {
			t.Error(w)
		}
	}
}

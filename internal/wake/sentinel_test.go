package wake

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// Under Sentinel the session is on the primary, and after a failover on the
// next one; nobody sleeps longer than the poll.
func TestSentinel(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{DownAfter: 2 * time.Second}) // a busy machine is no failover
	clients, writer := []*redstart.Client{member(t, s.URL()), member(t, s.URL())}, open(t, s.URL())
	tells := func() {
		t.Helper()
		primary, err := s.Primary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			w := Of(c)
			connected(t, w)
			_, session := w.sessionFor("k")
			addr, err := session.conn.Do(t.Context(), session.conn.B().ClientInfo().Build()).ToString()
			if err != nil || !slices.Contains(strings.Fields(addr), "laddr="+primary.Addr()) {
				t.Errorf("the session is at %q, %v; the primary at %s", addr, err, primary.Addr())
			}
			set(t, writer, "0")
			done := sleep(t.Context(), t, w, "0")
			set(t, writer, "1")
			if err := <-done; err != nil {
				t.Errorf("Wait = %v", err)
			}
		}
	}
	tells()
	old, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	most := late(t, clients, "k", "2", func() time.Time {
		if err := old.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.WaitPromoted(t.Context(), old.Announced()); err != nil {
			t.Fatal(err)
		}
		write(t, writer, "k", "2")
		return time.Now()
	})
	t.Logf("after a failover, seen at most %v after a client that only looks", most)
	redstarttest.Eventually(t, 20*time.Second, "the next primary", func() bool {
		p, err := s.Primary(t.Context())
		return err == nil && p != old
	})
	tells()
}

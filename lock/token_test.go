package lock

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// Tokens grow, whatever happens to the server and its keys in between.
func TestTokensGrow(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		l := locks(t, c, Config{})
		last := int64(0)
		next := func(what string) {
			t.Helper()
			lease := acquire(t, l, "t")
			if lease.Token() <= last || lease.Token() >= 1<<53 {
				t.Errorf("%s: token %d after %d", what, lease.Token(), last)
			}
			last = lease.Token()
			release(t, lease)
		}
		next("at first")
		next("then")
		command(t, s, "SCRIPT", "FLUSH")
		next("SCRIPT FLUSH")
		command(t, s, "FLUSHALL")
		next("FLUSHALL")
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		next("a restart")
		// The clock was set back: as if the counter were an hour ahead of it.
		k, _ := l.template.Key("t")
		last = time.Now().Add(time.Hour).UnixMicro()
		command(t, s, "SETRANGE", k, "0", fmt.Sprint(last))
		next("a clock that was set back")
		if last > time.Now().Add(time.Hour+time.Minute).UnixMicro() {
			t.Errorf("token %d is not the next", last)
		}
		lease, err := l.TryAcquireShared(t.Context(), "t")
		if err != nil || lease.Token() <= last {
			t.Fatal(lease, err)
		}
		release(t, lease)
	})
}

// What is not a lock is left alone.
func TestForeignKey(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		l := locks(t, c, Config{})
		if err := c.Do(t.Context(), c.B().Set().Key("lock:{x}").Value("held by hand").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var e *redstart.Error
		if _, err := l.TryAcquire(t.Context(), "x"); !errors.As(err, &e) || !strings.Contains(err.Error(), "not a lock") || e.Outcome != redstart.NotApplied {
			t.Errorf("TryAcquire: %v", err)
		}
		if v, err := c.Do(t.Context(), c.B().Get().Key("lock:{x}").Build()).ToString(); err != nil || v != "held by hand" {
			t.Errorf("%q, %v", v, err)
		}
	})
}

// A grant that came by message is counted from before the server gave it,
// however long the message was on its way.
func TestNotice(t *testing.T) {
	now := time.Now()
	const us = int64(time.Second / time.Microsecond)
	lasts := time.Second
	for name, x := range map[string]struct {
		known  moment
		n      notice
		since  time.Time
		usable bool
	}{
		"prompt":                     {moment{now.Add(-time.Second), 10 * us}, notice{1, 11 * us, 12 * us, now}, now, true},
		"late":                       {moment{now.Add(-time.Second), 10 * us}, notice{1, 10*us + 200_000, 11*us + 200_000, now}, now.Add(-800 * time.Millisecond), false},
		"the clock was set forward":  {moment{now.Add(-time.Second), 10 * us}, notice{1, 3600 * us, 3601 * us, now}, now, true},
		"the clock was set back":     {moment{now.Add(-time.Second), 10 * us}, notice{1, 1 * us, 2 * us, now}, now.Add(-10 * time.Second), false},
		"no token":                   {moment{now, 10 * us}, notice{0, 10 * us, 11 * us, now}, now, false},
		"of a lease that ended soon": {moment{now.Add(-time.Second), 10 * us}, notice{1, 10 * us, 11 * us, now}, now.Add(-time.Second), false},
	} {
		g, ok := x.n.grant(x.known)
		if ok != x.usable || math.Abs(float64(g.since.Sub(x.since))) > float64(time.Millisecond) || g.lasts != lasts {
			t.Errorf("%s: since %v (want %v), lasts %v, usable %v", name, g.since.Sub(now), x.since.Sub(now), g.lasts, ok)
		}
	}
}

func TestParse(t *testing.T) {
	owner, n, ok := parse("xabc.1 5 6 7")
	if !ok || owner != "xabc.1" || n.token != 5 || n.now != 6 || n.ends != 7 {
		t.Error(owner, n, ok)
	}
	for _, bad := range []string{"", "x", "x 1 2", "x 1 2 3 4", "x 1 2 y", "x 1  3"} {
		if _, _, ok := parse(bad); ok {
			t.Errorf("%q was taken for a message", bad)
		}
	}
}

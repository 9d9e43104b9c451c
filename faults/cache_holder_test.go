package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/internal/wake"
	"github.com/redstart-go/redstart/redstarttest"
)

// What C3's processes agree on.
const (
	c3Lease       = time.Second
	c3LoadTimeout = 500 * time.Millisecond
	c3ErrorTTL    = 200 * time.Millisecond
	c3Lock        = 5 * time.Second // of lock and retry, which has 30
	c3Callers     = 8
	c3Processes   = 4
	c3Prompt      = 50 * time.Millisecond // what "nothing" may cost
)

// c3 is the worst of each figure over all servers.
type c3 struct{ panics, kills, freezes, hangs, lock time.Duration }

// TestC3HolderDies: the process that loads panics, is killed, is frozen past
// its lease, hangs, or its load fails, while others wait for it.
func TestC3HolderDies(t *testing.T) {
	form := harness.Run(t)
	harness.Seed(t)
	var servers []string
	var worst c3
	naiveErrors := 0
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			expiry := bareExpiry(t, server, c3Lease)
			worst.lock = max(worst.lock, lockKill(t, server))
			for round := range harness.Choose(form, 1, 2) {
				key := func(what string) string { return fmt.Sprint(what, round) }
				worst.panics = max(worst.panics, holderPanics(t, server, key))
				worst.kills = max(worst.kills, holderKilled(t, server, key("kill")))
				worst.freezes = max(worst.freezes, holderFrozen(t, server, key("freeze")))
				worst.hangs = max(worst.hangs, holderHangs(t, server, key("hang")))
				errorShared(t, server, redstarts, key("error"), 1)
			}
			naiveErrors = errorShared(t, server, cacheAside, "error", 0)

			// What wakes a waiter at the end of a lease is a poll.
			bound := c3Lease + wake.PollBoundTracked
			harness.Bound{What: "panic", Figure: worst.panics, Bound: c3Prompt, Control: wake.PollBoundTracked, Twin: c3Lease}.Judge(t)
			harness.Bound{What: "SIGKILL", Figure: worst.kills, Bound: bound, Control: expiry, Twin: worst.lock}.Judge(t)
			harness.Bound{What: "SIGSTOP", Figure: worst.freezes, Bound: bound, Control: expiry, Twin: worst.lock}.Judge(t)
			harness.Bound{What: "hang", Figure: worst.hangs, Bound: c3LoadTimeout + c3Prompt, Control: c3LoadTimeout}.Judge(t)
		})
	}
	keep(t, form, "C3", servers, "the last of %d waiters in %d processes returns %s after the holder's panic or Goexit, %s after its SIGKILL and %s after its SIGSTOP with a lease of %s "+
		"(lock and retry with EX 5 in place of 30: %s), %s after the start of a load that hangs with LoadTimeout %s; a load's error is shared by %d callers in %d processes with 1 load (GET/SETEX: %d)",
		(c3Processes-1)*c3Callers, c3Processes-1, harness.Short3(worst.panics), harness.Short3(worst.kills), harness.Short3(worst.freezes), c3Lease,
		harness.Short3(worst.lock), harness.Short3(worst.hangs), c3LoadTimeout, c3Processes*c3Callers, c3Processes, naiveErrors)
}

func c3Fleet(t *testing.T, server *redstarttest.Server, recipe string) *fleet {
	t.Helper()
	return newFleet(t, c3Processes, memberArg{
		Recipe: recipe, URL: server.URL(), TTL: time.Minute, Lease: c3Lease, LoadTimeout: time.Minute, ErrorTTL: c3ErrorTTL, Lock: c3Lock,
	})
}

// bareExpiry is the control of a lease's end: how long a key with that time to
// live stands, as a poll sees it.
func bareExpiry(t *testing.T, server *redstarttest.Server, ttl time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	if _, err := server.Do(t.Context(), "SET", "bare", "", "PX", fmt.Sprint(ttl.Milliseconds())); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, time.Minute, "the key expires", func() bool {
		v, err := server.Do(t.Context(), "GET", "bare")
		return v == nil && err == nil
	})
	return time.Since(begin)
}

// holderPanics: the waiters of other processes learn of it at once.
func holderPanics(t *testing.T, server *redstarttest.Server, key func(string) string) (worst time.Duration) {
	t.Helper()
	f := c3Fleet(t, server, redstarts)
	for what, act := range map[string]harness.Answer{"panic": {Panic: true}, "goexit": {Goexit: true}} {
		key := key(what)
		strike := f.hold(key)
		holder, waiters := f.holderAndWaiters(key, c3Callers)
		begin := time.Now()
		strike <- act
		took, results := f.collect(begin, append(waiters, holder))
		worst = max(worst, took)
		if good, failed := sum(results, 1); good != 0 || failed != (c3Processes-1)*c3Callers+1 {
			t.Errorf("%s: %d callers got a value, %d an error; want an error for all", what, good, failed)
		}
		if n := f.source.Loads(key); n != 1 {
			t.Errorf("%s: %d loads, want 1", what, n)
		}
		// The source is well again: nothing stands in the way for longer than ErrorTTL.
		redstarttest.Eventually(t, c3ErrorTTL+time.Minute, "a load after the "+what, func() bool {
			_, results := f.collect(begin, []<-chan *getResult{f.get(f.children[1], getArg{Key: key, Callers: 1, Within: time.Minute})})
			good, _ := sum(results, 1)
			return good == 1
		})
	}
	return worst
}

// holderKilled: another process loads when the lease is over.
func holderKilled(t *testing.T, server *redstarttest.Server, key string) time.Duration {
	t.Helper()
	f := c3Fleet(t, server, redstarts)
	f.hold(key)
	holder, waiters := f.holderAndWaiters(key, c3Callers)
	begin := time.Now()
	f.children[0].Kill()
	took, results := f.collect(begin, waiters)
	if good, _ := sum(results, 1); good != (c3Processes-1)*c3Callers {
		t.Errorf("killed holder: %v; want version 1 for all", results)
	}
	if <-holder != nil {
		t.Error("the killed holder has answered")
	}
	if n := f.source.Loads(key); n != 2 {
		t.Errorf("killed holder: %d loads, want 2", n)
	}
	return took
}

// holderFrozen: another process loads when the lease is over, and the holder's
// fill, when it wakes up, is refused.
func holderFrozen(t *testing.T, server *redstarttest.Server, key string) time.Duration {
	t.Helper()
	f := c3Fleet(t, server, redstarts)
	strike := f.hold(key)
	holder, waiters := f.holderAndWaiters(key, c3Callers)
	version := f.source.Commit(key) // its invalidation is the end of the lease
	begin := time.Now()
	f.children[0].Freeze()
	took, results := f.collect(begin, waiters)
	if good, _ := sum(results, version); good != (c3Processes-1)*c3Callers {
		t.Errorf("frozen holder: %v; want version %d for all", results, version)
	}
	if n := f.source.Loads(key); n != 2 {
		t.Errorf("frozen holder: %d loads, want 2", n)
	}
	strike <- harness.Answer{}
	f.children[0].Continue()
	if <-holder == nil {
		t.Error("the holder is gone")
	}
	if s := f.stats(f.children[0]); s.Refused != 1 {
		t.Errorf("the holder's fill was not refused: %+v", s)
	}
	for i, child := range f.children {
		if got := <-f.get(child, getArg{Key: key, Callers: 1, Within: time.Minute}); got == nil || got.Versions[version] != 1 {
			t.Errorf("process %d reads %+v after the holder woke up, want version %d", i, got, version)
		}
	}
	return took
}

// holderHangs: the load is given up, and all who waited are told.
func holderHangs(t *testing.T, server *redstarttest.Server, key string) time.Duration {
	t.Helper()
	f := newFleet(t, c3Processes, memberArg{
		Recipe: redstarts, URL: server.URL(), TTL: time.Minute, Lease: c3Lease, LoadTimeout: c3LoadTimeout, ErrorTTL: time.Minute,
	})
	f.hold(key) <- harness.Answer{Hang: true}
	begin := time.Now()
	holder, waiters := f.holderAndWaiters(key, c3Callers)
	took, results := f.collect(begin, append(waiters, holder))
	if good, failed := sum(results, 1); good != 0 || failed != (c3Processes-1)*c3Callers+1 {
		t.Errorf("hanging load: %d callers got a value, %d an error; want an error for all", good, failed)
	}
	if n := f.source.Loads(key); n != 1 {
		t.Errorf("hanging load: %d loads, want 1", n)
	}
	return took
}

// errorShared has every process ask at once for a row whose load fails, and
// gives the number of loads, which must be want, or for 0 more than one.
func errorShared(t *testing.T, server *redstarttest.Server, recipe, key string, want int) int {
	t.Helper()
	f := c3Fleet(t, server, recipe)
	f.source.Behave(func(ctx context.Context, _ harness.Ask, _ harness.Answer) harness.Answer {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
		return harness.Answer{Err: "the source is down"}
	})
	failed, told := 0, 0
	for _, got := range getEverywhere(t, f.children, getArg{Key: key, Callers: c3Callers, Within: time.Minute}) {
		for text, n := range got.Errors {
			failed += n
			if strings.Contains(text, "the source is down") {
				told += n
			}
		}
	}
	loads := f.source.Loads(key)
	if all := c3Processes * c3Callers; failed != all || told == 0 {
		t.Errorf("%s: %d of %d callers got an error, %d of them the source's own", recipe, failed, all, told)
	}
	if want > 0 && loads != want || want == 0 && loads < 2 {
		t.Errorf("%s: %d loads for an error, want %d (0: several)", recipe, loads, want)
	}
	return loads
}

// lockKill is how long lock and retry waits for a killed holder.
func lockKill(t *testing.T, server *redstarttest.Server) time.Duration {
	t.Helper()
	f := c3Fleet(t, server, lockRetry)
	f.hold("lock")
	_, waiters := f.holderAndWaiters("lock", c3Callers)
	begin := time.Now()
	f.children[0].Kill()
	took, results := f.collect(begin, waiters)
	if good, _ := sum(results, 1); good != (c3Processes-1)*c3Callers {
		t.Errorf("%s: %v; want version 1 for all", lockRetry, results)
	}
	return took
}

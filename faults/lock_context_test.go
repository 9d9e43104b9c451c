package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/lock"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

const (
	m3Ways    = 4
	m3Latency = 800 * time.Millisecond
	m3Lease   = 4 * time.Second
)

// ending is how a context ended beside its lease. Times are the machine's, by
// which the server goes too, taken before the context was looked at: whoever was
// alive then was so at that time or later.
type ending struct {
	err  time.Time // the last time when Err was nil
	done time.Time // the last time when Done was open
	till time.Time // the end of the lease at the server
}

// watch looks at a context until it has ended.
func watch(ctx context.Context) (e ending) {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return e
		default:
			e.done = now
		}
		now = time.Now()
		if ctx.Err() == nil {
			e.err = now
		}
		rest(ctx, time.Millisecond/2)
	}
}

// strikes are what cuts holders off from the server, for longer than leases
// last.
var strikes = map[string]func(t *testing.T, server *redstarttest.Server, ways []*proxy.Proxy) (heal func()){
	"requests lost": func(_ *testing.T, _ *redstarttest.Server, ways []*proxy.Proxy) func() {
		return blackholes(ways, proxy.ToServer)
	},
	"replies lost": func(_ *testing.T, _ *redstarttest.Server, ways []*proxy.Proxy) func() {
		return blackholes(ways, proxy.ToClient)
	},
	"server frozen": func(t *testing.T, server *redstarttest.Server, _ []*proxy.Proxy) func() {
		if err := server.Freeze(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := server.Continue(); err != nil {
				t.Error(err)
			}
		}
	},
}

func blackholes(ways []*proxy.Proxy, d proxy.Direction) (heal func()) {
	for _, w := range ways {
		w.Blackhole(d)
	}
	return func() {
		for _, w := range ways {
			w.Heal()
		}
	}
}

// m3 is what became of contexts.
type m3 struct {
	ends, renewals, early int           // early: lost before they were struck
	late                  int           // of them by Err
	lateDone              time.Duration // the latest by Done
	margin                time.Duration // the least between Err's end and the lease's
	naive                 int
	naiveLate             time.Duration
	timer                 time.Duration // how late a bare timer is
}

// TestM3ContextEndsFirst: holders behind a slow network renew their leases until
// they are cut off; each context's end is compared with the lease's at the
// server.
func TestM3ContextEndsFirst(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	sum := m3{margin: time.Hour}
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			order := []string{"server frozen"}
			if form == harness.Long {
				order = []string{"requests lost", "replies lost", "server frozen", "requests lost", "server frozen"}
			} else {
				order[0] = []string{"requests lost", "server frozen"}[seed%2]
			}
			for round, what := range order {
				contexts(t, server, seed+uint64(round), what, harness.Choose(form, 3*time.Second, 5*time.Second), round, harness.Choose(form, 6, 36), &sum)
			}
			if i == 0 {
				naiveContexts(t, server, seed, &sum)
			}
		})
	}
	if sum.late > 0 {
		t.Errorf("%d of %d contexts were alive after their leases", sum.late, sum.ends)
	}
	if sum.renewals < sum.ends {
		t.Errorf("%d renewals of %d leases", sum.renewals, sum.ends)
	}
	if sum.naive == 0 {
		t.Error("the checker finds no late end of contexts that are counted from the reply")
	}
	// A timer is as late as the machine lets it be.
	harness.Bound{What: "Done closes after the lease's end", Figure: sum.lateDone, Control: sum.timer}.Judge(t)
	keep(t, form, "M3", servers, "0 of %d contexts alive (Err) after the lease's end at the server, of %s leases behind 0 to %s of latency with %d renewals, then cut off or the server frozen; the closest %s before it; Done closed at most %s after it (a bare timer was %s late); %d leases were lost before that "+
		"(counted from the reply to SET NX PX: %d of %d late, by up to %s)",
		sum.ends, m3Lease, m3Latency, sum.renewals, harness.Short3(sum.margin), harness.Short3(sum.lateDone), harness.Short3(sum.timer), sum.early, sum.naive, m3Ways, harness.Short3(sum.naiveLate))
}

// slowWays are proxies before a server.
func slowWays(t *testing.T, server *redstarttest.Server, seed uint64) (ways []*proxy.Proxy) {
	t.Helper()
	for i := range m3Ways {
		p := newProxy(t, server)
		p.Jitter(m3Latency/2, seed+uint64(i))
		ways = append(ways, p)
	}
	return ways
}

// contexts has holders of so many locks on each way renew for a while, and then strikes
// them.
func contexts(t *testing.T, server *redstarttest.Server, seed uint64, what string, quiet time.Duration, round, locks int, sum *m3) {
	t.Helper()
	ways := slowWays(t, server, seed)
	var mu sync.Mutex
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopTimer := lateTimer(&all, &sum.timer)
	struck := make(chan struct{})
	var watched sync.WaitGroup
	for w, way := range ways {
		client := openHere(t, way.URL(), redstart.Config{DialTimeout: 3 * m3Latency})
		l, err := lockOf(client, m3Lease)
		if err != nil {
			t.Fatal(err)
		}
		for n := range locks {
			watched.Go(func() {
				for life := 0; ; life++ {
					id := fmt.Sprintf("m3-%d-%d-%d-%d", round, w, n, life)
					lease, err := l.Acquire(ctx, id)
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					e := watch(lease.Context())
					if cause := context.Cause(lease.Context()); !errors.Is(cause, lock.ErrLost) {
						t.Errorf("%s ended for %v", id, cause)
					}
					over := isClosed(struck)
					if over {
						<-time.After(time.Millisecond) // no condition: the server may be frozen
					}
					e.till = tillOf(t, server, id, lease)
					mu.Lock()
					sum.note(e)
					if !over {
						sum.early++
					}
					mu.Unlock()
					if over {
						return
					}
				}
			})
		}
	}
	<-time.After(quiet)
	before := scripts(ways)
	heal := strikes[what](t, server, ways)
	close(struck)
	<-time.After(m3Lease + m3Latency)
	heal()
	watched.Wait()
	stopTimer()
	all.Wait()
	sum.renewals += before - m3Ways*locks
	t.Logf("%s: %d contexts, %d renewals, the closest ended %v before its lease, Done at most %v after it", what, sum.ends, sum.renewals, sum.margin, sum.lateDone)
}

// note compares a context's end with its lease's. One that was over when it was
// first looked at has no time.
func (m *m3) note(e ending) {
	m.ends++
	if !e.err.IsZero() {
		margin := e.till.Sub(e.err)
		m.margin = min(m.margin, margin)
		if margin < 0 {
			m.late++
		}
	}
	if !e.done.IsZero() {
		m.lateDone = max(m.lateDone, e.done.Sub(e.till))
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tillOf reads the end of a lease that was lost out of the state at the server:
// renewals that were late have been refused by then or have lengthened it in
// time.
func tillOf(t *testing.T, server *redstarttest.Server, id string, lease *lock.Lease) time.Time {
	text, err := server.Do(context.Background(), "GET", "lock:{"+id+"}")
	if err != nil {
		t.Error(err)
		return time.Time{}
	}
	fields := strings.Fields(fmt.Sprint(text)) // token, whether others are about, end, holder
	if len(fields) != 4 || fields[0] != fmt.Sprintf("%016d", lease.Token()) {
		t.Errorf("%s: the state is %v, not of token %d", id, text, lease.Token())
		return time.Time{}
	}
	till, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return time.UnixMicro(till)
}

func scripts(ways []*proxy.Proxy) (n int) {
	for _, w := range ways {
		n += w.Commands()["EVALSHA"]
	}
	return n
}

// lateTimer measures how late timers of this process are.
func lateTimer(all *sync.WaitGroup, worst *time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for ctx.Err() == nil {
			due := time.Now().Add(5 * time.Millisecond)
			rest(ctx, 5*time.Millisecond)
			*worst = max(*worst, time.Since(due))
		}
	})
	return cancel
}

// naiveContexts counts the lease from the reply to SET NX PX.
func naiveContexts(t *testing.T, server *redstarttest.Server, seed uint64, sum *m3) {
	t.Helper()
	const lease = time.Second
	var mu sync.Mutex
	var all sync.WaitGroup
	for w, way := range slowWays(t, server, seed) {
		all.Go(func() {
			client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{way.Addr()}, DisableCache: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			key := "naive" + strconv.Itoa(w)
			if err := client.Do(t.Context(), client.B().Set().Key(key).Value("1").Nx().PxMilliseconds(lease.Milliseconds()).Build()).Error(); err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), lease)
			defer cancel()
			till, err := server.Do(t.Context(), "PEXPIRETIME", key)
			if ms, ok := till.(int64); err != nil || !ok || ms < 0 {
				t.Errorf("PEXPIRETIME: %v, %v", till, err)
				return
			}
			e := watch(ctx)
			late := e.err.Sub(time.UnixMilli(till.(int64)))
			mu.Lock()
			defer mu.Unlock()
			if late > 0 {
				sum.naive++
				sum.naiveLate = max(sum.naiveLate, late)
			}
		})
	}
	all.Wait()
}

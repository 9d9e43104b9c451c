package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/lock"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

const (
	m5Lease  = 10 * time.Second
	m5First  = time.Second     // what a lease lasts that nobody renewed
	m5Waits  = 4 * time.Second // how long somebody is believed to wait who is not heard of
	m5Prompt = 50 * time.Millisecond
	m5Gives  = 100 * time.Millisecond // after which a caller gives up
)

// orphanage is a holder behind a proxy, and somebody who wants the same lock and
// reaches the server.
type orphanage struct {
	t      *testing.T
	server *redstarttest.Server
	way    *proxy.Proxy
	holder *lock.Lock
	next   *lock.Lock
	id     string
}

// loss is a fault and what it may cost. strike gives the time since when the lock
// is wanted by the next and by nobody else.
type loss struct {
	name   string
	bound  time.Duration
	strike func(o *orphanage) (since time.Time)
}

func (o *orphanage) rule(nth int, action proxy.Action) *proxy.Handle {
	return o.way.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: nth, Action: action})
}

func (o *orphanage) struck(rule *proxy.Handle, n int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	if err := rule.WaitN(ctx, n); err != nil {
		o.t.Fatalf("the fault did not strike: %v", err)
	}
}

// must gives a lease.
func (o *orphanage) must(l *lock.Lock) *lock.Lease {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	lease, err := l.Acquire(ctx, o.id)
	if err != nil {
		o.t.Fatal(err)
	}
	return lease
}

func (o *orphanage) release(lease *lock.Lease) {
	o.t.Helper()
	if err := lease.Release(o.t.Context()); err != nil {
		o.t.Errorf("Release: %v", err)
	}
}

// givesUp has the holder ask, and give up.
func (o *orphanage) givesUp(ask func(context.Context, string) (*lock.Lease, error)) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), m5Gives)
	defer cancel()
	if _, err := ask(ctx, o.id); err == nil {
		o.t.Error("it got the lock whose reply was lost")
	}
}

// killed has a process of so many callers ask, and kills it when ready.
func (o *orphanage) killed(callers int, ready func()) {
	o.t.Helper()
	child := harness.Start(o.t, "holder", holderArg{Recipe: redstarts, URL: o.way.URL(), Lease: m5Lease})
	var gone sync.WaitGroup
	for range callers {
		gone.Go(func() {
			if err := child.Call(context.Background(), "acquire", o.id, nil); err == nil {
				o.t.Error("the process that is killed got the lock")
			}
		})
	}
	ready()
	child.Kill()
	gone.Wait()
}

func (o *orphanage) queue(n int64) {
	o.t.Helper()
	redstarttest.Eventually(o.t, time.Minute, "they wait", func() bool { return queued(o.t, o.server, o.id) == n })
}

var m5Losses = []loss{
	{"acquire's reply, the connection cut", m5Prompt, func(o *orphanage) time.Time {
		rule := o.rule(1, proxy.SwallowReply(proxy.CutConnection))
		lease := o.must(o.holder)
		o.struck(rule, 1)
		o.release(lease)
		return time.Now()
	}},
	{"acquire's reply, and the caller gives up", m5First + m5Prompt, func(o *orphanage) time.Time {
		rule := o.rule(1, proxy.SwallowReply(proxy.LeaveHanging))
		o.givesUp(o.holder.Acquire)
		o.struck(rule, 1)
		return time.Now()
	}},
	{"a try's reply, and the caller gives up", m5First + m5Prompt, func(o *orphanage) time.Time {
		rule := o.rule(1, proxy.SwallowReply(proxy.LeaveHanging))
		o.givesUp(o.holder.TryAcquire)
		o.struck(rule, 1)
		return time.Now()
	}},
	{"nothing, but acquire comes when its process is dead", m5First + m5Prompt, func(o *orphanage) time.Time {
		rule := o.rule(1, proxy.HoldRequest())
		o.killed(1, func() { o.struck(rule, 1) })
		since := time.Now()
		rule.Remove()
		redstarttest.Eventually(o.t, time.Minute, "it arrives", func() bool {
			state, err := o.server.Do(o.t.Context(), "GET", "lock:{"+o.id+"}")
			return state != nil && err == nil
		})
		return since
	}},
	{"acquire's reply, and the process is killed", m5First + m5Prompt, func(o *orphanage) time.Time {
		rule := o.rule(1, proxy.HoldReply())
		o.killed(1, func() { o.struck(rule, 1) })
		return time.Now()
	}},
	{"release's reply, the connection cut", m5Prompt, func(o *orphanage) time.Time {
		lease := o.must(o.holder)
		rule := o.rule(1, proxy.SwallowReply(proxy.CutConnection))
		since := time.Now()
		o.release(lease)
		o.struck(rule, 1)
		return since
	}},
	{"release's reply, and the caller gives up", m5Prompt, func(o *orphanage) time.Time {
		lease := o.must(o.holder)
		rule := o.rule(1, proxy.SwallowReply(proxy.LeaveHanging))
		ctx, cancel := context.WithTimeout(o.t.Context(), m5Gives)
		defer cancel()
		if err := lease.Release(ctx); err == nil {
			o.t.Error("Release heard its reply")
		}
		o.struck(rule, 1)
		return time.Now()
	}},
	{"release's request, the connection cut", 2*m5Prompt + m5Gives, func(o *orphanage) time.Time {
		lease := o.must(o.holder)
		o.way.Drop(proxy.ToServer)
		since := time.Now()
		released := make(chan error, 1)
		go func() { released <- lease.Release(o.t.Context()) }()
		redstarttest.Eventually(o.t, time.Minute, "the request is lost", func() bool { return o.way.Faults().DroppedBytes > 0 })
		o.way.Heal()
		if err := <-released; err != nil {
			o.t.Errorf("Release: %v", err)
		}
		return since
	}},
	{"a grant's message, and the waiter is killed", m5First + m5Prompt, func(o *orphanage) time.Time {
		lease := o.must(o.next)
		o.killed(1, func() { o.queue(1) })
		since := time.Now()
		o.release(lease)
		return since
	}},
	{"a grant's message, and 20 waiters are killed", m5Waits + m5First + m5Prompt, func(o *orphanage) time.Time {
		lease := o.must(o.next)
		o.killed(20, func() { o.queue(20) })
		since := time.Now()
		o.release(lease)
		return since
	}},
	{"a grant's message, and the waiter gives up", m5First + m5Prompt, func(o *orphanage) time.Time {
		lease := o.must(o.next)
		ctx, cancel := context.WithCancel(o.t.Context())
		gaveUp := make(chan error, 1)
		go func() { _, err := o.holder.Acquire(ctx, o.id); gaveUp <- err }()
		o.queue(1)
		o.way.Blackhole(proxy.BothWays)
		o.release(lease)
		since := time.Now()
		cancel()
		if err := <-gaveUp; err == nil {
			o.t.Error("it got the lock whose message was lost")
		}
		return since
	}},
}

// blocked runs one loss on a server.
func (l loss) blocked(t *testing.T, server *redstarttest.Server, round int) time.Duration {
	t.Helper()
	o := &orphanage{t: t, server: server, way: newProxy(t, server), id: fmt.Sprintf("m5-%d-%d", slices.IndexFunc(m5Losses, func(o loss) bool { return o.name == l.name }), round)}
	for url, to := range map[string]**lock.Lock{o.way.URL(): &o.holder, server.URL(): &o.next} {
		made, err := lockOf(openHere(t, url, redstart.Config{}), m5Lease)
		if err != nil {
			t.Fatal(err)
		}
		*to = made
		if err := made.Do(t.Context(), "warm", func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	since := l.strike(o)
	lease := o.must(o.next)
	took := time.Since(since)
	o.way.Heal()
	o.release(lease)
	return took
}

// TestM5NoOrphan: what is lost is a request, a reply, a message or the process
// that waited for one; how long is the lock blocked?
func TestM5NoOrphan(t *testing.T) {
	form := harness.Run(t)
	harness.Seed(t)
	var servers []string
	var mu sync.Mutex
	worst := map[string]time.Duration{}
	var recipe time.Duration
	runs := 0
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			expiry := bareExpiry(t, server, m5First)
			for round := range harness.Choose(form, 1, 8) {
				t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
					for _, l := range m5Losses {
						t.Run(l.name, func(t *testing.T) {
							t.Parallel()
							took := l.blocked(t, server, round)
							control := expiry
							if l.bound < m5First {
								control = m5Prompt / 2 // of a busy machine
							}
							harness.Bound{What: "blocked", Figure: took, Bound: l.bound, Control: control}.Judge(t)
							if took >= m5Lease {
								t.Errorf("the lock was blocked for %v, a whole lease", took)
							}
							mu.Lock()
							defer mu.Unlock()
							worst[l.name] = max(worst[l.name], took)
							runs++
						})
					}
					if i == 0 && round == 0 {
						t.Run(lockPoll, func(t *testing.T) {
							t.Parallel()
							recipe = naiveOrphan(t, server)
						})
					}
				})
			}
		})
	}
	figures := ""
	for _, l := range m5Losses {
		figures += fmt.Sprintf("%s: %s; ", l.name, harness.Short3(worst[l.name]))
	}
	keep(t, form, "M5", servers, "with a lease of %s, in %d runs the lock was blocked at most so long, by what was lost: %s(SET NX EX 3, its reply lost: %s, the whole TTL)",
		m5Lease, runs, figures, harness.Short3(recipe))
}

// naiveOrphan is how long a recipe's lock stays that nobody knows he has.
func naiveOrphan(t *testing.T, server *redstarttest.Server) time.Duration {
	t.Helper()
	const expiry = 3 * time.Second
	way := newProxy(t, server)
	lost, err := plainOnce(way.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	next, err := plain(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	way.AddRule(proxy.Rule{Match: proxy.Named("SET"), Action: proxy.SwallowReply(proxy.CutConnection)})
	since := time.Now()
	if err := (naive.Lock{Client: lost, Expiry: expiry}).Acquire(t.Context(), "orphan"); err == nil {
		t.Fatal("the recipe heard a reply that was lost")
	}
	if err := (naive.Lock{Client: next, Expiry: expiry, Pause: 100 * time.Millisecond}).Acquire(t.Context(), "orphan"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(since)
	if took < expiry-m5Gives {
		t.Errorf("the recipe's lock was blocked for %v only: the fault did not strike", took)
	}
	return took
}

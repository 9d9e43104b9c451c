package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// What C9's processes agree on.
const (
	c9Lease     = time.Second
	c9Processes = 3
)

// manyFleet is processes that ask for many keys at once, of one source whose
// loads the test holds, each behind a proxy of its own where there is one server.
type manyFleet struct {
	t        *testing.T
	rng      *rand.Rand
	dir      string
	source   *harness.Source
	children []*harness.Child
	ways     []*proxy.Proxy
	callers  uint16

	mu   sync.Mutex
	held map[string]chan struct{} // by gate
}

// newManyFleet starts them on a server, or on what is at a URL.
func newManyFleet(t *testing.T, seed uint64, recipe string, server *redstarttest.Server, url string) *manyFleet {
	t.Helper()
	f := &manyFleet{t: t, rng: harness.Rand(seed, "many "+recipe+url, 0), dir: t.TempDir(), source: harness.NewSource(t), held: map[string]chan struct{}{}}
	f.source.Behave(f.behave)
	for p := range c9Processes {
		at := url
		if server != nil {
			f.ways = append(f.ways, newProxy(t, server))
			at = f.ways[p].URL()
		}
		f.children = append(f.children, harness.Start(t, "many", memberArg{
			Recipe: recipe, URL: at, Process: p, Source: f.source.Addr(), History: f.dir,
			TTL: time.Minute, Lease: c9Lease, LoadTimeout: time.Minute, ErrorTTL: time.Minute,
		}))
	}
	return f
}

// behave lets every call of the loader take its time, or as long as it is held.
func (f *manyFleet) behave(ctx context.Context, ask harness.Ask, answer harness.Answer) harness.Answer {
	if !strings.HasPrefix(ask.Key, "gate") {
		return answer
	}
	f.mu.Lock()
	held, ok := f.held[ask.Key]
	f.mu.Unlock()
	if !ok {
		rest(ctx, 30*time.Millisecond)
		return answer
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
	return answer
}

// hold keeps the loads of a process, once they have read what they load, until
// release.
func (f *manyFleet) hold(process int) (release func()) {
	gate := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[gateOf(process)] = gate
	return sync.OnceFunc(func() {
		f.mu.Lock()
		delete(f.held, gateOf(process))
		f.mu.Unlock()
		close(gate)
	})
}

// call lets a process ask for keys.
func (f *manyFleet) call(process int, how string, keys []uint32) <-chan error {
	f.callers++
	arg := manyCall{How: how, Caller: f.callers, Keys: keys, Within: time.Minute}
	done := make(chan error, 1)
	go func() { done <- f.children[process].Call(context.Background(), "call", arg, nil) }()
	return done
}

// write lets a process commit versions of keys and end what is cached of them.
func (f *manyFleet) write(process int, how string, keys []uint32) {
	f.t.Helper()
	if err := f.children[process].Call(f.t.Context(), "write", manyWrite{how, keys}, nil); err != nil {
		f.t.Errorf("%s by process %d: %v", how, process, err)
	}
}

// finish waits for calls to end.
func (f *manyFleet) finish(calls ...<-chan error) {
	f.t.Helper()
	for _, c := range calls {
		if err := <-c; err != nil {
			f.t.Error(err)
		}
	}
}

// loading waits until a process has a loader call at its gate.
func (f *manyFleet) loading(process int) {
	f.t.Helper()
	before := 0
	redstarttest.Eventually(f.t, time.Minute, "a process loads", func() bool { return f.source.Loads(gateOf(process)) > before })
}

// holding has process 0 load keys and be held, and the others wait for them.
func (f *manyFleet) holding(keys []uint32) (release func(), holder <-chan error, waiters []<-chan error) {
	f.t.Helper()
	release = f.hold(0)
	holder = f.call(0, byGetMany, keys)
	f.loading(0)
	for p := 1; p < c9Processes; p++ {
		waiters = append(waiters, f.call(p, byGetMany, keys))
		redstarttest.Eventually(f.t, time.Minute, "a process waits", func() bool { return f.stats(p).Waits >= uint64(len(keys)) })
	}
	return release, holder, waiters
}

func (f *manyFleet) stats(process int) (s cache.Stats) {
	f.t.Helper()
	if err := f.children[process].Call(f.t.Context(), "stats", 0, &s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// events are what took place so far.
func (f *manyFleet) events() []history.Event {
	f.t.Helper()
	all, err := history.ReadDir(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// overlap lets every process ask at once, in several ways, for parts of keys that
// overlap.
func (f *manyFleet) overlap(keys []uint32, callers int) {
	f.t.Helper()
	var calls []<-chan error
	for n := range callers * c9Processes {
		some := make([]uint32, 0, len(keys)/2)
		for _, i := range f.rng.Perm(len(keys))[:cap(some)] {
			some = append(some, keys[i])
		}
		how := []string{byGetMany, byGetMany, byWarm, byGet}[n/c9Processes%4]
		if how == byGet {
			some = some[:1]
		}
		calls = append(calls, f.call(n%c9Processes, how, some))
	}
	calls = append(calls, f.call(0, byGetMany, keys)) // so that each is asked for
	f.finish(calls...)
}

// gone waits for the end of a call whose process was killed.
func gone(t *testing.T, call <-chan error) {
	t.Helper()
	if err := <-call; !errors.Is(err, harness.ErrGone) {
		t.Errorf("the killed process has answered: %v", err)
	}
}

// keysFrom are n keys.
func keysFrom(first, n int) []uint32 {
	keys := make([]uint32, n)
	for i := range keys {
		keys[i] = uint32(first + i)
	}
	return keys
}

package faults

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
)

// fleet is processes of one recipe on one source, whose loads the test holds.
type fleet struct {
	t        *testing.T
	source   *harness.Source
	children []*harness.Child

	mu   sync.Mutex
	acts map[string]chan harness.Answer // what a held load is to come to, by key
}

// newFleet starts processes that share a recipe and what else arg says.
func newFleet(t *testing.T, processes int, arg memberArg) *fleet {
	t.Helper()
	f := &fleet{t: t, source: harness.NewSource(t), acts: map[string]chan harness.Answer{}}
	f.source.Behave(f.behave)
	for p := range processes {
		arg.Process, arg.Source = p, f.source.Addr()
		f.children = append(f.children, harness.Start(t, "member", arg))
	}
	return f
}

// behave holds the loads of process 0 for keys that are held; others go on.
func (f *fleet) behave(ctx context.Context, ask harness.Ask, answer harness.Answer) harness.Answer {
	f.mu.Lock()
	act, held := f.acts[ask.Key]
	f.mu.Unlock()
	if !held || ask.Process != 0 {
		return answer
	}
	select {
	case change := <-act:
		change.Version = answer.Version
		return change
	case <-ctx.Done():
		return answer
	}
}

// hold keeps process 0's load of a key until something is sent.
func (f *fleet) hold(key string) chan<- harness.Answer {
	act := make(chan harness.Answer, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts[key] = act
	return act
}

// get lets one process ask, and gives what it will have got; nil when it is
// killed meanwhile.
func (f *fleet) get(child *harness.Child, arg getArg) <-chan *getResult {
	done := make(chan *getResult, 1)
	go func() {
		result := &getResult{}
		if child.Call(context.Background(), "get", arg, result) != nil {
			result = nil
		}
		done <- result
	}()
	return done
}

// holderAndWaiters has process 0 load a held key for one caller, and then
// every other process wait for it with several.
func (f *fleet) holderAndWaiters(key string, callers int) (holder <-chan *getResult, waiters []<-chan *getResult) {
	f.t.Helper()
	holder = f.get(f.children[0], getArg{Key: key, Callers: 1, Within: time.Minute})
	redstarttest.Eventually(f.t, time.Minute, "process 0 loads", func() bool { return f.source.Loads(key) == 1 })
	for i, child := range f.children[1:] {
		before := f.waits(child)
		waiters = append(waiters, f.get(child, getArg{Key: key, Callers: callers, Within: time.Minute}))
		redstarttest.Eventually(f.t, time.Minute, "a process waits", func() bool { return f.waits(f.children[i+1]) >= before+uint64(callers) })
	}
	return holder, waiters
}

func (f *fleet) waits(child *harness.Child) (n uint64) {
	f.t.Helper()
	if err := child.Call(f.t.Context(), "waiting", 0, &n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fleet) stats(child *harness.Child) (s cache.Stats) {
	f.t.Helper()
	if err := child.Call(f.t.Context(), "stats", 0, &s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// collect waits for all, and gives the time from since to the last caller's
// return.
func (f *fleet) collect(since time.Time, all []<-chan *getResult) (took time.Duration, results []*getResult) {
	f.t.Helper()
	for _, r := range all {
		result := <-r
		if result == nil {
			f.t.Fatal("a process is gone that nobody killed")
		}
		results = append(results, result)
		took = max(took, time.Unix(0, result.Last).Sub(since))
	}
	return took, results
}

// sum counts the callers with a version, and those with an error.
func sum(results []*getResult, version uint64) (good, failed int) {
	for _, r := range results {
		good += r.Versions[version]
		for _, n := range r.Errors {
			failed += n
		}
	}
	return good, failed
}

package batch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// every strikes every n-th of the named commands, at most times.
func every(n, times int64, names ...string) func([]string) bool {
	named := proxy.Named(names...)
	var seen atomic.Int64
	return func(cmd []string) bool {
		if !named(cmd) {
			return false
		}
		i := seen.Add(1)
		return i%n == 0 && i/n <= times
	}
}

// T1: an item's result is never another's, wherever the connection is cut, and
// reads see no error at all.
func TestResultsStayWithTheirItems(t *testing.T) {
	_, p, c := proxied(t)
	const n, cuts = 20_000, 25
	written(t, c, n)
	h := p.AddRule(proxy.Rule{Match: every(n/cuts-7, cuts, "GET"), Action: proxy.SwallowReply(proxy.CutConnection)})
	next, repeats := 0, 0
	for r := range Get(t.Context(), c, keys(n), Config{Progress: func(p Progress) { repeats = p.Repeats }}) {
		if r.Index != next || r.Key != keyAt(next) || r.Err != nil || r.Value != valueAt(next) {
			t.Fatalf("result %d: %+v", next, r)
		}
		next++
	}
	if next != n || h.Hits() < cuts/2 || repeats < h.Hits() {
		t.Errorf("%d results, %d cuts, %d items repeated", next, h.Hits(), repeats)
	}
	h.Remove()

	// Not idempotent, as far as the batch knows: the reply names its item.
	h = p.AddRule(proxy.Rule{Match: every(n/cuts-7, cuts, "ECHO"), Action: proxy.SwallowReply(proxy.CutConnection)})
	unknown := 0
	for r := range Do(t.Context(), c, echoes(n), Config{}) {
		switch word, err := r.Reply.ToString(); {
		case r.Err == nil && (err != nil || word != valueAt(r.Index) || r.Key != keyAt(r.Index)):
			t.Fatalf("item %d has the reply %q, %v", r.Index, word, err)
		case r.Err != nil && redstart.OutcomeOf(r.Err) == redstart.Unknown:
			unknown++
		case r.Err != nil:
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	if unknown == 0 || h.Hits() < cuts/2 {
		t.Errorf("%d unknown after %d cuts", unknown, h.Hits())
	}
	t.Logf("%d GETs and %d ECHOs, %d and more cuts each: 0 results of another item, %d GETs repeated, %d ECHOs unknown", n, n, cuts/2, repeats, unknown)
}

func echoes(n int) iter.Seq[Command] {
	return func(yield func(Command) bool) {
		for i := range n {
			if !yield(Command{Words: []string{"ECHO", valueAt(i)}, Key: keyAt(i)}) {
				return
			}
		}
	}
}

// increments counts one of 16 keys up, n times in all.
func increments(n int, idempotent bool) iter.Seq[Command] {
	return func(yield func(Command) bool) {
		for i := range n {
			if !yield(Command{Words: []string{"INCR", keyAt(i % 16)}, Key: keyAt(i % 16), Idempotent: idempotent}) {
				return
			}
		}
	}
}

// count runs the increments while replies are lost and gives, over all keys,
// what the server counted beyond those reported as run or unknown.
func count(t *testing.T, idempotent bool) (ran, unknown, doubles int64) {
	s, p, c := proxied(t)
	const n, cuts = 10_000, 40
	h := p.AddRule(proxy.Rule{Match: every(n/cuts+1, cuts, "INCR"), Action: proxy.SwallowReply(proxy.CutConnection)})
	good, lost := map[string]int64{}, map[string]int64{}
	for r := range Do(t.Context(), c, increments(n, idempotent), Config{}) {
		switch {
		case r.Err == nil:
			good[r.Key]++
			ran++
		case redstart.OutcomeOf(r.Err) == redstart.Unknown:
			lost[r.Key]++
			unknown++
		default:
			t.Errorf("an INCR failed: %v", r.Err)
		}
	}
	if h.Hits() < cuts/2 || ran+unknown != n {
		t.Errorf("%d replies lost, %d results", h.Hits(), ran+unknown)
	}
	var total int64
	for i := range 16 {
		var counted int64
		if v := command(t, s, "GET", keyAt(i)); v != nil {
			_, _ = fmt.Sscan(v.(string), &counted)
		}
		total += counted
		if counted < good[keyAt(i)] {
			t.Errorf("%s: %d counted, %d reported as run", keyAt(i), counted, good[keyAt(i)])
		}
		doubles += max(0, counted-good[keyAt(i)]-lost[keyAt(i)])
	}
	t.Logf("%d INCR in batches, %d connections cut in place of a reply: %d nil, %d Unknown, the server counted %d (between %d and %d), %d hidden doubles",
		n, h.Hits(), ran, unknown, total, ran, ran+unknown, doubles)
	return ran, unknown, doubles
}

// K1: what the server counted lies between what was reported as run and that
// plus what is not known.
func TestNothingRunsTwice(t *testing.T) {
	if _, unknown, doubles := count(t, false); doubles != 0 || unknown == 0 {
		t.Errorf("%d hidden doubles, %d unknown", doubles, unknown)
	}
}

// The same check catches a batch that repeats everything, as recipes do.
func TestNothingRunsTwiceCatches(t *testing.T) {
	if _, _, doubles := count(t, true); doubles == 0 {
		t.Error("INCR declared idempotent was never counted twice: the test above could not fail")
	}
}

// K2: the server is loading, an hour for a human, a moment for a deadline.
func TestLoadingIsWaitedOut(t *testing.T) {
	s, p, c := proxied(t)
	const n, refusals = 1000, 12
	refuse := p.AddRule(proxy.Rule{Match: loading(refusals), Action: proxy.AnswerError("LOADING Redis is loading the dataset in memory")})
	for r := range Do(t.Context(), c, increments(n, false), Config{InFlight: 1, Size: 10}) {
		if r.Err != nil {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	var total int64
	for i := range 16 {
		var counted int64
		_, _ = fmt.Sscan(command(t, s, "GET", keyAt(i)).(string), &counted)
		total += counted
	}
	if total != n || refuse.Hits() < refusals {
		t.Errorf("counted %d of %d, %d refusals", total, n, refuse.Hits())
	}
}

// loading refuses the first n commands that a server which loads would refuse.
func loading(n int64) func([]string) bool { return every(1, n, "INCR", "PING") }

// While the server serves nobody, it is asked by single items; who gives up
// knows that the rest was not sent.
func TestOutageCostsNoLoad(t *testing.T) {
	_, p, c := proxied(t)
	refuse := p.AddRule(proxy.Rule{Match: proxy.Named("INCR"), Action: proxy.AnswerError("LOADING Redis is loading the dataset in memory")})
	p.AddRule(proxy.Rule{Match: proxy.Named("PING"), Action: proxy.AnswerError("LOADING Redis is loading the dataset in memory")})
	const n = 1000
	failed := 0
	for r := range Do(t.Context(), c, increments(n, false), Config{InFlight: 1, Wait: 300 * time.Millisecond}) {
		if !errors.Is(r.Err, redstart.ErrUnavailable) || redstart.OutcomeOf(r.Err) != redstart.NotApplied {
			t.Fatalf("item %d: %v, %v", r.Index, r.Err, redstart.OutcomeOf(r.Err))
		}
		failed++
	}
	// A whole batch at first, then at most one item for each of the others.
	if asked := refuse.Hits(); failed != n || asked < 100 || asked > 100+9+2 {
		t.Errorf("%d items failed, the server was asked by %d", failed, asked)
	}
	t.Logf("%d items for a server that is loading: %d were sent", n, refuse.Hits())
}

func TestNoWait(t *testing.T) {
	_, p, c := proxied(t)
	p.AddRule(proxy.Rule{Match: every(1, 1, "GET"), Action: proxy.AnswerError("LOADING Redis is loading the dataset in memory")})
	failed := 0
	for r := range Get(t.Context(), c, keys(10), Config{Wait: -1}) {
		if r.Err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d items failed", failed)
	}
}

// A server without memory refuses writes, and each item says so; what frees
// memory goes on, and what waits is served once there is room.
func TestOOM(t *testing.T) {
	s, _, c := proxied(t)
	written(t, c, 10)
	command(t, s, "CONFIG", "SET", "maxmemory", "1")
	for r := range Set(t.Context(), c, entries(250), Config{Wait: -1}) {
		if !errors.Is(r.Err, redstart.ErrFull) || redstart.OutcomeOf(r.Err) != redstart.NotApplied {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	for r := range Del(t.Context(), c, keys(10), Config{}) {
		if r.Err != nil || !r.Found {
			t.Fatalf("item %d: %+v", r.Index, r)
		}
	}
	once := false
	for r := range Set(t.Context(), c, func(yield func(Entry) bool) {
		for e := range entries(250) {
			if e.Key == keyAt(249) { // by then the first batch has been refused, or soon is
				go func() { _, _ = s.Do(context.WithoutCancel(t.Context()), "CONFIG", "SET", "maxmemory", "0") }()
				once = true
			}
			if !yield(e) {
				return
			}
		}
	}, Config{}) {
		if r.Err != nil {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	if n := command(t, s, "DBSIZE"); n != int64(250) || !once {
		t.Errorf("DBSIZE = %v", n)
	}
}

// The server dies and comes back in the midst of a run: what is idempotent
// sees no error.
func TestRestartIsWaitedOut(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
	c := open(t, s.URL(), redstart.Config{})
	const n = 5000
	input := func(yield func(Entry) bool) {
		for i := range n {
			if i == n/2 {
				if err := s.Kill(); err != nil {
					t.Error(err)
				}
				go func() {
					if err := s.Restart(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}()
			}
			if !yield(Entry{Key: keyAt(i), Value: valueAt(i)}) {
				return
			}
		}
	}
	for r := range Set(t.Context(), c, input, Config{}) {
		if r.Err != nil {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	for r := range Get(t.Context(), c, keys(n), Config{}) {
		if r.Err != nil || r.Value != valueAt(r.Index) {
			t.Fatalf("item %d: %+v", r.Index, r)
		}
	}
}

// An item is not repeated past a later one on its key.
func TestRepeatsDoNotOvertake(t *testing.T) {
	s, p, c := proxied(t)
	// The first SET of each key is refused for now, the second runs.
	once := every(1, 20, "SET")
	p.AddRule(proxy.Rule{Match: func(cmd []string) bool { return cmd[0] == "SET" && cmd[2] == "old" && once(cmd) }, Action: proxy.AnswerError("TRYAGAIN Multiple keys request during rehashing of slot")})
	var failed, fine int
	for r := range Set(t.Context(), c, func(yield func(Entry) bool) {
		for i := range 20 {
			if !yield(Entry{Key: keyAt(i), Value: "old"}) || !yield(Entry{Key: keyAt(i), Value: "new"}) {
				return
			}
		}
	}, Config{}) {
		if r.Err == nil {
			fine++
		} else if failed++; redstart.OutcomeOf(r.Err) != redstart.NotApplied || !redstart.Away(r.Err) {
			t.Errorf("item %d: %v", r.Index, r.Err)
		}
	}
	if failed != 20 || fine != 20 {
		t.Errorf("%d failed, %d went through", failed, fine)
	}
	for i := range 20 {
		if v := command(t, s, "GET", keyAt(i)); v != "new" {
			t.Errorf("%s = %v", keyAt(i), v)
		}
	}
}

// Unless order is not wanted: then all go through in the end.
func TestUnorderedRepeatsAll(t *testing.T) {
	s, p, c := proxied(t)
	p.AddRule(proxy.Rule{Match: every(3, 30, "INCR"), Action: proxy.AnswerError("TRYAGAIN Multiple keys request during rehashing of slot")})
	for r := range Do(t.Context(), c, increments(500, false), Config{Unordered: true}) {
		if r.Err != nil {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	for i := range 16 {
		if v := command(t, s, "GET", keyAt(i)); v != fmt.Sprint(500/16+min(1, max(0, 500%16-i))) {
			t.Errorf("%s = %v", keyAt(i), v)
		}
	}
}

// The deadline ends a run whose server is silent.
func TestDeadline(t *testing.T) {
	_, p, c := proxied(t)
	written(t, c, 1)
	p.Blackhole(proxy.ToClient)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	n := 0
	for r := range Set(ctx, c, entries(1000), Config{}) {
		n++
		if r.Err == nil || !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Fatalf("item %d: %v", r.Index, r.Err)
		}
	}
	if n < 800 {
		t.Errorf("%d results", n)
	}
	p.Heal()
}

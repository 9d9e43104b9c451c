package harness

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Play(map[string]Role{"echo": echo})
	goleak.VerifyTestMain(m)
}

type echoArg struct{ Clock string }

// echo is the role of these tests' children.
func echo(raw json.RawMessage) (map[string]Verb, func(), error) {
	var arg echoArg
	if err := json.Unmarshal(raw, &arg); err != nil {
		return nil, nil, err
	}
	if arg.Clock == "" {
		return nil, nil, errors.New("no clock")
	}
	clock, err := NewClock(arg.Clock)
	if err != nil {
		return nil, nil, err
	}
	return map[string]Verb{
		"pid":  On(func(context.Context, struct{}) (int, error) { return os.Getpid(), nil }),
		"fail": On(func(context.Context, struct{}) (int, error) { return 0, errors.New("as it was told to") }),
		"hang": On(func(ctx context.Context, _ struct{}) (int, error) { <-ctx.Done(); return 0, ctx.Err() }),
		"ticks": On(func(_ context.Context, n int) ([]uint64, error) {
			all := make([]uint64, n)
			for i := range all {
				all[i] = clock.Tick()
			}
			return all, nil
		}),
	}, func() { _ = clock.Close() }, nil
}

func TestChildAnswersUntilItIsKilled(t *testing.T) {
	c := Start(t, "echo", echoArg{Clock: filepath.Join(t.TempDir(), "clock")})
	var pid int
	if err := c.Call(t.Context(), "pid", struct{}{}, &pid); err != nil || pid == os.Getpid() || pid != c.cmd.Process.Pid {
		t.Fatalf("pid = %d, %v", pid, err)
	}
	for _, verb := range []string{"fail", "unheard of"} {
		if err := c.Call(t.Context(), verb, struct{}{}, nil); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("%s: %v, want the child's own error", verb, err)
		}
	}
	c.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "pid", struct{}{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen child: %v, want no answer", err)
	}
	c.Continue()
	if err := c.Call(t.Context(), "pid", struct{}{}, nil); err != nil {
		t.Errorf("after Continue: %v", err)
	}
	hanging := make(chan error)
	go func() { hanging <- c.Call(context.Background(), "hang", struct{}{}, nil) }()
	c.Kill()
	if err := <-hanging; !errors.Is(err, ErrGone) {
		t.Errorf("a call under way: %v, want ErrGone", err)
	}
	if err := c.Call(t.Context(), "pid", struct{}{}, nil); !errors.Is(err, ErrGone) {
		t.Errorf("after Kill: %v, want ErrGone", err)
	}
}

func TestClockIsOneForAllProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	clock, err := NewClock(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := Start(t, "echo", echoArg{path}), Start(t, "echo", echoArg{path})
	const each = 20000
	var first, second []uint64
	before := clock.Tick()
	var wg sync.WaitGroup
	wg.Go(func() { err = errors.Join(err, a.Call(t.Context(), "ticks", each, &first)) })
	errB := b.Call(t.Context(), "ticks", each, &second)
	wg.Wait()
	if err = errors.Join(err, errB); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, tick := range append(first, second...) {
		if seen[tick] || tick <= before {
			t.Fatalf("tick %d was given twice, or before it was asked for", tick)
		}
		seen[tick] = true
	}
	if tick := clock.Tick(); tick != before+2*each+1 {
		t.Errorf("the last tick is %d, want %d", tick, before+2*each+1)
	}
	if err := clock.Close(); err != nil {
		t.Error(err)
	}
}

func TestSourceCountsLoads(t *testing.T) {
	s := NewSource(t)
	store := Dial(s.Addr(), 7)
	defer store.Close()
	if v, err := store.Load(t.Context(), "a"); v != 1 || err != nil {
		t.Errorf("the first version is %d, %v", v, err)
	}
	if v, err := store.Commit(t.Context(), "a"); v != 2 || err != nil {
		t.Errorf("Commit = %d, %v", v, err)
	}
	s.Behave(func(ctx context.Context, ask Ask, answer Answer) Answer {
		if ask.Process != 7 || answer.Version != 2 {
			t.Errorf("asked %+v, to answer %+v", ask, answer)
		}
		<-ctx.Done() // the end of the source
		return Answer{Err: "down"}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := store.Load(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a load that outlasts its context: %v", err)
	}
	s.Behave(func(context.Context, Ask, Answer) Answer { return Answer{Err: "down"} })
	if _, err := store.Load(t.Context(), "a"); err == nil || err.Error() != "down" {
		t.Errorf("a failing load: %v", err)
	}
	if n := s.Loads("a"); n != 3 {
		t.Errorf("%d loads, want 3", n)
	}
	if _, err := NewClock(filepath.Join(t.TempDir(), "no", "folder")); err == nil {
		t.Error("a clock without a folder was opened")
	}
}

func TestBoundCatches(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name string
		b    Bound
		bad  bool
	}{
		{"within the bound", Bound{Figure: 4 * ms, Bound: 5 * ms, Control: ms, Twin: 100 * ms}, false},
		{"a slow machine", Bound{Figure: 14 * ms, Bound: 5 * ms, Control: 5 * ms, Twin: 100 * ms}, false},
		{"worse than both", Bound{Figure: 14 * ms, Bound: 5 * ms, Control: 4 * ms, Twin: 100 * ms}, true},
		{"no better than the recipe", Bound{Figure: 4 * ms, Bound: 5 * ms, Control: 4 * ms, Twin: 7 * ms}, true},
		{"typically no better", Bound{Figure: 4 * ms, Bound: 5 * ms, Control: 4 * ms, Typical: 3 * ms, Twin: 5 * ms}, true},
		{"typically better", Bound{Figure: 4 * ms, Bound: 5 * ms, Control: 4 * ms, Typical: 2 * ms, Twin: 5 * ms}, false},
		{"no recipe", Bound{Figure: 4 * ms, Bound: 5 * ms, Control: 4 * ms}, false},
	} {
		if got := test.b.verdict(); (got != "") != test.bad {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	all := []time.Duration{5, 1, 4, 2, 3}
	if q := []time.Duration{Quantile(all, 0), Quantile(all, 0.5), Quantile(all, 0.99), Quantile(nil, 1)}; q[0] != 1 || q[1] != 3 || q[2] != 5 || q[3] != 0 {
		t.Errorf("quantiles %v", q)
	}
}

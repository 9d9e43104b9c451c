package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
)

var errCommitLost = errors.New("the connection was lost after the commit")

// writeThrough writes a key through the cache, or by the recipe: the source
// refuses some writes, and fails some after it has committed them.
func (t *traffic) writeThrough(ctx context.Context, rng *rand.Rand, key int) error {
	name, refuses, fails := rowName(key), rng.IntN(5) == 0, rng.IntN(8) == 0
	var version uint64
	write := func(ctx context.Context) (r cache.Result[row], err error) {
		if refuses {
			return r, cache.ErrRefused
		}
		if version, err = t.p.store.Commit(ctx, name); err == nil && fails {
			err = errCommitLost
		}
		r.Value = row{Version: version, Pad: "some weight for a row"}
		return r, err
	}
	begin := t.clock.Tick()
	var err error
	if t.p.arg.Recipe == redstarts {
		err = t.p.rows.Write(ctx, name, write)
	} else {
		err = t.cacheFirst(ctx, name, write)
	}
	switch {
	case version == 0: // refused, or the server was away
		return nil
	case err != nil:
		return t.add(history.InvalidateFailed, key, version, begin)
	default:
		return t.add(history.Invalidated, key, version, begin)
	}
}

// cacheFirst is the recipe: the new value goes into the cache, then into the
// database.
func (t *traffic) cacheFirst(ctx context.Context, name string, write func(context.Context) (cache.Result[row], error)) error {
	version, err := t.p.store.Load(ctx, name)
	if err != nil {
		return err
	}
	through := naive.CacheThenDatabase{CacheAside: naive.CacheAside{Client: t.direct.Client, TTL: t.p.arg.TTL}, Store: func(ctx context.Context, _, _ string) error {
		_, err := write(ctx)
		return err
	}}
	return through.Write(ctx, keyOf(name), strconv.FormatUint(version+1, 10))
}

// dieArg says where in a write the process is to die.
type dieArg struct {
	Key   string
	After bool // the commit; else before it
}

func (p *process) dieWriting(ctx context.Context, arg dieArg) (int, error) {
	return 0, p.rows.Write(ctx, arg.Key, func(ctx context.Context) (r cache.Result[row], err error) {
		if arg.After {
			if _, err = p.store.Commit(ctx, arg.Key); err != nil {
				return r, err
			}
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err == nil {
			select {} // it is on its way
		}
		return r, err
	})
}

// TestW1WriteThrough: writers in several processes write through the cache to a
// source that refuses some writes and loses some answers, under every fault; then
// writes are refused one by one, and writers die before and after the commit.
func TestW1WriteThrough(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	reads, floors, same, before, after := 0, 0, 0, 0, 0
	var first *storm
	var longest, control time.Duration
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := gatherThrough(t, l, redstarts, seed, 3)
			servers = append(servers, name)
			s.moreReads(100)
			s.rage(harness.Choose(form, 3*time.Second, 30*time.Second), 0, s.faultsOf(true))
			s.moreReads(100)
			s.stop()
			events, err := history.ReadDir(s.args[0].History)
			if err != nil {
				t.Fatal(err)
			}
			reportAll(t, history.Stale(events))
			reportAll(t, history.Invented(events))
			r, f := history.Count(events, history.Read), history.Count(events, history.Invalidated)
			t.Logf("%d reads, %d writes, %d failed after the commit; faults: %v", r, f, history.Count(events, history.InvalidateFailed), s)
			if r == 0 || f == 0 || s.kills == 0 || s.freezes == 0 || s.restarts == 0 || s.lost == 0 {
				t.Error("the run proves nothing")
			}
			reads, floors = reads+r, floors+f
			if i == 0 {
				first = s
			}
		})
		t.Run(l.Name+", refused", func(t *testing.T) { same += refusals(t, l, harness.Choose(form, 50, 1000)) })
		t.Run(l.Name+", dying", func(t *testing.T) {
			b, a, most, bare := deaths(t, l, harness.Choose(form, 3, 25))
			before, after, longest, control = before+b, after+a, max(longest, most), max(control, bare)
		})
	}
	harness.Bound{What: "the old value after its writer's death", Figure: longest, Bound: throughLease + 50*time.Millisecond, Control: control}.Judge(t)
	ahead, of := naiveThrough(t, seed)
	keep(t, form, "W1", servers, "%d refused writes left the entry as it was, to the byte; 0 of %d reads older than one of %d writes that had returned, and 0 of what the source never had; on the first server: %v; of %d writers killed before the commit 0 changed anything, after the commit of %d the old value was read for at most %s with a block of %v (a bare key of as long: %s) "+
		"(cache, then database: %d of %d reads of what the source refused)",
		same, reads, floors, first, before, after, harness.Short3(longest), throughLease, harness.Short3(control), ahead, of)
}

// gatherThrough is gather with writers that write through.
func gatherThrough(t *testing.T, l redstarttest.Launcher, recipe string, seed uint64, processes int) (*storm, string) {
	t.Helper()
	return gatherOf(t, l, recipe, seed, processes, true)
}

const throughLease = 300 * time.Millisecond

// refusals counts entries that are as they were after their write was refused.
func refusals(t *testing.T, l redstarttest.Launcher, times int) (same int) {
	t.Helper()
	server, _ := start(t, l, redstarttest.ServerConfig{})
	client, rows, err := openRows(memberArg{URL: server.URL(), TTL: time.Hour, Lease: throughLease, LoadTimeout: time.Second, ErrorTTL: time.Second},
		func(context.Context, string) (row, error) { return row{Version: 1}, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range times {
		key := rowName(i % 10)
		was, err := rows.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		look := func() (string, int64) {
			raw, err := client.Do(t.Context(), client.B().Get().Key(keyOf(key)).Build()).ToString()
			if err != nil {
				t.Fatal(err)
			}
			end, err := client.Do(t.Context(), client.B().Pttl().Key(keyOf(key)).Build()).AsInt64()
			if err != nil {
				t.Fatal(err)
			}
			return raw, end
		}
		raw, left := look()
		err = rows.Write(t.Context(), key, func(context.Context) (r cache.Result[row], err error) {
			if now, err := rows.Get(t.Context(), key); err != nil || now != was {
				t.Errorf("read during a write: %+v, %v", now, err)
			}
			return r, fmt.Errorf("no: %w", cache.ErrRefused)
		})
		now, leftNow := look()
		if !errors.Is(err, cache.ErrRefused) || now != raw || leftNow > left || leftNow < left-10_000 {
			t.Errorf("after a refused write: %v; the same is %v, %d ms to live after %d", err, now == raw, leftNow, left)
			continue
		}
		same++
	}
	return same
}

// deaths kills writers before and after they commit, and says for how long the old
// value was read at most after the commit; control is how long a bare key lasts
// that expires as late.
func deaths(t *testing.T, l redstarttest.Launcher, times int) (before, after int, longest, control time.Duration) {
	t.Helper()
	server, _ := start(t, l, redstarttest.ServerConfig{})
	source := harness.NewSource(t)
	arg := memberArg{
		Recipe: redstarts, URL: server.URL(), Direct: server.URL(), Source: source.Addr(),
		TTL: time.Hour, Lease: throughLease, LoadTimeout: 5 * time.Second, ErrorTTL: 50 * time.Millisecond,
	}
	client, rows, err := openRows(arg, func(_ context.Context, key string) (row, error) { return row{Version: source.Version(key)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range times {
		for _, afterwards := range []bool{false, true} {
			key := fmt.Sprintf("k%d", 100+2*i)
			if afterwards {
				key = fmt.Sprintf("k%d", 101+2*i)
			}
			was, err := rows.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			child := harness.Start(t, "member", arg)
			if err := child.Call(t.Context(), "die", dieArg{Key: key, After: afterwards}, nil); !errors.Is(err, harness.ErrGone) {
				t.Fatalf("the writer lives: %v", err)
			}
			died := time.Now()
			want := source.Version(key)
			if afterwards != (want > was.Version) {
				t.Fatalf("the writer died elsewhere: version %d after %d", want, was.Version)
			}
			until := died.Add(2 * throughLease)
			for time.Now().Before(until) {
				r, err := rows.Get(t.Context(), key)
				now := time.Now()
				if err != nil || r.Version != was.Version && r.Version != want {
					t.Fatalf("%+v, %v", r, err)
				}
				if r.Version < want {
					longest = max(longest, now.Sub(died))
				}
				<-time.After(2 * time.Millisecond)
			}
			if r, err := rows.Get(t.Context(), key); err != nil || r.Version != want {
				t.Errorf("long after the writer's death: %+v, %v; the source has %d", r, err, want)
			}
			if afterwards {
				after++
			} else {
				before++
			}
		}
	}
	return before, after, longest, bareLife(t, client, throughLease)
}

// bareLife is how long a key is seen that expires after so long.
func bareLife(t *testing.T, client rueidis.Client, d time.Duration) time.Duration {
	t.Helper()
	if err := client.Do(t.Context(), client.B().Set().Key("bare").Value("x").PxMilliseconds(d.Milliseconds()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for {
		err := client.Do(t.Context(), client.B().Get().Key("bare").Build()).Error()
		if rueidis.IsRedisNil(err) {
			return time.Since(began)
		}
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// naiveThrough is how many reads of the recipe give what the source never had, or
// not yet. The checker must find some.
func naiveThrough(t *testing.T, seed uint64) (ahead, of int) {
	t.Helper()
	t.Run(cacheFirst, func(t *testing.T) {
		s, _ := gatherThrough(t, redstarttest.Launchers()[0], cacheFirst, seed, 2)
		s.moreReads(100)
		s.rage(time.Second, 0, []func(){s.delays})
		s.moreReads(100)
		s.stop()
		events, err := history.ReadDir(s.args[0].History)
		if err != nil {
			t.Fatal(err)
		}
		ahead, of = len(history.Invented(events)), history.Count(events, history.Read)
		if ahead == 0 {
			t.Errorf("the checker finds nothing wrong with %d reads", of)
		}
	})
	return ahead, of
}

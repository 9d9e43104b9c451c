package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/batch"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// passing are the answers of a deployment that moves and recovers: none is for
// a caller's eyes (K2).
var passing = []string{"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "LOADING", "READONLY", "CLUSTERDOWN"}

// seen is what callers saw.
type seen struct {
	calls, items, passing, harmless, unknown, other atomic.Int64 // items: of batches, calls too
	first                                           atomic.Pointer[error]
}

// note sorts an error; harmless says that the call may run twice.
func (s *seen) note(err error, harmless bool) {
	s.calls.Add(1)
	if err == nil || rueidis.IsRedisNil(err) {
		return
	}
	s.first.CompareAndSwap(nil, &err)
	if reply, ok := errors.AsType[*rueidis.RedisError](err); ok {
		for _, code := range passing {
			if strings.HasPrefix(reply.Error(), code) {
				s.passing.Add(1)
				return
			}
		}
	}
	switch {
	case harmless:
		s.harmless.Add(1)
	case redstart.OutcomeOf(err) == redstart.Unknown:
		s.unknown.Add(1)
	default:
		s.other.Add(1)
	}
}

func (s *seen) judge(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d calls, %d saw a passing answer, %d that may run twice an error, %d others one, %d Unknown",
		what, s.calls.Load(), s.passing.Load(), s.harmless.Load(), s.other.Load(), s.unknown.Load())
	if s.passing.Load()+s.harmless.Load()+s.other.Load() > 0 {
		t.Errorf("%s: for example %v", what, *s.first.Load())
	}
}

// mixed sends reads, writes and scripts on keys of one tag until stop, each
// with half a minute: by Do, by DoMulti, by Script and as items of a batch.
func mixed(t *testing.T, c *redstart.Client, tag string, s *seen) (stop func()) {
	t.Helper()
	two := redstart.NewScript("two keys", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
	ctx, end := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				call, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				a, b := tag+strconv.Itoa(i%50), tag+"w"+strconv.Itoa(w)
				s.note(c.Do(call, c.B().Get().Key(a).Build()).Error(), true)
				s.note(c.Do(call, c.B().Set().Key(tag+"s").Value("x").Build()).Error(), true)
				s.note(two.Exec(call, c, []string{a, b}, nil).Error(), false)
				for j, r := range c.DoMulti(call, c.B().Get().Key(a).Build(), two.Command(c, []string{a, b}, nil), c.B().Incr().Key(b).Build()) {
					s.note(r.Error(), j == 0)
				}
				// In this order no item is later than another on its Key, so each may be sent again.
				for r := range batch.Do(call, c, slices.Values([]batch.Command{
					{Words: []string{"SET", tag + "s", "x"}, Key: tag + "s", Idempotent: true},
					batch.Eval(c, two, []string{a, b}, nil),
					{Words: []string{"INCR", b}, Key: b},
				}), batch.Config{Wait: 30 * time.Second}) {
					s.note(r.Err, r.Index == 0)
					s.items.Add(1)
				}
				for r := range batch.Get(call, c, slices.Values([]string{a, b, tag + "s"}), batch.Config{Wait: 30 * time.Second}) {
					s.note(r.Err, true)
					s.items.Add(1)
				}
				cancel()
			}
		})
	}
	return func() { end(); wg.Wait() }
}

// more waits until traffic has gone on, by calls of their own.
func more(t *testing.T, s *seen, calls int64) {
	t.Helper()
	single := func() int64 { return s.calls.Load() - s.items.Load() }
	before := single()
	redstarttest.Eventually(t, 60*time.Second, "traffic goes on", func() bool { return single() > before+calls })
}

// K2: what a deployment says while it recovers or moves reaches no caller.
func TestK2PassingAnswersReachNobody(t *testing.T) {
	form := harness.Run(t)
	rounds := harness.Choose(form, 3, 20)
	l := launchers(t, form, false)[0]
	s, name := start(t, l, redstarttest.ServerConfig{AOF: "everysec", Args: []string{"--key-load-delay", harness.Choose(form, "300", "30"), "--loading-process-events-interval-bytes", "1024", "--aof-use-rdb-preamble", "no"}})

	alone := &seen{}
	c := openHere(t, s.URL(), redstart.Config{})
	for i := range 2000 { // so that it takes a while to load
		if err := c.Do(t.Context(), c.B().Set().Key("fill:"+strconv.Itoa(i)).Value(strings.Repeat("x", 64)).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	stop := mixed(t, c, "{alone}", alone)
	restarts := harness.Choose(form, 1, 3)
	for range restarts {
		for range rounds * 5 {
			if _, err := s.Do(t.Context(), "SCRIPT", "FLUSH"); err != nil {
				t.Fatal(err)
			}
			more(t, alone, 20)
		}
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		loading, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		err := s.Restart(loading)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		more(t, alone, 100)
	}
	stop()
	alone.judge(t, "alone")

	cl := topology.RunCluster(t, topology.ClusterConfig{Path: l.Path})
	moved := &seen{}
	cc := openHere(t, cl.URL(), redstart.Config{})
	stop = mixed(t, cc, "{moving}", moved)
	more(t, moved, 500)
	twin, tried := naiveTwin(t, cl)
	slot := 0
	if n, err := cc.Do(t.Context(), cc.B().ClusterKeyslot().Key("{moving}").Build()).AsInt64(); err != nil {
		t.Fatal(err)
	} else {
		slot = int(n)
	}
	for range rounds {
		moveSlowly(t, cl, slot, moved, tried)
	}
	naive := twin()
	if naive == 0 {
		t.Error("the bare client saw no TRYAGAIN: nothing was tried")
	}
	victim, err := cl.PrimaryOf(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cl.WaitPromoted(t.Context(), slot, victim); err != nil {
		t.Fatal(err)
	}
	more(t, moved, 500)
	stop()
	moved.judge(t, "cluster")

	keep(t, form, "K2", []string{name}, "%s", fmt.Sprintf(
		"0 of %d calls alone (%d SCRIPT FLUSH, %d kills with a slow load of the AOF) and 0 of %d in a cluster (%d moves of a live slot key by key, a primary killed), %d of all as items of a batch, saw NOSCRIPT, MOVED, ASK, TRYAGAIN, LOADING, READONLY or CLUSTERDOWN; reads and commands that may run twice saw no error, the others %d Unknown (a bare client's two-key script in the same moves: %d TRYAGAIN)",
		alone.calls.Load(), restarts*rounds*5, restarts, moved.calls.Load(), rounds, alone.items.Load()+moved.items.Load(), alone.unknown.Load()+moved.unknown.Load(), naive))
}

// moveSlowly takes a slot to another primary, a few keys at a time under
// traffic.
func moveSlowly(t *testing.T, cl *topology.Cluster, slot int, s *seen, tried *atomic.Int64) {
	t.Helper()
	from, err := cl.PrimaryOf(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	to := cl.Nodes()[0]
	if to == from {
		to = cl.Nodes()[1]
	}
	m, err := cl.BeginMigration(t.Context(), slot, to)
	if err != nil {
		t.Fatal(err)
	}
	for {
		n, err := m.MoveKeys(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if n < 10 {
			break
		}
		before := tried.Load() // traffic in the middle of the move
		redstarttest.Eventually(t, 60*time.Second, "the bare client tries", func() bool { return tried.Load() > before+3 })
	}
	if err := m.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	more(t, s, 100)
}

// naiveTwin runs a two-key script through a bare client until it is asked how
// many TRYAGAIN its callers saw; tried counts its calls.
func naiveTwin(t *testing.T, cl *topology.Cluster) (stop func() int64, tried *atomic.Int64) {
	t.Helper()
	bare, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: cl.Addrs(), DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	script := rueidis.NewLuaScript("redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
	ctx, end := context.WithCancel(t.Context())
	var tryAgain atomic.Int64
	tried = &atomic.Int64{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			err := script.Exec(ctx, bare, []string{"{moving}" + strconv.Itoa(i%50), "{moving}naive"}, nil).Error()
			if err != nil && strings.HasPrefix(err.Error(), "TRYAGAIN") {
				tryAgain.Add(1)
			}
			tried.Add(1)
		}
	})
	return func() int64 {
		end()
		wg.Wait()
		bare.Close()
		return tryAgain.Load()
	}, tried
}

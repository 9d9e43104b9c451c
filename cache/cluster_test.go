package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// In a cluster the stamps of an entry lie on other nodes than the entry, and
// nothing depends on the order in which they answer.
func TestRefinementsInACluster(t *testing.T) {
	cluster := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1})
	dice := newDice(t)
	var well atomic.Bool // the source no longer fails; a refresh may still be under way then
	src := &counter{
		pause: func() time.Duration { return time.Duration(dice(int64(4 * time.Millisecond))) },
		fail:  func() bool { return !well.Load() && dice(4) == 0 },
	}
	var caches []*Cache[int, user]
	for range 2 {
		caches = append(caches, results(t, open(t, cluster.URL(), redstart.Config{}), func(ctx context.Context, _ int, _ Old[user]) (Result[user], error) {
			v, err := src.load(ctx)
			return Result[user]{Value: user{ID: int(v)}, Tags: names("told", "told too")}, err
		}, keep, byID, func(cfg *Config[int, user]) {
			cfg.Refresh, cfg.Clearable, cfg.ErrorTTL, cfg.SoftTimeout = Refresh{Fraction: 0.5}, true, time.Millisecond, 2*time.Millisecond
		}))
	}
	raw := open(t, cluster.URL(), redstart.Config{})
	var readers []func(context.Context) (int64, error)
	for i := range 6 {
		readers = append(readers, func(ctx context.Context) (int64, error) {
			u, err := caches[i%2].Get(ctx, 1)
			return int64(u.ID), err
		})
	}
	n := history(t, src, 60, readers, func() error {
		us := caches[dice(2)]
		switch dice(4) {
		case 0:
			return us.Invalidate(t.Context(), 1)
		case 1:
			return us.Clear(t.Context())
		default:
			return us.InvalidateTag(t.Context(), []string{"all", "user 1", "told", "told too"}[dice(4)])
		}
	}, func() {
		left := time.Duration(dice(int64(2*time.Hour))) + time.Second
		_ = raw.Do(t.Context(), raw.B().Pexpire().Key("user:1").Milliseconds(left.Milliseconds()).Lt().Build())
	})
	s, s2 := caches[0].Stats(), caches[1].Stats()
	t.Logf("%+v of %d loads; %+v", n, src.loads.Load(), s)
	if n.stale != 0 || n.back != 0 || n.served == 0 || s.Stale+s2.Stale == 0 || s.Refreshes+s2.Refreshes == 0 {
		t.Errorf("%+v; want none stale, and some refreshed and some past their TTL", n)
	}

	// One key a node and more: what ends by one write ends everywhere.
	well.Store(true)
	for id := range 30 {
		if _, err := caches[0].Get(t.Context(), id+2); err != nil {
			t.Fatal(err)
		}
	}
	slots := map[string]bool{}
	for _, k := range []string{"user:1", "user:%:%tag:all", "user:%:%tag:told", "user:%:%clear", "user:%:%ledger"} {
		slot, err := raw.Do(t.Context(), raw.B().ClusterKeyslot().Key(k).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		slots[fmt.Sprint(slot)] = true
	}
	if len(slots) < 4 {
		t.Errorf("the stamps share slots: %v", slots)
	}
	if err := caches[0].InvalidateTag(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	for id := range 30 {
		if u, ok, err := caches[1].Peek(t.Context(), id+2); ok {
			t.Errorf("Peek(%d) = %+v, %v", id+2, u, err)
		}
	}
	redstarttest.Eventually(t, 10*time.Second, "all work is done", func() bool {
		return caches[0].refreshing.Busy() == 0
	})
}

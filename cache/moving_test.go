package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// refusedMoved is how many commands a node has refused since the slot is not
// its own.
func refusedMoved(t *testing.T, n *topology.Node) int {
	t.Helper()
	info, err := n.Do(t.Context(), "INFO", "errorstats")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info.(string), "errorstat_MOVED:count=")
	count, _, _ := strings.Cut(rest, "\r\n")
	refused, _ := strconv.Atoi(count) // 0 for none
	return refused
}

// adrift has a slot that its old primary has given up and its new one has not
// yet taken, so that each names the other, until arrive is called.
func adrift(t *testing.T, cl *topology.Cluster, slot int) (refused func() int, arrive func()) {
	t.Helper()
	from, err := cl.PrimaryOf(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	nodes := slices.Clone(cl.Nodes())
	to := nodes[0]
	if to == from {
		to = nodes[1]
	}
	m, err := cl.BeginMigration(t.Context(), slot, to)
	if err != nil {
		t.Fatal(err)
	}
	for moved := 1; moved > 0; {
		if moved, err = m.MoveKeys(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
	}
	id, err := to.Do(t.Context(), "CLUSTER", "MYID")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.Do(t.Context(), "CLUSTER", "SETSLOT", strconv.Itoa(slot), "NODE", id.(string)); err != nil {
		t.Fatal(err)
	}
	return func() int { return refusedMoved(t, to) }, func() {
		if err := m.End(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// passing reports whether an error is an answer about a slot on its way.
func passing(err error) bool {
	var reply *rueidis.RedisError
	return errors.As(err, &reply) && (strings.HasPrefix(reply.Error(), "MOVED") || strings.HasPrefix(reply.Error(), "ASK") || strings.HasPrefix(reply.Error(), "TRYAGAIN"))
}

// Each call on a key whose slot has no owner for a while waits for one.
func TestSlotAdrift(t *testing.T) {
	cluster := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1, NodeTimeout: 5 * time.Second})
	src := &calls{}
	us := manyUsers(t, open(t, cluster.URL(), redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
		src.add(ids)
		return every(ids), nil
	}, func(cfg *Config[int, user]) {
		cfg.Key, cfg.Load = "{adrift}:<id>", nil
		cfg.Tags, cfg.Clearable = func(int) []string { return []string{"tag"} }, true
	})
	slot := int(key.Slot("{adrift}"))
	some := upTo(50)
	if _, err := us.GetMany(t.Context(), some); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := us.Get(ctx, 1); return err },
		"Peek": func(ctx context.Context) error { _, _, err := us.Peek(ctx, 1); return err },
		"a Get that misses": func(ctx context.Context) error {
			u, err := us.Get(ctx, 1000)
			if err == nil && u.ID != 1000 {
				err = fmt.Errorf("got %+v", u)
			}
			return err
		},
		"GetMany": func(ctx context.Context) error {
			got, err := us.GetMany(ctx, some)
			if err == nil {
				isEvery(t, some, got, err)
			}
			return err
		},
		"a GetMany that misses": func(ctx context.Context) error {
			ids := []int{2000, 2001, 1}
			got, err := us.GetMany(ctx, ids)
			if err == nil {
				isEvery(t, ids, got, err)
			}
			return err
		},
		"Warm": func(ctx context.Context) error {
			w, err := us.Warm(ctx, slices.Values([]int{1, 3000, 3001}), nil)
			if err == nil && w.Present+w.Loaded != 3 {
				err = fmt.Errorf("%+v", w)
			}
			return err
		},
		"Set":        func(ctx context.Context) error { return us.Set(ctx, 5000, every([]int{5000})[5000]) },
		"Invalidate": func(ctx context.Context) error { return us.Invalidate(ctx, 6000) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			refused, arrive := adrift(t, cluster, slot)
			before := refused()
			done := make(chan error, 1)
			go func() { done <- call(ctx) }()
			var err error
			ended := false
			redstarttest.Eventually(t, 30*time.Second, "it was refused more often than the client follows", func() bool {
				select {
				case err = <-done:
					ended = true
				default:
				}
				return ended || refused() > before+60
			})
			arrive()
			if !ended {
				err = <-done
			}
			switch {
			case ended:
				t.Errorf("it did not wait: %v", err)
			case err != nil:
				t.Error(err)
			}
		})
	}
	t.Run("a deadline", func(t *testing.T) {
		_, arrive := adrift(t, cluster, slot)
		defer arrive()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := us.Get(ctx, 1); passing(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at its deadline Get says %v", err)
		}
		got, err := us.GetMany(ctx, some[:3])
		if passing(err) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(got[2].Err, context.DeadlineExceeded) {
			t.Errorf("at its deadline GetMany says %v", err)
		}
	})
	for id, n := range src.perID() {
		if n != 1 {
			t.Errorf("%d was loaded %d times", id, n)
		}
	}
}

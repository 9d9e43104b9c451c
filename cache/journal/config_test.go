package journal

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

// Every wrong field is told at once.
func TestConfig(t *testing.T) {
	c := open(t, mini(t), redstart.Config{})
	type point struct{ X, Y int }
	_, err := New(c, Config[point, string]{
		Name: "a:b", Partitions: -1, BatchSize: 1 << 20, BatchWait: -1, Writers: -1, ApplyTimeout: -1, Lease: time.Millisecond,
		MaxRecords: 3, AtBound: 9, Attempts: -1, Backoff: time.Second, MaxBackoff: time.Millisecond, MaxDead: -1,
		Durability: Replicated(0, -1), Cache: cache.Config[point, string]{Key: "{x}:<id>"},
	})
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, field := range []string{
		"Name", "Partitions", "BatchSize", "BatchWait", "Writers", "ApplyTimeout", "Lease", "AtBound", "Attempts",
		"MaxBackoff", "MaxDead", "Durability", "Cache.Key", "Cache.Args",
	} {
		if !strings.Contains(err.Error(), "config: "+field+":") {
			t.Errorf("nothing is said of %s:\n%v", field, err)
		}
	}
	_, err = New(c, Config[string, string]{Name: "a"})
	if err == nil || !strings.Contains(err.Error(), "Key") || !strings.Contains(err.Error(), "Load") {
		t.Errorf("nothing is said of the cache: %v", err)
	}
	_, err = New(c, Config[string, string]{})
	if err == nil || !strings.Contains(err.Error(), "Name") {
		t.Errorf("nothing is said of the name: %v", err)
	}
}

// Ids of other types than text, and ids that look like keys of the journal.
func TestIDs(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		type pair struct{ Tenant, ID string }
		got := map[pair]string{}
		j, err := New(c, Config[pair, string]{
			Name: "pairs", Partitions: 2, BatchWait: time.Millisecond,
			Cache: cache.Config[pair, string]{
				Key: "t:<tenant>:<id>", Args: func(p pair) []string { return []string{p.Tenant, p.ID} },
				Load: newPairs(got),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []pair{{"a b", "c"}, {"a", "b c"}, {"%log", "%state"}, {"{x}", "{y}:%newest"}} {
			if err := j.Put(t.Context(), p, p.Tenant+"|"+p.ID); err != nil {
				t.Fatal(err)
			}
			if err := j.Cache().Invalidate(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if v, err := j.Get(t.Context(), p); err != nil || v != p.Tenant+"|"+p.ID {
				t.Errorf("%+v is %q, %v", p, v, err)
			}
		}
		numbers, err := New(c, Config[int64, string]{
			Name: "numbers", Cache: cache.Config[int64, string]{Key: "<id>", Load: newPairs(map[int64]string{})},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := numbers.Put(t.Context(), -5, "v"); err != nil {
			t.Fatal(err)
		}
		if v, err := numbers.Get(t.Context(), -5); v != "v" || err != nil {
			t.Error(v, err)
		}
	})
}

// newPairs loads from a map.
func newPairs[K comparable](m map[K]string) func(context.Context, K) (string, error) {
	return func(_ context.Context, id K) (string, error) {
		if v, ok := m[id]; ok {
			return v, nil
		}
		return "", cache.ErrNotFound
	}
}

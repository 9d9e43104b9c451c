package cache

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// held is a cache of one value, which its loads count.
type held struct {
	*Cache[int, int64]
	t     *testing.T
	loads atomic.Int64
}

func newHeld(t *testing.T, c *redstart.Client) *held {
	t.Helper()
	h := &held{t: t}
	var err error
	h.Cache, err = New(c, Config[int, int64]{
		Key: "held:<id>", Tags: func(int) []string { return []string{"a", "b"} }, Clearable: true, Lease: time.Minute,
		Load: func(context.Context, int) (int64, error) { return h.loads.Add(1), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// reads checks what a Get gives: what is cached, or what a load of its own does.
func (h *held) reads(what string, want int64) {
	h.t.Helper()
	if v, err := h.Get(h.t.Context(), 1); err != nil || v != want {
		h.t.Errorf("%s: %d, %v, want %d", what, v, err, want)
	}
}

func (h *held) hold(tags ...string) *Hold {
	h.t.Helper()
	if len(tags) == 0 {
		held, err := h.HoldAll(h.t.Context())
		h.must(err)
		return held
	}
	held, err := h.HoldTags(h.t.Context(), tags...)
	h.must(err)
	return held
}

func (h *held) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// While a tag is held nothing with it is served or becomes cached.
func TestHold(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		h, other := newHeld(t, c), newHeld(t, open(t, url, redstart.Config{}))
		ctx := t.Context()
		h.reads("cold", 1)
		h.reads("cached", 1)

		one := h.hold("a")
		h.reads("held", 2)
		h.reads("held, again", 3)
		h.must(h.Set(ctx, 1, 77))
		h.reads("held, set", 4)
		two := other.hold("b", "a")
		h.must(one.Release(ctx))
		h.reads("held by another", 5)
		h.must(h.InvalidateTag(ctx, "a"))
		h.must(h.Clear(ctx))
		h.reads("held whatever is invalidated", 6)
		h.must(two.Release(ctx))
		h.must(two.Release(ctx))
		h.reads("released", 7)
		h.reads("cached again", 7)

		h.must(h.hold("b").Withdraw(ctx))
		h.reads("withdrawn", 7)
		h.must(h.hold().Withdraw(ctx))
		h.reads("all withdrawn", 7)
		one, two = h.hold("a"), other.hold("a")
		h.must(two.Withdraw(ctx))
		h.reads("one withdrawn, one holds", 8)
		two = other.hold("a")
		h.must(one.Release(ctx))
		h.must(two.Withdraw(ctx))
		h.reads("one released, the other withdrawn", 9)
		h.reads("cached again", 9)

		one = h.hold()
		h.reads("all held", 10)
		h.must(one.Release(ctx))
		h.reads("all released", 11)
		h.reads("cached again", 11)

		one = h.hold("a")
		h.must(h.InvalidateTag(ctx, "a"))
		h.must(one.Withdraw(ctx))
		h.reads("invalidated while held", 12)
		one = h.hold("a")
		h.must(c.Do(ctx, c.B().Del().Key("held:%:%tag:a").Build()).Error()) // evicted
		h.reads("the hold is lost", 13)
		h.reads("and something old cached", 13)
		h.must(one.Release(ctx))
		h.reads("until the release", 14)
		h.reads("cached again", 14)
		one = h.hold("a")
		h.must(c.Do(ctx, c.B().Del().Key("held:%:%tag:a").Build()).Error())
		h.reads("the hold is lost", 15)
		h.must(one.Withdraw(ctx))
		h.reads("and nothing changed", 15)
	})
}

// Who died while he held a tag has perhaps changed what it stands for: it is
// free when his time has come, and its entries are dead.
func TestHolderDies(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		h := newHeld(t, c)
		ctx := t.Context()
		h.reads("cold", 1)
		dead := func() {
			t.Helper()
			h.hold("a") // whose end is moved to the past
			const k = "held:%:%tag:a"
			v, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString()
			if err != nil || len(v) < 38 || v[0] != 'H' {
				t.Fatalf("a held tag is %q, %v", v, err)
			}
			h.must(c.Do(ctx, c.B().Set().Key(k).Value(v[:len(v)-13]+strings.Repeat("0", 13)).Build()).Error())
		}
		dead()
		h.reads("after the end of the hold", 2)
		h.reads("cached", 2)
		dead()
		h.must(h.hold("a").Withdraw(ctx))
		h.reads("a hold after his withdrawn", 3)
		h.reads("cached", 3)
	})
}

// A hold is kept up while its holder lives.
func TestHoldIsKept(t *testing.T) {
	c := open(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL(), redstart.Config{})
	h := newHeld(t, c)
	h.cfg.Lease = 150 * time.Millisecond
	one := h.hold("a")
	began := time.Now()
	for n := int64(1); time.Since(began) < 4*h.cfg.Lease; n++ {
		h.reads("held", n)
	}
	h.must(one.Release(t.Context()))
}

func TestHoldRefuses(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		plain, err := New(c, Config[int, int]{Key: "p:<id>", Load: func(context.Context, int) (int, error) { return 0, nil }})
		if err != nil {
			t.Fatal(err)
		}
		for _, hold := range []func() (*Hold, error){
			func() (*Hold, error) { return plain.HoldTags(t.Context(), "a") },
			func() (*Hold, error) { return plain.HoldAll(t.Context()) },
			func() (*Hold, error) { return newHeld(t, c).HoldTags(t.Context(), "a", "") },
		} {
			if h, err := hold(); h != nil || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("held: %v", err)
			}
		}
	})
}

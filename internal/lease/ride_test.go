package lease

import (
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// Marks as a cache makes them: one beginning, one length.
const (
	markA = "MARK! aaaaaaaaaa"
	markB = "MARK! bbbbbbbbbb"
	pause = "MARK! 0000000000"
)

func TestRide(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		mine := Ride{c, "k", markA, time.Minute}
		theirs := Ride{c, "k", markB, time.Minute}
		set := func(v string) {
			t.Helper()
			if err := c.Do(ctx, c.B().Set().Key("k").Value(v).Px(time.Hour).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		stands := func() string {
			t.Helper()
			v, err := c.Do(ctx, c.B().Get().Key("k").Build()).ToString()
			if err != nil && !rueidis.IsRedisNil(err) {
				t.Fatal(err)
			}
			return v
		}
		take := func(r Ride, head string, want Seen) time.Duration {
			t.Helper()
			seen, left, err := r.Take(ctx, []byte(head), time.Hour)
			if err != nil || seen != want {
				t.Fatalf("Take = %v, %v, %v, want %v", seen, left, err, want)
			}
			return left
		}
		take(mine, "v", Nothing)
		set("value")
		take(mine, "w", Other)
		if seen, _, err := mine.Take(ctx, []byte("val"), time.Minute); err != nil || seen != Other {
			t.Fatalf("Take of a value that was written since = %v, %v", seen, err)
		}
		take(mine, "val", Taken)
		if v := stands(); v[:len(markA)] != markA || v[len(markA)+13:] != "value" {
			t.Fatalf("ridden: %q", v)
		}
		if ms, err := c.Do(ctx, c.B().Pttl().Key("k").Build()).AsInt64(); err != nil || ms < 3590000 || ms > 3600000 {
			t.Errorf("the claim changed the TTL to %d ms, %v", ms, err)
		}
		if left := take(theirs, "value", Busy); left > time.Minute || left < 50*time.Second {
			t.Errorf("busy for %v", left)
		}
		must(t, true)(mine.Extend(ctx))
		must(t, false)(theirs.Extend(ctx))
		must(t, false)(theirs.Put(ctx, "no", time.Minute))
		must(t, false)(theirs.Rest(ctx, pause, time.Second))

		// A failed attempt leaves the value, and a pause that ends.
		must(t, true)(mine.Rest(ctx, pause, 100*time.Millisecond))
		if v := stands(); v[len(markA)+13:] != "value" {
			t.Fatalf("resting: %q", v)
		}
		take(theirs, "value", Busy)
		must(t, false)(mine.Put(ctx, "late", time.Minute))
		redstarttest.Eventually(t, 10*time.Second, "the pause ends", func() bool {
			seen, _, err := theirs.Take(ctx, []byte("value"), time.Hour)
			return err == nil && seen == Taken
		})
		for range 2 { // a repeated fill finds what it wrote
			must(t, true)(theirs.Put(ctx, "new", time.Minute))
		}
		if v := stands(); v != "new" {
			t.Fatalf("after the fill: %q", v)
		}

		// Anyone's SET or DEL ends a claim.
		take(mine, "new", Taken)
		set("foreign")
		must(t, false)(mine.Extend(ctx))
		must(t, false)(mine.Put(ctx, "late", time.Minute))
		must(t, false)(mine.Rest(ctx, pause, time.Minute))
		take(mine, "foreign", Taken)
		if err := c.Do(ctx, c.B().Del().Key("k").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		must(t, false)(mine.Extend(ctx))
		must(t, false)(mine.Put(ctx, "late", time.Minute))
		must(t, false)(mine.Rest(ctx, pause, time.Minute))
		if v := stands(); v != "" {
			t.Fatalf("after the DEL: %q", v)
		}
	})
}

// A claim whose holder died gives way to the next, and is then worth nothing.
func TestRideOfTheDead(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		if err := c.Do(ctx, c.B().Set().Key("k").Value("value").Px(time.Hour).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		dead := Ride{c, "k", markA, 100 * time.Millisecond}
		next := Ride{c, "k", markB, time.Minute}
		if seen, _, err := dead.Take(ctx, []byte("value"), time.Hour); err != nil || seen != Taken {
			t.Fatalf("Take = %v, %v", seen, err)
		}
		redstarttest.Eventually(t, 10*time.Second, "the lease runs out", func() bool {
			seen, _, err := next.Take(ctx, []byte("value"), time.Hour)
			return err == nil && seen == Taken
		})
		must(t, false)(dead.Put(ctx, "late", time.Minute))
		must(t, true)(next.Put(ctx, "new", time.Minute))
	})
}

// A kept claim outlives its time, and its loss is noticed.
func TestRideKept(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		if err := c.Do(ctx, c.B().Set().Key("k").Value("value").Px(time.Hour).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		const short = 300 * time.Millisecond
		mine, other := Ride{c, "k", markA, short}, Ride{c, "k", markB, short}
		if seen, _, err := mine.Take(ctx, []byte("value"), time.Hour); err != nil || seen != Taken {
			t.Fatalf("Take = %v, %v", seen, err)
		}
		lost, stop := mine.Keep()
		defer stop()
		began := time.Now()
		redstarttest.Eventually(t, 10*time.Second, "three times the lease has passed", func() bool { return time.Since(began) > 3*short })
		if seen, _, err := other.Take(ctx, []byte("value"), time.Hour); err != nil || seen != Busy {
			t.Fatalf("Take of a kept claim = %v, %v", seen, err)
		}
		if err := c.Do(ctx, c.B().Set().Key("k").Value("foreign").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-lost:
		case <-time.After(10 * time.Second):
			t.Fatal("the loss was not noticed")
		}
	})
}

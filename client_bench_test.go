package redstart

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// instant is an inner client whose calls cost nothing, so that what is left of
// a call through a Client is the Client's own.
type instant struct{ rueidis.Client }

func (instant) Do(context.Context, rueidis.Completed) (r rueidis.RedisResult) { return r }
func (instant) B() (b rueidis.Builder)                                        { return b }
func (instant) Close()                                                        {}

// overInstant gives a Client with all that one from Open does between a call
// and its inner client.
func overInstant(tb testing.TB) *Client {
	tb.Helper()
	cfg, err := Config{}.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	c := newClient(instant{}, cfg, true)
	tb.Cleanup(c.Close)
	return c
}

// onTheWay is a call as services make it: its context has a deadline.
func onTheWay(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	tb.Cleanup(cancel)
	return ctx
}

// calls are commands that may be sent any number of times, a script that the
// client knows among them.
func calls(c *Client) map[string]rueidis.Completed {
	b := c.B()
	s := NewScript("known", "return 1")
	c.core.scripts.Store(s.sha, &loaded{script: s})
	return map[string]rueidis.Completed{
		"get":     b.Arbitrary("GET").Args("shop:user:100000").ReadOnly().Pin(),
		"set":     b.Arbitrary("SET").Args("shop:user:100000", "value", "EX", "3600").Build().Pin(),
		"evalsha": b.Arbitrary("EVALSHA").Args("0123456789abcdef0123456789abcdef01234567", "1", "shop:user:100000", "value").Build().Pin(),
		"script":  b.Arbitrary("EVALSHA").Args(s.sha, "1", "shop:user:100000", "value").Build().Pin(),
	}
}

// What the client does for a call allocates nothing, be the script of an
// EVALSHA one that it knows or not.
func TestCallAllocatesNothing(t *testing.T) {
	if underRace() {
		t.Skip("the race detector lets sync.Pool forget at random")
	}
	ctx, c := onTheWay(t), overInstant(t)
	for name, cmd := range calls(c) {
		count := func(to rueidis.Client) float64 {
			return testing.AllocsPerRun(1000, func() {
				if err := to.Do(ctx, cmd).Error(); err != nil {
					t.Fatal(err)
				}
			})
		}
		inner := count(c.inner)
		for who, to := range map[string]*Client{"Client": c, "FailFast": c.FailFast()} {
			if n := count(to) - inner; n != 0 {
				t.Errorf("%s: %s adds %v allocations", name, who, n)
			}
		}
	}
}

// BenchmarkCall is a call that costs nothing, alone and through a Client: their
// difference is what the Client adds. make bench reads it.
func BenchmarkCall(b *testing.B) {
	ctx, c := onTheWay(b), overInstant(b)
	for name, cmd := range calls(c) {
		b.Run(name, func(b *testing.B) {
			for who, to := range map[string]rueidis.Client{"inner": c.inner, "client": c} {
				b.Run(who, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := to.Do(ctx, cmd).Error(); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.Run(who+"-every-core", func(b *testing.B) { // what each of the callers waits
					var all sync.WaitGroup
					for range runtime.GOMAXPROCS(0) {
						all.Go(func() {
							own := calls(c)[name] // one for all would share its cache line with whatever is written beside it
							for range b.N {
								if err := to.Do(ctx, own).Error(); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
				})
			}
		})
	}
}

// underRace reports whether the race detector is in this program.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

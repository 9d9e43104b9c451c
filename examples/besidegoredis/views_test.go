package besidegoredis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis/rueidiscompat"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// Code of go-redis runs on Redstart's client, and go-redis sees what it did.
func TestViews(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		v := NewViews(s.client)
		seen := func(id, want int64) {
			t.Helper()
			if n, err := v.Of(t.Context(), id); err != nil || n != want {
				t.Errorf("product %d has %d views, %v, want %d", id, n, err, want)
			}
			raw, err := s.redis.Get(t.Context(), viewsKey(id)).Result()
			if missing := want == 0; missing != Missing(err) || !missing && raw != strconv.FormatInt(want, 10) {
				t.Errorf("go-redis reads %q, %v, want %d", raw, err, want)
			}
		}
		seen(1, 0)
		if n, err := v.Add(t.Context(), 1, 2, 1); err != nil || !slices.Equal(n, []int64{1, 1, 2}) {
			t.Fatalf("a pipeline gives %v, %v", n, err)
		}
		for i, want := range []int64{3, 4, 4} {
			if i == 1 { // the server forgets the script
				if err := s.redis.ScriptFlush(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := v.AddUpTo(t.Context(), 1, 4); err != nil || n != want {
				t.Errorf("a script gives %d, %v, want %d", n, err, want)
			}
		}
		for range 2 { // the second finds nothing to merge
			if err := v.Merge(t.Context(), 2, 1); err != nil {
				t.Fatal(err)
			}
		}
		seen(1, 5)
		seen(2, 0)
	})
}

// A transaction that go-redis comes in between of does nothing.
func TestWatchedByOneClientChangedByTheOther(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		v := NewViews(s.client)
		err := v.redis.Watch(t.Context(), func(tx rueidiscompat.Tx) error {
			if err := s.redis.Incr(t.Context(), viewsKey(1)).Err(); err != nil {
				return err
			}
			_, err := tx.TxPipelined(t.Context(), func(p rueidiscompat.Pipeliner) error {
				p.Incr(t.Context(), viewsKey(1))
				return nil
			})
			return err
		}, viewsKey(1))
		if n, nerr := v.Of(t.Context(), 1); !errors.Is(err, rueidiscompat.TxFailedErr) || n != 1 || nerr != nil {
			t.Errorf("the transaction: %v; %d views, %v", err, n, nerr)
		}
		if o := redstart.OutcomeOf(err); o != redstart.Unknown {
			t.Errorf("its outcome is %v: doc.go says otherwise", o)
		}
	})
}

// Each client has an error of its own for a missing key; Missing knows both.
func TestMissing(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		theirs := s.redis.Get(t.Context(), "shop:none").Err()
		ours := NewViews(s.client).redis.Get(t.Context(), "shop:none").Err()
		if errors.Is(ours, redis.Nil) || errors.Is(theirs, rueidiscompat.Nil) {
			t.Errorf("one error for both (%v, %v): Missing is no longer needed", theirs, ours)
		}
		if !Missing(theirs) || !Missing(ours) || Missing(nil) || Missing(context.Canceled) {
			t.Errorf("Missing is wrong about %v or %v", theirs, ours)
		}
	})
}

// A failed call through rueidiscompat says whether it took effect.
func TestOutcomes(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		v := NewViews(s.client)
		if err := s.redis.LPush(t.Context(), viewsKey(1), "a list").Err(); err != nil {
			t.Fatal(err)
		}
		_, err := v.Of(t.Context(), 1)
		_, pipelined := v.Add(t.Context(), 2, 1)
		for _, err := range []error{err, pipelined} {
			if err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("a refused command: %v, outcome %v", err, redstart.OutcomeOf(err))
			}
		}
		if n, err := v.Of(t.Context(), 2); n != 1 || err != nil { // as with go-redis, the error is the first item's that failed
			t.Errorf("the item before the refused one: %d, %v", n, err)
		}
		theirs := s.redis.Incr(t.Context(), viewsKey(1)).Err()
		if theirs == nil || redstart.OutcomeOf(theirs) != redstart.Unknown {
			t.Errorf("go-redis's error: %v, outcome %v", theirs, redstart.OutcomeOf(theirs))
		}
	})
}

// A server that is gone: every error says that it is away, and soon also that
// nothing was applied.
func TestServerAway(t *testing.T) {
	server := inProcess(t)
	s := start(t, server.URL())
	v := NewViews(s.client.FailFast())
	if _, err := v.Add(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	// Each connection is lost under the calls on it, and those may have run. Then the client knows.
	redstarttest.Eventually(t, 10*time.Second, "a call that surely changed nothing", func() bool {
		_, err := v.Add(t.Context(), 1)
		if err == nil || !redstart.Away(err) {
			t.Fatalf("a server that is gone: %v", err)
		}
		return redstart.OutcomeOf(err) == redstart.NotApplied
	})
}

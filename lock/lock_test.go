package lock

import (
	"context"
	"errors"
	"testing"

	"github.com/redstart-go/redstart"
)

// One holds, the others do not, and each lease has a greater token.
func TestAlone(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ctx := t.Context()
		ours, theirs := locks(t, open(t, url, redstart.Config{}), Config{}), locks(t, open(t, url, redstart.Config{}), Config{})
		last := int64(0)
		for range 3 {
			lease := acquire(t, ours, "a")
			if lease.Token() <= last {
				t.Fatalf("token %d after %d", lease.Token(), last)
			}
			last = lease.Token()
			for _, l := range []*Lock{ours, theirs} {
				if _, err := l.TryAcquire(ctx, "a"); !errors.Is(err, ErrHeld) || redstart.OutcomeOf(err) != redstart.NotApplied {
					t.Fatalf("TryAcquire of a held lock: %v", err)
				}
			}
			other, err := theirs.TryAcquire(ctx, "b")
			if err != nil {
				t.Fatal(err)
			}
			release(t, other)
			if err := lease.Extend(ctx); err != nil {
				t.Fatal(err)
			}
			if err := lease.Context().Err(); err != nil {
				t.Fatal(err)
			}
			release(t, lease)
			release(t, lease)
			if cause := context.Cause(lease.Context()); !errors.Is(cause, ErrReleased) {
				t.Fatalf("the context ended with %v", cause)
			}
			if err := theirs.Do(ctx, "a", func(ctx context.Context) error {
				lease, ok := FromContext(ctx)
				if !ok || lease.Token() <= last {
					t.Errorf("in Do: %v, %v", lease, ok)
				}
				last = lease.Token()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

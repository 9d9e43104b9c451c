package lock

import (
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/key"
)

func TestConfig(t *testing.T) {
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := open(t, s.URL(), redstart.Config{Namespace: "shop"})
	if _, err := New(c, Config{Key: "a:<x>:<y>", Lease: 500 * time.Microsecond, Permits: -1}); err == nil {
		t.Error("an invalid configuration was taken")
	} else {
		for _, field := range []string{"Key", "Lease", "Permits"} {
			if !strings.Contains(err.Error(), "config: "+field) {
				t.Errorf("%s is not in %v", field, err)
			}
		}
	}
	for _, lease := range []time.Duration{-1, 1, time.Millisecond, minLease - 1, maxLease + 1} {
		if _, err := New(c, Config{Lease: lease}); err == nil {
			t.Errorf("a lease of %v was taken", lease)
		}
	}
	l := locks(t, c, Config{})
	if k, err := l.template.Key("7"); err != nil || k != "shop:lock:{7}" || l.cfg.Lease != defaultLease || l.cfg.Permits != 1 {
		t.Error(k, err, l.cfg)
	}
	if _, err := locks(t, c, Config{Permits: 2}).AcquireShared(t.Context(), "7"); redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Error(err)
	}
	if _, err := l.Acquire(t.Context(), strings.Repeat("x", key.MaxLen)); redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("%v: %v", redstart.OutcomeOf(err), err)
	}
	// All keys of a lock are in one slot, whatever its template and id.
	for _, template := range []string{"lock:{<id>}", "lock:<id>", "{jobs}:<id>"} {
		for _, id := range []string{"a", "", "}x", "{", "a{b}c", "a:b", "%", "é"} {
			k, err := locks(t, c, Config{Key: template}).template.Key(id)
			if err != nil {
				continue // an id that may not be empty
			}
			for _, other := range keysOf(k) {
				if key.Slot(other) != key.Slot(k) {
					t.Errorf("%q and %q lie in two slots", k, other)
				}
			}
		}
	}
}

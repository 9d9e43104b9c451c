package journal

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

func TestPutIsReadAndReachesTheSink(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		j := journalOn(t, c, usual(d))
		reads(t, j, "none", "")
		put(t, j, "a", "1")
		put(t, j, "a", "2")
		put(t, j, "b", "1")
		put(t, j, "c", "1")
		if err := j.Delete(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		reads(t, j, "a", "2")
		reads(t, j, "c", "")
		if l := lag(t, j); l.Records != 5 || l.Acked != 5 || l.Oldest <= 0 || l.Bytes == 0 || l.Unowned != 4 || l.Flushers != 0 {
			t.Errorf("%+v", l)
		}
		if err := j.Flush(t.Context()); !errors.Is(err, ErrNoFlusher) {
			t.Errorf("a flush that nobody does: %v", err)
		}
		// The entries are gone before they were flushed.
		for _, id := range []string{"a", "b", "c"} {
			if err := j.Cache().Invalidate(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		reads(t, j, "a", "2")
		reads(t, j, "b", "1")
		reads(t, j, "c", "")
		running(t, j)
		flush(t, j)
		if v, ok := d.get("a"); !ok || v != "2" {
			t.Errorf("a is %q, %v", v, ok)
		}
		if _, ok := d.get("c"); ok {
			t.Error("what was deleted is there")
		}
		if l := lag(t, j); l.Records != 0 || l.Acked != 5 || l.Applied != 3 || l.Superseded != 2 || l.Bytes != 0 || l.Flushers != 1 || l.Unowned != 0 {
			t.Errorf("%+v", l)
		}
		if err := j.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		flush(t, j)
		if _, ok := d.get("a"); ok {
			t.Error("what was deleted is there")
		}
		reads(t, j, "a", "")
	})
}

func TestPutMany(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{Namespace: "ns"}), newTable()
		cfg := usual(d)
		cfg.Cache.LoadMany = nil
		j := journalOn(t, c, cfg)
		running(t, j)
		want := map[string]string{}
		for i := range 3000 {
			want["k"+strconv.Itoa(i)] = fmt.Sprint("v", i)
		}
		if err := j.PutMany(t.Context(), maps.All(want)); err != nil {
			t.Fatal(err)
		}
		flush(t, j)
		for id, v := range want {
			if got, _ := d.get(id); got != v {
				t.Fatalf("%s is %q, want %q", id, got, v)
			}
		}
		if l := lag(t, j); l.Acked != 3000 || l.Applied != 3000 {
			t.Errorf("%+v", l)
		}
		reads(t, j, "k7", "v7")
		large := map[string]string{"x": string(make([]byte, 2<<20)), "y": "1"}
		err := j.PutMany(t.Context(), maps.All(large))
		var some cache.Errors[string]
		if !errors.As(err, &some) || len(some) != 1 || !errors.Is(some["x"], ErrTooLarge) || redstart.OutcomeOf(some["x"]) != redstart.NotApplied {
			t.Errorf("a value that is too large: %v", err)
		}
		reads(t, j, "y", "1")
	})
}

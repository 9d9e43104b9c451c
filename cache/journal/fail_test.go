package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// onTwo runs a test on the embedded server and on each real one.
func onTwo(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, mini(t)) })
	onServer(t, func(t *testing.T, s *redstarttest.Server) { test(t, s.URL()) })
}

func mini(t testing.TB) string {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.URL()
}

var errPoison = errors.New("value out of range")

// poisoned refuses batches in which a value is "poison", naming nothing.
func poisoned(b Batch[string, string]) error {
	for _, c := range b.Changes {
		if strings.HasPrefix(c.Value, "poison") {
			return errPoison
		}
	}
	return nil
}

func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	for name, fail := range map[string]func(b Batch[string, string]) error{
		"unnamed": poisoned,
		"named": func(b Batch[string, string]) error {
			for i, c := range b.Changes {
				if strings.HasPrefix(c.Value, "poison") {
					return fmt.Errorf("batch: %w", &RecordError{i, errPoison})
				}
			}
			return nil
		},
		"permanent": func(b Batch[string, string]) error {
			if err := poisoned(b); err != nil {
				return Permanent(err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			onTwo(t, func(t *testing.T, url string) {
				c, d := open(t, url, redstart.Config{}), newTable()
				d.fails(fail)
				cfg := usual(d)
				cfg.Partitions, cfg.Attempts = 1, 3
				j := journalOn(t, c, cfg)
				put(t, j, "bad", "poison")
				for i := range 500 {
					put(t, j, "k"+strconv.Itoa(i), "v")
				}
				running(t, j)
				flush(t, j)
				l := lag(t, j)
				if l.Dead != 1 || l.Records != 0 || l.Applied != 500 {
					t.Fatalf("%+v", l)
				}
				var letters []DeadLetter[string, string]
				for letter, err := range j.DeadLetters(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					letters = append(letters, letter)
				}
				if len(letters) != 1 || letters[0].ID != "bad" || letters[0].Value != "poison" || !strings.Contains(letters[0].Reason, errPoison.Error()) || letters[0].Attempts < 1 {
					t.Fatalf("%+v", letters)
				}
				reads(t, j, "bad", "") // what the source has
				// Replayed after the repair it is applied.
				d.fails(nil)
				r, err := j.Replay(t.Context(), letters[0].Ref, letters[0].Ref)
				if err != nil || r != (Replayed{Again: 1, Gone: 1}) {
					t.Fatalf("%+v, %v", r, err)
				}
				reads(t, j, "bad", "poison")
				flush(t, j)
				if v, _ := d.get("bad"); v != "poison" {
					t.Errorf("bad is %q", v)
				}
				if l := lag(t, j); l.Dead != 0 || l.Applied != 501 {
					t.Errorf("%+v", l)
				}
			})
		})
	}
}

func TestLaterChangesOfADeadKey(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		d.fails(poisoned)
		cfg := usual(d)
		cfg.Partitions, cfg.Attempts = 1, 2
		j := journalOn(t, c, cfg)
		running(t, j)
		put(t, j, "a", "poison")
		put(t, j, "b", "poison")
		dead := func() []string {
			var refs []string
			for letter, err := range j.DeadLetters(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				refs = append(refs, letter.Ref)
			}
			return refs
		}
		n := 0
		eventually(t, "both are dead", func() bool {
			n++
			put(t, j, "other", strconv.Itoa(n)) // it shows that the sink works
			return len(dead()) == 2
		})
		put(t, j, "a", "good")
		flush(t, j)
		if v, _ := d.get("a"); v != "good" {
			t.Fatalf("a is %q", v)
		}
		d.fails(nil)
		refs := dead()
		r, err := j.Replay(t.Context(), refs...)
		if err != nil || r != (Replayed{Again: 1, Superseded: 1}) {
			t.Fatalf("%+v, %v", r, err)
		}
		flush(t, j)
		if v, _ := d.get("a"); v != "good" {
			t.Errorf("a is %q: a replay undid a later change", v)
		}
		if v, _ := d.get("b"); v != "poison" {
			t.Errorf("b is %q", v)
		}
		lag(t, j)
		d.fails(poisoned)
		put(t, j, "c", "poison")
		eventually(t, "it is dead", func() bool {
			n++
			put(t, j, "other", strconv.Itoa(n))
			return len(dead()) == 1
		})
		if n, err := j.Drop(t.Context(), dead()...); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		flush(t, j)
		if l := lag(t, j); l.Dropped != 1 || l.Dead != 0 {
			t.Errorf("%+v", l)
		}
		for _, ref := range []string{"", "x", "0/", "99/1-1", "0/-", "0/1", "-1/1-1", "0/1-1 2"} {
			if _, err := j.Replay(t.Context(), ref); err == nil {
				t.Errorf("the ref %q is taken", ref)
			}
		}
	})
}

// A database that is down is nobody's fault, however long, and whatever one
// record alone does.
func TestDatabaseThatIsDown(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		d.fails(func(Batch[string, string]) error { return io.ErrUnexpectedEOF })
		cfg := usual(d)
		cfg.Partitions, cfg.Attempts, cfg.BatchSize = 2, 1, 10
		j := journalOn(t, c, cfg)
		running(t, j)
		put(t, j, "alone", "v")
		eventually(t, "it was tried often", func() bool { return j.Stats().Failures > 5 })
		for i := range 100 {
			put(t, j, "k"+strconv.Itoa(i), "v")
		}
		before := j.Stats().Failures
		eventually(t, "they were tried often", func() bool { return j.Stats().Failures > before+20 })
		if !j.Stats().SinkFailing {
			t.Error("the sink is not said to fail")
		}
		if l := lag(t, j); l.Dead != 0 || l.Records != 101 {
			t.Fatalf("%+v", l)
		}
		d.fails(nil)
		flush(t, j)
		if l := lag(t, j); l.Dead != 0 || l.Applied != 101 || len(d.all()) != 101 {
			t.Fatalf("%+v", l)
		}
	})
}

// A key that fails delays its own changes only, and does not fill the log.
func TestBackoffIsOfTheKey(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		var bad atomic.Bool
		bad.Store(true)
		d.fails(func(b Batch[string, string]) error {
			for i, c := range b.Changes {
				if c.ID == "hot" && bad.Load() {
					return &RecordError{i, errPoison}
				}
			}
			return nil
		})
		cfg := usual(d)
		cfg.Partitions, cfg.Attempts, cfg.MaxRecords = 1, 1_000_000, 50
		j := journalOn(t, c, cfg)
		running(t, j)
		for i := range 200 {
			put(t, j, "hot", strconv.Itoa(i))
			put(t, j, "k"+strconv.Itoa(i), "v")
		}
		eventually(t, "all others are there", func() bool { return len(d.all()) == 200 })
		if n := j.Stats().BackingOff; n != 1 {
			t.Errorf("%d keys back off", n)
		}
		bad.Store(false)
		flush(t, j)
		if v, _ := d.get("hot"); v != "199" {
			t.Errorf("hot is %q", v)
		}
		if l := lag(t, j); l.Acked != 400 || l.Dead != 0 {
			t.Errorf("%+v", l)
		}
	})
}

func TestAtTheBound(t *testing.T) {
	bounds := map[string]func(*Config[string, string]){
		"records": func(c *Config[string, string]) { c.MaxRecords = 10 },
		"bytes":   func(c *Config[string, string]) { c.MaxBytes = 10 * 90 },
		"age":     func(c *Config[string, string]) { c.MaxAge = time.Millisecond },
	}
	fill := func(t *testing.T, j *Journal[string, string]) (n int, err error) {
		for n = 0; n < 100 && err == nil; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err = j.Put(ctx, "k"+strconv.Itoa(n), "v")
			if cancel(); redstart.OutcomeOf(err) == redstart.Unknown { // it ended in the middle of a script
				n, err = n-1, nil
			}
			time.Sleep(100 * time.Microsecond)
		}
		return n - 1, err
	}
	for name, bound := range bounds {
		t.Run(name, func(t *testing.T) {
			onTwo(t, func(t *testing.T, url string) {
				for _, at := range []AtBound{Block, Refuse} {
					c, d := open(t, url, redstart.Config{}), newTable()
					cfg := usual(d)
					cfg.Name, cfg.Partitions, cfg.AtBound = "j"+strconv.Itoa(int(at)), 1, at
					bound(&cfg)
					j := journalOn(t, c, cfg)
					n, err := fill(t, j)
					if n < 1 || n > 60 || !errors.Is(err, ErrFull) || redstart.OutcomeOf(err) != redstart.NotApplied {
						t.Fatalf("%d were taken, then %v", n, err)
					}
					if at == Block && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the context's end is not told: %v", err)
					}
					if l := lag(t, j); l.Records != int64(n) || l.Acked != int64(n) {
						t.Errorf("%d were acknowledged: %+v", n, l)
					}
					reads(t, j, "k"+strconv.Itoa(n), "")
					running(t, j)
					if at == Refuse {
						flush(t, j)
					}
					put(t, j, "late", "v") // waits for room
					flush(t, j)
					if _, ok := d.get("late"); !ok {
						t.Error("what waited is not there")
					}
				}
			})
		})
	}
	t.Run("directly", func(t *testing.T) {
		onTwo(t, func(t *testing.T, url string) {
			c, d := open(t, url, redstart.Config{}), newTable()
			cfg := usual(d)
			cfg.Partitions, cfg.AtBound, cfg.MaxRecords = 1, WriteDirectly, 3
			j := journalOn(t, c, cfg)
			for i := range 3 {
				put(t, j, "k", strconv.Itoa(i))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := j.Put(ctx, "k", "3"); !errors.Is(err, ErrUnapplied) || redstart.OutcomeOf(err) != redstart.Applied {
				t.Fatalf("nobody flushes: %v", err)
			}
			running(t, j)
			for i := 4; i < 30; i++ {
				put(t, j, "k", strconv.Itoa(i))
				if i%3 == 0 {
					continue
				}
			}
			flush(t, j)
			if v, _ := d.get("k"); v != "29" {
				t.Errorf("k is %q", v)
			}
			lag(t, j)
		})
	})
}

// After a failover that lost what the sink has already, what is acknowledged
// later is written all the same.
func TestSinkAheadOfTheJournal(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		ahead := time.Now().Add(time.Hour).UnixMicro()
		d.rows["a"] = row{"lost", ahead}
		d.rows["b"] = row{"lost", ahead + 5}
		d.rows["far"] = row{"lost", maxVersion}
		cfg := usual(d)
		cfg.Partitions = 1
		j := journalOn(t, c, cfg)
		put(t, j, "a", "0")
		put(t, j, "a", "1")
		if err := j.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		put(t, j, "far", "1")
		running(t, j)
		flush(t, j)
		eventually(t, "all is judged", func() bool { return lag(t, j).Records == 0 })
		if v, _ := d.get("a"); v != "1" {
			t.Errorf("a is %q", v)
		}
		if _, ok := d.get("b"); ok {
			t.Error("b is there")
		}
		if s := j.Stats(); s.Restamped != 2 {
			t.Errorf("%d were given a later version", s.Restamped)
		}
		if l := lag(t, j); l.Dead != 1 || l.Acked != 4 || l.Superseded != 1 {
			t.Errorf("%+v", l)
		}
		put(t, j, "a", "2") // above what was seen, whatever the clock
		flush(t, j)
		if v, _ := d.get("a"); v != "2" {
			t.Errorf("a is %q", v)
		}
		if s := j.Stats(); s.Restamped != 2 {
			t.Errorf("%d were given a later version", s.Restamped)
		}
	})
}

// The keys of the journal are lost in part: versions still grow.
func TestStateThatIsLost(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		cfg := usual(d)
		cfg.Partitions = 1
		j := journalOn(t, c, cfg)
		p := j.partitions[0]
		p.saw(time.Now().Add(time.Hour).UnixMicro())
		put(t, j, "a", "1")
		p.seen.Store(0)
		if err := c.Do(t.Context(), c.B().Del().Key(p.state, p.newest).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		put(t, j, "a", "2")
		put(t, j, "b", "1")
		running(t, j)
		flush(t, j)
		if v, _ := d.get("a"); v != "2" {
			t.Errorf("a is %q", v)
		}
		if v, _ := d.get("b"); v != "1" {
			t.Errorf("b is %q", v)
		}
	})
}

func TestOtherShapeOfTheType(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		cfg := usual(d)
		cfg.Partitions = 1
		put(t, journalOn(t, c, cfg), "a", "1")
		cfg.Cache.Version = 2
		j := journalOn(t, c, cfg)
		put(t, j, "b", "1")
		running(t, j)
		flush(t, j)
		if l := lag(t, j); l.Dead != 1 || l.Applied != 1 {
			t.Fatalf("%+v", l)
		}
		for letter, err := range j.DeadLetters(t.Context()) {
			if err == nil || letter.ID != "a" || len(letter.Entry) == 0 {
				t.Errorf("%+v, %v", letter, err)
			}
		}
		v, absent, err := journalOn(t, c, usual(d)).Cache().Open(nil)
		if err == nil {
			t.Error(v, absent)
		}
	})
}

func TestManyIDsAreReadThroughThePending(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		d.rows["db"] = row{"row", 1}
		d.rows["gone"] = row{"row", 1}
		cfg := usual(d)
		cfg.Cache.Load = nil
		cfg.Cache.LoadMany = func(ctx context.Context, ids []string) (map[string]string, error) {
			found := map[string]string{}
			for _, id := range ids {
				if v, ok := d.get(id); ok {
					found[id] = v
				}
			}
			return found, nil
		}
		j := journalOn(t, c, cfg)
		put(t, j, "new", "1")
		if err := j.Delete(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		if err := j.Cache().InvalidateMany(t.Context(), "new", "gone", "db"); err != nil {
			t.Fatal(err)
		}
		got, err := j.Cache().GetMany(t.Context(), []string{"new", "gone", "db", "none"})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Value != "1" || !errors.Is(got[1].Err, cache.ErrNotFound) || got[2].Value != "row" || !errors.Is(got[3].Err, cache.ErrNotFound) {
			t.Errorf("%+v", got)
		}
	})
}

// A put whose reply was lost, and that went to the dead letters before it was sent
// again, is not written a second time.
func TestPutIsRepeatedAfterItsBurial(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		d.fails(func(b Batch[string, string]) error { return Permanent(poisoned(b)) })
		cfg := usual(d)
		cfg.Partitions = 1
		other, j := journalOn(t, c, cfg), journalOn(t, c, cfg)
		running(t, other)
		lost := false
		j.step = func(point string) error {
			if point != "journal/put after" || lost {
				return nil
			}
			lost = true
			eventually(t, "it is dead", func() bool { return other.Stats().Dead == 1 })
			return io.ErrUnexpectedEOF
		}
		put(t, j, "a", "poison")
		if l := lag(t, j); l.Acked != 1 || l.Dead != 1 || j.Stats().Repeated != 1 {
			t.Errorf("%+v, %+v", l, j.Stats())
		}
	})
}

package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/record"
)

// journals is the journal, with a process for each writer and flusher.
type journals struct {
	tb     testing.TB
	c      *redstart.Client
	cfg    Config[string, string]
	admin  *Journal[string, string]
	owners []*owner
	values int
}

func newJournals(tb testing.TB, c *redstart.Client, t *table, name string) *journals {
	cfg := usual(t)
	cfg.Name, cfg.Partitions, cfg.Lease, cfg.Attempts = name, 1, time.Hour, 2
	cfg.Backoff, cfg.MaxBackoff, cfg.UnknownEviction = time.Millisecond, time.Millisecond, true
	s := &journals{tb: tb, c: c, cfg: cfg}
	s.admin = s.process(nil)
	return s
}

func (s *journals) process(step func(string) error) *Journal[string, string] {
	j, err := New(s.c, s.cfg)
	if err != nil {
		s.tb.Fatal(err)
	}
	j.step = step
	return j
}

func (s *journals) writer(w *walk, n int) {
	w.start("writer "+strconv.Itoa(n), func(a *actor) {
		j := s.process(a.step)
		for range 8 {
			s.values++
			id, value := walkIDs[w.IntN(len(walkIDs))], "v"+strconv.Itoa(s.values)
			if id == "p" && w.IntN(2) == 0 {
				value = "poison" + value
			}
			ctx := context.Background()
			if w.IntN(4) == 0 {
				w.write(id, "", func() error { return j.Delete(ctx, id) })
			} else {
				w.write(id, value, func() error { return j.Put(ctx, id, value) })
			}
		}
	})
}

func (s *journals) flusher(w *walk, n int) {
	w.start("flusher "+strconv.Itoa(n), func(a *actor) {
		j := s.process(a.step)
		for claim := range 6 {
			if o, err := j.take(context.Background(), j.partitions[0], fmt.Sprint("f", n, ".", claim)); err == nil && o != nil {
				s.owners = append(s.owners, o)
				f := newFlusher(j, o, make(chan struct{}, 1))
				for range 4 {
					_, err := f.read()
					if err == nil && w.IntN(2) == 0 {
						err = f.flush()
					}
					if errors.Is(err, errFenced) {
						break
					}
				}
				_, _ = j.ask(context.Background(), ownScript, o.p.own, []string{o.name, "0", "0", "0"})
			}
		}
	})
}

// accident is what happens by itself: a lease that runs out, a key that is evicted,
// a clock that is set back, a reader, a failover that loses what the sink has.
func (s *journals) accident(w *walk) {
	p, ctx := s.admin.partitions[0], context.Background()
	do := func(words ...string) {
		if err := s.c.Do(ctx, s.c.B().Arbitrary(words...).Build()).Error(); err != nil {
			s.tb.Fatal(err)
		}
	}
	id := walkIDs[w.IntN(3)]
	which := w.IntN(6)
	if w.seed%4 == 1 && w.IntN(2) == 0 {
		which = 5 - 4*w.IntN(2)
	}
	switch which {
	case 5:
		s.failover(w)
	case 4:
		pending, err := s.c.Do(ctx, s.c.B().Hexists().Key(p.newest).Field(id).Build()).AsBool()
		if err != nil {
			s.tb.Fatal(err)
		}
		if k, _ := s.admin.key(id); !pending {
			s.values++
			value := "lost" + strconv.Itoa(s.values)
			w.write(id, value, func() error {
				w.t.rows[id] = row{value, time.Now().Add(time.Hour).UnixMicro() + int64(s.values)}
				return nil
			})
			w.ops[len(w.ops)-1].lost = true
			do("DEL", k)
		}
	case 0:
		do("HSET", p.state, "until", "0")
	case 1:
		do("HINCRBY", p.state, "last", "1000000")
	case 2, 3:
		k, err := s.admin.key(id)
		if err != nil {
			s.tb.Fatal(err)
		}
		do("DEL", k)
		s.read(w, id)
	}
}

// failover loses the last record that is pending, and all that came with it, if
// it was the last that the server did.
func (s *journals) failover(w *walk) {
	if w.effect != "journal/put after" {
		return
	}
	w.effect = ""
	p, ctx := s.admin.partitions[0], context.Background()
	all, err := s.c.Do(ctx, s.c.B().Xrange().Key(p.log).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		s.tb.Fatal(err)
	}
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1]
	value, absent, err := s.admin.cache.Open([]byte(last.FieldValues["v"]))
	if err != nil || absent {
		return
	}
	top, place, before := "0", "", ""
	for _, e := range all[:len(all)-1] {
		r := record.Of(e.ID, "", "")
		top, place = strconv.FormatInt(r.Version, 10), e.ID
		if e.FieldValues["k"] == last.FieldValues["k"] {
			before = r.Name()
		}
	}
	id := last.FieldValues["k"]
	k, _ := s.admin.key(id)
	b := s.c.B()
	do := []rueidis.Completed{
		b.Xdel().Key(p.log).Id(last.ID).Build(),
		b.Hset().Key(p.state).FieldValue().FieldValue("last", top).Build(),
		b.Hincrby().Key(p.state).Field("acked").Increment(-1).Build(),
		b.Hincrby().Key(p.state).Field("bytes").Increment(-int64(record.Size(id, last.FieldValues["v"]))).Build(),
		b.Del().Key(k).Build(),
	}
	if top == "0" {
		do = append(do, b.Del().Key(p.log).Build())
	} else {
		do = append(do, b.Arbitrary("XSETID").Keys(p.log).Args(place).Build())
	}
	if before == "" {
		do = append(do, b.Hdel().Key(p.newest).Field(id).Build())
	} else {
		do = append(do, b.Hset().Key(p.newest).FieldValue().FieldValue(id, before).Build())
	}
	for _, r := range s.c.DoMulti(ctx, do...) {
		if err := r.Error(); err != nil {
			s.tb.Fatal(err)
		}
	}
	for _, o := range w.ops {
		if o.id == id && o.value == value {
			o.forgotten = true
		}
	}
	w.trace = append(w.trace, fmt.Sprintf("%d failover: %s=%s is lost, %s is the last", w.now, id, value, top))
}

func (s *journals) read(w *walk, id string) {
	w.now++
	from := w.now
	v, err := s.admin.Get(context.Background(), id)
	if err != nil && !errors.Is(err, cache.ErrNotFound) {
		w.fault("Get(%s): %v", id, err)
	} else if !w.possible(id, v, from) {
		w.fault("Get(%s) = %q at %d", id, v, from)
	}
}

func (s *journals) settle(w *walk) {
	ctx := context.Background()
	p := s.admin.partitions[0]
	if err := s.c.Do(ctx, s.c.B().Arbitrary("HSET", p.state, "until", "0").Build()).Error(); err != nil {
		s.tb.Fatal(err)
	}
	o, err := s.admin.take(ctx, p, "last"+strconv.Itoa(w.now))
	if err != nil || o == nil {
		s.tb.Fatal(err)
	}
	s.owners = append(s.owners, o)
	f := newFlusher(s.admin, o, make(chan struct{}, 1))
	for n := 0; ; n++ {
		_, err := f.read()
		if err == nil {
			err = f.flush()
		}
		if err != nil || n > 200 {
			w.fault("the last flush: %v, after %d: %d items", err, n, len(f.items))
			return
		}
		l, err := s.admin.Lag(ctx)
		if err != nil {
			s.tb.Fatal(err)
		}
		if l.Records == 0 {
			return
		}
		if n > 5 {
			time.Sleep(time.Millisecond) // something backs off
		}
	}
}

func (s *journals) check(w *walk) {
	for _, o := range s.owners {
		o.End(errGivenUp)
	}
	w.final()
	for _, id := range walkIDs[:3] {
		s.read(w, id)
	}
	l, err := s.admin.Lag(context.Background())
	if err != nil {
		s.tb.Fatal(err)
	}
	acked, unsure := 0, 0
	for _, o := range w.ops {
		switch {
		case o.lost:
		case o.forgotten:
			unsure++
		case o.acked:
			acked++
		case !o.surely:
			unsure++
		}
	}
	if sum := l.Applied + l.Superseded + l.Dead + l.Dropped + l.Records; sum != l.Acked || l.Records != 0 || l.Bytes != 0 {
		w.fault("counts: %+v", l)
	}
	if int(l.Acked) < acked || int(l.Acked) > acked+unsure {
		w.fault("%d records for %d writes that were acknowledged and %d that may have been", l.Acked, acked, unsure)
	}
	keys := append([]string{}, s.admin.partitions[0].put...)
	keys = append(keys, s.admin.partitions[0].dead)
	for _, id := range walkIDs {
		k, _ := s.admin.key(id)
		keys = append(keys, k)
	}
	_ = s.c.Do(context.Background(), s.c.B().Del().Key(keys...).Build())
}

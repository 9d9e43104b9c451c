package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
)

// A walk is one history of writers and flushers, of which every step is a seam:
// one actor moves at a time, from a call of the server or of the sink to the next,
// and at each of them it may die, lose the reply, or stand still while its lease
// runs out and others go on. At the end the zombies resume.
type walk struct {
	*rand.Rand
	t      *table
	actors []*actor
	ops    []*op
	now    int // of the history
	trace  []string
	effect string // the script that ran last

	broken []string // what the checker found
}

// op is a write: one value, or nothing, to one id.
type op struct {
	id, value  string // value "": deleted
	start, end int    // end 0: still under way
	acked      bool
	surely     bool // not written: NotApplied
	forgotten  bool // lost by a failover: it may have reached the sink
	lost       bool // acknowledged, and lost by a failover when the sink had it
}

// actor is a goroutine that moves when it is told to.
type actor struct {
	name   string
	resume chan error // what the step is to give; errCrash: the end
	yields chan string
	over   bool
	doubt  bool // something was lost: what it does next it may have done before
}

func (w *walk) start(name string, body func(a *actor)) *actor {
	a := &actor{name: name, resume: make(chan error), yields: make(chan string)}
	w.actors = append(w.actors, a)
	go func() {
		defer func() { a.over = true; a.yields <- "over" }()
		if <-a.resume == errCrash { //nolint:errorlint // the very value
			return
		}
		body(a)
	}()
	return a
}

// step is what an actor calls between two steps.
func (a *actor) step(point string) error {
	a.yields <- point
	err := <-a.resume
	if err == errCrash { //nolint:errorlint // the very value
		runtime.Goexit()
	}
	return err
}

// move lets an actor go to its next step.
func (w *walk) move(a *actor, err error) {
	w.now++
	a.resume <- err
	a.doubt = a.doubt || err != nil
	point := <-a.yields
	if strings.HasPrefix(point, "journal/") && strings.HasSuffix(point, " after") {
		if w.effect = point; point == "journal/put after" && a.doubt {
			w.effect, a.doubt = "a put that may have run before", false
		}
	}
	if len(w.trace) < 2000 {
		w.trace = append(w.trace, fmt.Sprintf("%d %s (%v) -> %s", w.now, a.name, err, point))
	}
}

// write is an op as the history has it.
func (w *walk) write(id, value string, do func() error) {
	w.now++
	o := &op{id: id, value: value, start: w.now}
	w.ops = append(w.ops, o)
	defer func() { w.now++; o.end = w.now }()
	err := do()
	o.acked, o.surely = err == nil, err != nil && redstart.OutcomeOf(err) == redstart.NotApplied
}

// possible reports whether the id may hold the value for one that looks between
// from and now: some write of it that no acknowledged one has surely followed.
func (w *walk) possible(id, value string, from int) bool {
	initial := value == ""
	found := false
	for _, a := range w.ops {
		if a.id != id {
			continue
		}
		if a.acked && !a.forgotten && a.end < from {
			initial = false
		}
		if a.value != value || a.surely {
			continue
		}
		over := false
		for _, b := range w.ops {
			over = over || b.id == id && b.acked && !b.forgotten && b.end < from && a.end > 0 && b.start > a.end
		}
		found = found || !over
	}
	return found || initial
}

func (w *walk) fault(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// disturb says what becomes of a step.
func (w *walk) disturb(p float64) error {
	switch x := w.Float64(); {
	case x < p:
		return errCrash
	case x < 4*p:
		return io.ErrUnexpectedEOF // a lost request or reply, or the sink's failure
	default:
		return nil
	}
}

// system is what is walked: the journal, or the recipe that it replaces.
type system interface {
	writer(w *walk, n int)
	flusher(w *walk, n int)
	accident(w *walk)
	settle(w *walk) // all is well from now on: what is pending goes to the sink
	check(w *walk)
}

var walkIDs = []string{"a", "b", "c", "p"}

// run is a walk; it gives what was broken.
func runWalk(seed uint64, t *table, s system) *walk {
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 7)), t: t}
	for n := range 3 {
		s.writer(w, n)
	}
	s.flusher(w, 0)
	s.flusher(w, 1)
	flushers := 2
	frozen := map[*actor]int{}
	for range 150 + w.IntN(150) {
		switch x := w.IntN(100); {
		case x < 4:
			s.accident(w)
			continue
		case x < 6 && flushers < 6:
			s.flusher(w, flushers)
			flushers++
			continue
		}
		a := w.actors[w.IntN(len(w.actors))]
		if a.over || frozen[a] > w.now {
			continue
		}
		if w.IntN(40) == 0 {
			frozen[a] = w.now + w.IntN(300)
			continue
		}
		w.move(a, w.disturb(0.01))
	}
	for _, a := range w.actors { // writers end, in the middle or not
		for strings.HasPrefix(a.name, "writer") && !a.over {
			w.move(a, w.disturb(0.05))
		}
	}
	s.settle(w)
	for _, a := range w.actors { // what was frozen goes on, and knows nothing
		for n := 0; !a.over; n++ {
			if n > 500 {
				w.move(a, errCrash)
				continue
			}
			w.move(a, nil)
		}
	}
	s.settle(w)
	s.check(w)
	return w
}

// final checks what the sink ends with.
func (w *walk) final() {
	rows := w.t.all()
	for _, id := range walkIDs[:3] {
		if v := rows[id].value; !w.possible(id, v, w.now+1) {
			w.fault("the sink ends with %s=%q", id, v)
		}
	}
}

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
	switch w.IntN(6) {
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
	top, before := "0", ""
	for _, e := range all[:len(all)-1] {
		top = strconv.FormatInt(versionOf(e.ID), 10)
		if e.FieldValues["k"] == last.FieldValues["k"] {
			before = fmt.Sprintf("%016d%s", versionOf(e.ID), e.FieldValues["r"])
		}
	}
	id := last.FieldValues["k"]
	k, _ := s.admin.key(id)
	b := s.c.B()
	do := []rueidis.Completed{
		b.Xdel().Key(p.log).Id(last.ID).Build(),
		b.Hset().Key(p.state).FieldValue().FieldValue("last", top).Build(),
		b.Hincrby().Key(p.state).Field("acked").Increment(-1).Build(),
		b.Hincrby().Key(p.state).Field("bytes").Increment(-int64(size(id, last.FieldValues["v"]))).Build(),
		b.Del().Key(k).Build(),
	}
	if top == "0" {
		do = append(do, b.Del().Key(p.log).Build())
	} else {
		do = append(do, b.Arbitrary("XSETID").Keys(p.log).Args(top+"-0").Build())
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
		o.end(errGivenUp)
		o.runsOut.Stop()
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

// walkTable is a table that refuses what is poison, and names it or not.
func walkTable(seed uint64) *table {
	t := newTable()
	t.fail = func(b Batch[string, string]) error {
		for i, c := range b.Changes {
			if strings.HasPrefix(c.Value, "poison") {
				if seed%2 == 0 {
					return &RecordError{i, errPoison}
				}
				return errPoison
			}
		}
		return nil
	}
	return t
}

// walkServer is the quickest that is there.
func walkServer(t *testing.T) *redstart.Client {
	t.Helper()
	if path, err := redstarttest.Find(); err == nil {
		return open(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: path}).URL(), redstart.Config{})
	}
	return open(t, mini(t), redstart.Config{})
}

func TestWalk(t *testing.T) {
	seeds, within := 10_000, time.Hour
	if os.Getenv("REDSTART_FAULTS") != "long" {
		within = 8 * time.Second
		if testing.Short() {
			within = time.Second
		}
	}
	c := walkServer(t)
	first := rand.Uint64() % 1_000_000
	begun, ops, n := time.Now(), 0, 0
	var total counters
	for ; n < seeds && time.Since(begun) < within; n++ {
		seed := first + uint64(n)
		d := walkTable(seed)
		s := newJournals(t, c, d, "w"+strconv.FormatUint(seed, 10))
		w := runWalk(seed, d, s)
		ops += len(w.ops)
		total.fenced.Add(uint64(d.zombie))
		if len(w.broken) > 0 {
			t.Fatalf("seed %d: %s\n%s", seed, strings.Join(w.broken, "\n"), w.history())
		}
	}
	t.Logf("%d walks from seed %d on, %d writes, %d zombies' calls refused by the sink", n, first, ops, total.fenced.Load())
	if total.fenced.Load() == 0 && n > 50 {
		t.Error("no zombie was ever refused: the walk does not go where it should")
	}
}

func (w *walk) history() string {
	var b strings.Builder
	for _, o := range w.ops {
		fmt.Fprintf(&b, "%+v\n", *o)
	}
	return b.String() + strings.Join(w.trace, "\n")
}

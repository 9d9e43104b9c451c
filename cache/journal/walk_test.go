package journal

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// A walk is one history of writers and flushers, of which every step is a seam:
// one actor moves at a time, from a call of the server or of the sink to the next,
// and at each of them it may die, lose the reply, or stand still while its lease
// runs out and others go on. At the end the zombies resume.
type walk struct {
	*rand.Rand
	t      *table
	seed   uint64
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
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, seed: seed}
	for n := range 3 {
		s.writer(w, n)
	}
	s.flusher(w, 0)
	s.flusher(w, 1)
	flushers := 2
	frozen := map[*actor]int{}
	for range 150 + w.IntN(150) {
		switch x := w.IntN(100); {
		case x < 4, seed%4 == 1 && x < 20: // a walk of failovers
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

// walkServer is a redis-server: a failover that loses a tail is made with XSETID,
// which the embedded server has not.
func walkServer(t *testing.T) *redstart.Client {
	t.Helper()
	return open(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL(), redstart.Config{})
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

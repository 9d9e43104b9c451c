package journal

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
)

// broken runs walks until the checker says something, at most so many.
func broken(t *testing.T, walks int, system func(seed uint64, d *table) system, with func(d *table)) {
	t.Helper()
	first := rand.Uint64() % 1_000_000
	for n := range walks {
		seed := first + uint64(n)
		d := walkTable(seed)
		with(d)
		if w := runWalk(seed, d, system(seed, d)); len(w.broken) > 0 {
			t.Logf("found by walk %d from seed %d on: %s", n, first, w.broken[0])
			return
		}
	}
	t.Errorf("%d walks from seed %d on found nothing", walks, first)
}

// Every way of breaking the protocol is found by the walk.
func TestWalkFindsBrokenProtocols(t *testing.T) {
	c := walkServer(t)
	mutate := func(t *testing.T, at **redstart.Script, text, old, replaced string) {
		t.Helper()
		if strings.Count(text, old) == 0 {
			t.Fatalf("the script has no %q", old)
		}
		was := *at
		*at = redstart.NewScript(was.Name(), strings.ReplaceAll(text, old, replaced))
		t.Cleanup(func() { *at = was })
	}
	journal := func(seed uint64, d *table) system { return newJournals(t, c, d, "m"+strconv.FormatUint(seed, 10)) }
	for name, breaks := range map[string]func(t *testing.T, d *table){
		"a put that was sent twice is written twice": func(t *testing.T, _ *table) {
			mutate(t, &putScript, putText, "string.find(before, mine, 17, true)", "false")
		},
		"a put that has left the log is written again": func(t *testing.T, _ *table) {
			mutate(t, &putScript, putText, "string.find(bytes, mine, 1, true)", "false")
		},
		"what is pending is not noted": func(t *testing.T, _ *table) {
			mutate(t, &putScript, putText, "redis.call('HSET', KEYS[3], ids[i],", "redis.call('HSET', KEYS[3], ids[i] .. '?',")
		},
		"what is newest is forgotten with what is older": func(t *testing.T, _ *table) {
			mutate(t, &settleScript, settleText, "string.sub(newest[j], 1, 32) == ARGV[6 + 2 * (at + j - 1)]", "true")
		},
		"more is taken out of the log than the sink has": func(t *testing.T, _ *table) {
			mutate(t, &settleScript, settleText, "local applied =", "redis.call('XTRIM', KEYS[2], 'MINID', string.match(ARGV[#ARGV], '^%d+') + 1); local applied =")
		},
		"what the sink refuses is taken for superseded": func(t *testing.T, _ *table) {
			mutate(t, &restampScript, restampText, "if not record then", "do")
		},
		"a dead letter stays in the log": func(t *testing.T, _ *table) {
			mutate(t, &buryScript, buryText, "redis.call('XDEL', KEYS[2], ARGV[3])", "")
		},
		"a later owner has the same token": func(t *testing.T, _ *table) {
			mutate(t, &ownScript, ownText, "math.max(token + 1, now)", "math.max(token, 1)")
		},
		"the sink knows no tokens": func(_ *testing.T, d *table) { d.unfence = true },
	} {
		t.Run(name, func(t *testing.T) {
			breaks(t, newTable())
			walks := 400
			broken(t, walks, journal, func(d *table) {
				if strings.HasPrefix(name, "the sink") {
					d.unfence = true
				}
			})
		})
	}
}

// queue is the recipe: a buffer in the process, and a worker that writes what is in
// it in bulk.
type queue struct {
	t       *table
	buffers [][]Change[string, string]
	values  int
	version int64
}

func (q *queue) writer(w *walk, n int) {
	q.buffers = append(q.buffers, nil)
	w.start("writer "+strconv.Itoa(n), func(a *actor) {
		for range 8 {
			q.values++
			id, value := walkIDs[w.IntN(3)], "v"+strconv.Itoa(q.values)
			if w.IntN(4) == 0 {
				value = ""
			}
			w.write(id, value, func() error {
				if err := a.step("set the cache"); err != nil {
					return err
				}
				q.version++
				q.buffers[n] = append(q.buffers[n], Change[string, string]{ID: id, Value: value, Deleted: value == "", Version: q.version})
				return nil
			})
		}
	})
}

// flusher is the worker of a process: it takes what is there, and writes it.
func (q *queue) flusher(w *walk, n int) {
	w.start("flusher "+strconv.Itoa(n), func(a *actor) {
		for range 10 {
			q.work(n%3, func(point string) error { return a.step(point) })
		}
	})
}

func (q *queue) work(n int, step func(string) error) {
	if n >= len(q.buffers) {
		return
	}
	batch := q.buffers[n]
	q.buffers[n] = nil
	if step("took") != nil {
		return // a failed batch is gone
	}
	q.t.mu.Lock()
	for _, c := range batch {
		q.t.rows[c.ID] = row{c.Value, c.Version}
	}
	q.t.mu.Unlock()
	_ = step("wrote")
}

func (q *queue) accident(*walk) {}

func (q *queue) settle(*walk) {
	for n := range q.buffers {
		q.work(n, func(string) error { return nil })
	}
}

func (q *queue) check(w *walk) { w.final() }

func TestWalkFindsTheRecipe(t *testing.T) {
	broken(t, 20, func(_ uint64, d *table) system { return &queue{t: d} }, func(*table) {})
}

package faults

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/batch"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
)

func manyKey(i int) string   { return fmt.Sprintf("many:%d", i) }
func manyValue(i int) string { return fmt.Sprintf("value %d", i) }

// many gives n things made of their numbers.
func many[T any](n int, at func(i int) T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range n {
			if !yield(at(i)) {
				return
			}
		}
	}
}

func manyEntry(i int) batch.Entry { return batch.Entry{Key: manyKey(i), Value: manyValue(i)} }

// odd is every 997th item: its key holds a list, so that GET of it is refused.
func odd(i int) bool { return i%997 == 500 }

// misreported counts the items of a reading whose result is not their own: it
// must be the key's value, or for an odd one alone the server's refusal.
func misreported(i int, value string, err error) int {
	refused := err != nil && strings.Contains(err.Error(), "WRONGTYPE")
	if odd(i) != refused || !odd(i) && (err != nil || value != manyValue(i)) {
		return 1
	}
	return 0
}

// N2: results come in the input's order and are their items' own, and a
// failure is that of one item alone, while connections are cut under them.
func TestN2ResultsAreTheirItems(t *testing.T) {
	form := harness.Run(t)
	items := harness.Choose(form, 20_000, 100_000)
	var names []string
	wrong, cuts, repeats, refused, naiveWrong := 0, 0, 0, 0, 0
	for _, l := range launchers(t, form, false) {
		s, name := start(t, l, redstarttest.ServerConfig{})
		names = append(names, name)
		p := newProxy(t, s)
		c := openHere(t, p.URL(), redstart.Config{})
		written(t, c, items)
		for i := range items {
			if odd(i) {
				if _, err := s.Do(t.Context(), "DEL", manyKey(i)); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Do(t.Context(), "RPUSH", manyKey(i), "x"); err != nil {
					t.Fatal(err)
				}
				refused++
			}
		}
		lose := loseReplies(p, 809)
		next, again := 0, 0
		for r := range batch.Get(t.Context(), c, many(items, manyKey), batch.Config{Progress: func(p batch.Progress) { again = p.Repeats }}) {
			if r.Index != next || r.Key != manyKey(next) {
				t.Fatalf("result %d is that of item %d", next, r.Index)
			}
			wrong += misreported(next, r.Value, r.Err)
			next++
		}
		if next != items || lose.Hits() == 0 || again == 0 {
			t.Errorf("%d results of %d items, %d replies lost, %d items repeated", next, items, lose.Hits(), again)
		}
		cuts, repeats = cuts+lose.Hits(), repeats+again
		lose.Remove()

		bare, err := plain(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		gets := make([][]string, items)
		for i := range gets {
			gets[i] = []string{"GET", manyKey(i)}
		}
		naive.Pipeline{Client: bare, Size: 100}.Exec(t.Context(), gets, func(i int, value string, err error) {
			naiveWrong += misreported(i, value, err)
		})
		bare.Close()
	}
	if wrong > 0 {
		t.Errorf("%d results are not their items'", wrong)
	}
	if naiveWrong == 0 {
		t.Error("the checker finds nothing wrong with the naive recipe")
	}
	keep(t, form, "N2", names, "0 of %d results out of order, another item's or missing, 0 reads failed but the %d that the server refused, while %d connections were cut under them (%d reads sent again; pipelines of 100 with one error for all, without any cut: %d results lost)",
		items*len(names), refused, cuts, repeats, naiveWrong)
}

// written sets n keys.
func written(t *testing.T, c *redstart.Client, n int) {
	t.Helper()
	for r := range batch.Set(t.Context(), c, many(n, manyEntry), batch.Config{}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

const n3Bound = 64 << 20 // bytes of heap

// heap is the most that the heap reached while work ran, garbage included, as
// often as work looked.
func heap(work func(look func())) (most uint64) {
	look := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	runtime.GC()
	work(look)
	look()
	return most
}

// N3: a batch of a million keys takes no more memory than one of a thousand.
func TestN3AMillionKeysTakeLittleMemory(t *testing.T) {
	form := harness.Run(t)
	items := harness.Choose(form, 300_000, 1_000_000)
	l := launchers(t, form, false)[0]
	s, name := start(t, l, redstarttest.ServerConfig{})
	c := openHere(t, s.URL(), redstart.Config{})
	took := map[string]time.Duration{}
	measure := func(what string, results iter.Seq[batch.Result], good func(batch.Result) bool) uint64 {
		began := time.Now()
		most := heap(func(look func()) {
			next := 0
			for r := range results {
				if r.Index != next || !good(r) {
					t.Fatalf("%s: result %d: %+v", what, next, r)
				}
				if next++; next%2000 == 0 {
					look()
				}
			}
			if next != items {
				t.Errorf("%s: %d results of %d", what, next, items)
			}
		})
		took[what] = time.Since(began)
		t.Logf("%s of %d keys: the heap reached %.1f MiB, %v", what, items, mib(most), took[what].Round(time.Millisecond))
		if most > n3Bound {
			t.Errorf("%s: the heap reached %.1f MiB", what, mib(most))
		}
		return most
	}
	sets := measure("Set", batch.Set(t.Context(), c, many(items, manyEntry), batch.Config{}), func(r batch.Result) bool { return r.Err == nil })
	gets := measure("Get", batch.Get(t.Context(), c, many(items, manyKey), batch.Config{}), func(r batch.Result) bool { return r.Err == nil && r.Value == manyValue(r.Index) })

	bare, err := plain(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	twin := heap(func(look func()) {
		commands := make([][]string, items)
		for i := range commands {
			commands[i] = []string{"GET", manyKey(i)}
		}
		naive.Pipeline{Client: bare}.Exec(t.Context(), commands, func(i int, value string, err error) {
			if err != nil || value != manyValue(i) {
				t.Fatalf("the naive pipeline: item %d is %q, %v", i, value, err)
			}
			if i == 0 {
				look()
			}
		})
	})
	if twin <= n3Bound {
		t.Errorf("one pipeline of all takes %.1f MiB: the bound catches nothing", mib(twin))
	}
	keep(t, form, "N3", []string{name}, "the heap reached %.1f MiB in Set and %.1f MiB in Get of %d keys, garbage included, all results in the input's order (one pipeline of as many GET: %.0f MiB)",
		mib(sets), mib(gets), items, mib(twin))
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

// N4 is no promise that can fail: how much faster 1,000 SETs are in batches
// than one by one where a round trip takes a millisecond.
func TestN4BatchesAreFaster(t *testing.T) {
	form := harness.Run(t)
	items, rounds := harness.Choose(form, 100, 1000), harness.Choose(form, 1, 9)
	l := launchers(t, form, false)[0]
	s, name := start(t, l, redstarttest.ServerConfig{})
	p := newProxy(t, s)
	c := openHere(t, p.URL(), redstart.Config{Pipelines: 1})
	written(t, c, items)
	p.Delay(500*time.Microsecond, 500*time.Microsecond)
	configs := []batch.Config{{}, {Size: 500}, {Size: items, InFlight: 1}}
	ratios, control, alone := make([][]float64, len(configs)), []float64(nil), []time.Duration(nil)
	for range rounds { // interleaved
		single := oneByOne(t, c, items)
		alone = append(alone, single/time.Duration(items))
		for i, cfg := range configs {
			began := time.Now()
			for r := range batch.Set(t.Context(), c, many(items, manyEntry), cfg) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			ratios[i] = append(ratios[i], single.Seconds()/time.Since(began).Seconds())
		}
		control = append(control, single.Seconds()/oneByOne(t, c, items).Seconds())
	}
	keep(t, form, "N4", []string{name}, "%d SETs over a round trip of 1 ms (%s each one by one, through the proxy that delays them): %.0f times as fast by the defaults, %.0f with a Size of 500, %.0f as one batch; medians of %d interleaved rounds, one by one beside itself %.2f to %.2f; printed, never asserted",
		items, harness.Short3(harness.Quantile(alone, 0.5)), middle(ratios[0]), middle(ratios[1]), middle(ratios[2]), rounds, slices.Min(control), slices.Max(control))
}

func oneByOne(t *testing.T, c *redstart.Client, n int) time.Duration {
	t.Helper()
	began := time.Now()
	for e := range many(n, manyEntry) {
		if err := c.Do(t.Context(), c.B().Set().Key(e.Key).Value(e.Value).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

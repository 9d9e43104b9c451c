package near

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
)

// kib is a value of 1 KiB.
type kib struct {
	ID   int
	Name string
	Body [1000]byte
}

const benchItems = 1000

// full gives a raw otter and a Tier that hold the same, in a life without end.
func full[V any](value func(i int) V) (*otter.Cache[int, V], *Tier[int, V]) {
	raw := otter.Must(&otter.Options[int, V]{MaximumSize: benchItems})
	t := &Tier[int, V]{base: time.Now().Add(-time.Hour), entries: otter.Must(&otter.Options[int, *Item[V]]{MaximumSize: benchItems})}
	l := &life{}
	l.until.Store(math.MaxInt64)
	for i := range benchItems {
		raw.Set(i, value(i))
		t.entries.Set(i, &Item[V]{Value: value(i), until: math.MaxInt64, life: l, labels: []label{{cell: &cell{}, life: l}}})
	}
	return raw, t
}

func byValue(i int) kib    { return kib{ID: i} }
func byPointer(i int) *kib { return &kib{ID: i} }

// A hit allocates nothing.
func TestHitAllocatesNothing(t *testing.T) {
	_, value := full(byValue)
	_, pointer := full(byPointer)
	i, sum := 0, 0
	if n := testing.AllocsPerRun(1000, func() {
		i = (i + 1) % benchItems
		v, ok := value.Get(i)
		p, too := pointer.Get(i)
		if !ok || !too {
			t.Fatal("a miss")
		}
		sum += v.Value.ID + p.Value.ID
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sum == 0 {
		t.Error("nothing was read")
	}
}

// BenchmarkHit measures what a hit costs, held by value and by pointer, of a
// raw otter and of a Tier; the ratio is the median of pairs that take turns,
// the control that of raw against raw.
func BenchmarkHit(b *testing.B) {
	b.Run("value", func(b *testing.B) {
		raw, t := full(byValue)
		var v kib
		pairs(b, func(i int) bool { got, ok := raw.GetIfPresent(i); v = got; return ok },
			func(i int) bool { it, ok := t.Get(i); v = it.Value; return ok })
		_ = v
	})
	b.Run("pointer", func(b *testing.B) {
		raw, t := full(byPointer)
		var v *kib
		pairs(b, func(i int) bool { got, ok := raw.GetIfPresent(i); v = got; return ok },
			func(i int) bool { it, ok := t.Get(i); v = it.Value; return ok })
		_ = v
	})
}

func pairs(b *testing.B, raw, near func(i int) bool) {
	const rounds = 11
	for b.Loop() {
		var raws, nears, ratios, controls []float64
		for range rounds {
			one, two, other := timed(b, raw), timed(b, near), timed(b, raw)
			raws, nears = append(raws, one), append(nears, two)
			ratios, controls = append(ratios, two/((one+other)/2)), append(controls, other/one)
		}
		b.ReportMetric(median(raws), "raw-ns")
		b.ReportMetric(median(nears), "near-ns")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(controls), "control")
		b.ReportMetric(slices.Max(controls)-slices.Min(controls), "control-spread")
	}
}

// timed is what one hit takes, in nanoseconds.
func timed(b *testing.B, hit func(i int) bool) float64 {
	const hits = 200_000
	began := time.Now()
	for i := range hits {
		if !hit(i % benchItems) {
			b.Fatal("a miss")
		}
	}
	return float64(time.Since(began)) / hits
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

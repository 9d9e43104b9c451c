package batch

import (
	"slices"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

// 1,000 SETs, with 1 ms for a round trip added by a proxy, one by one and in
// batches; the ratio, a median, is printed. The catalogue says 1,000, as if
// commands took no time.
func BenchmarkThousandSets(b *testing.B) {
	_, p, _ := proxied(b)
	c := open(b, p.URL(), redstart.Config{Pipelines: 1})
	const n = 1000
	written(b, c, n)
	p.Delay(500*time.Microsecond, 500*time.Microsecond)
	ctx := b.Context()
	oneByOne := func() time.Duration {
		began := time.Now()
		for e := range entries(n) {
			if err := c.Do(ctx, c.B().Set().Key(e.Key).Value(e.Value).Build()).Error(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	batched := func(cfg Config) time.Duration {
		began := time.Now()
		for r := range Set(ctx, c, entries(n), cfg) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		return time.Since(began)
	}
	configs := map[string]Config{"default": {}, "size500": {Size: 500}, "one-batch": {Size: n, InFlight: 1}}
	ratios, alone := map[string][]float64{}, []float64(nil)
	for b.Loop() { // interleaved
		single := oneByOne()
		alone = append(alone, float64(single.Microseconds())/n)
		for name, cfg := range configs {
			ratios[name] = append(ratios[name], single.Seconds()/batched(cfg).Seconds())
		}
	}
	b.ReportMetric(median(alone), "µs/SET-alone")
	for name, r := range ratios {
		b.ReportMetric(median(r), "times-"+name)
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// What a run costs on this side and the server's, without any delay.
func BenchmarkSet(b *testing.B) {
	_, _, c := proxied(b)
	b.ReportAllocs()
	n := 0
	for r := range Set(b.Context(), c, func(yield func(Entry) bool) {
		for b.Loop() {
			if !yield(Entry{Key: keyAt(n % 1000), Value: "value"}) {
				return
			}
			n++
		}
	}, Config{}) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

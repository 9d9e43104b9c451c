package behind

import (
	"strings"
	"testing"

	"github.com/redstart-go/redstart/bench/table"
)

// The figure has what the page promises, and one target that is missed spoils it.
func TestPromise(t *testing.T) {
	names := []filler{{name: One}, {name: Sixteen}, {name: Batches}, {name: Drain}, {name: Put}, {name: PutMany}}
	rows := func(rates ...float64) table.Section {
		all := [][]float64{{rates[0]}}
		for _, r := range rates {
			all = append(all, []float64{r})
		}
		s := Bench{}.rates("", "", names, all)
		s.Verdicts = fast(s)
		return s
	}
	rest := []table.Section{
		Bench{}.rates("", "", []filler{{name: Batches}, {name: Drain}}, [][]float64{{100_000}, {100_000}, {85_000}}),
		{Rows: []table.Row{{Name: Put, Columns: []table.Column{{Key: "rows_per_put"}, {Key: "puts_per_transaction"}}, Figures: []table.Spread{table.Exact(0.25), table.Exact(900)}}}},
		{Rows: []table.Row{{Name: Paced, Columns: []table.Column{{Key: "p99_us"}, {Key: "ratio"}}, Figures: []table.Spread{table.Exact(321), table.Exact(1.25)}}}},
	}
	for _, c := range []struct {
		rows table.Section
		kept bool
	}{
		{rows(4_000, 20_000, 80_000, 64_000, 30_000, 44_000), true},
		{rows(4_000, 20_000, 80_000, 59_000, 30_000, 44_000), false}, // 14.75 times one
		{rows(4_000, 22_000, 80_000, 64_000, 30_000, 44_000), false}, // 2.9 times sixteen
		{rows(4_000, 20_000, 110_000, 64_000, 30_000, 44_000), false},
		{rows(4_000, 20_000, 80_000, 64_000, 27_000, 44_000), false},
		{rows(4_000, 20_000, 80_000, 64_000, 30_000, 39_000), false},
	} {
		figure, kept := Promise(append([]table.Section{c.rows}, rest...))
		if kept != c.kept {
			t.Errorf("kept: %v, want %v: %s", kept, c.kept, figure)
		}
		for _, want := range []string{"one direct writer (4,000)", "0.85 of its best batch", "0.250 rows a put and 900 puts a transaction", "at 5,000/s the p99 of Put 321 µs, 1.25 times"} {
			if !strings.Contains(figure, want) {
				t.Errorf("nothing of %q in: %s", want, figure)
			}
		}
	}
}

package main

import (
	"math"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	if got := spreadOf([]float64{5, 1, 4, 2, 3}); got != (spread{2, 3, 4}) {
		t.Errorf("%v", got)
	}
	if got := spreadOf([]float64{1, 2}); got != (spread{1.25, 1.5, 1.75}) {
		t.Errorf("%v", got)
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
	if got := (spread{0.9, 1, 1.3}).noise(); math.Abs(got-0.3) > 1e-9 {
		t.Errorf("noise %v", got)
	}
}

// A target is met, missed, or, where the control's noise hides it, decided by CPU and allocations.
func TestFaster(t *testing.T) {
	columns := []column{{key: "ratio"}, {key: "server_us_per_op"}, {key: "client_us_per_op"}, {key: "allocs_per_op"}}
	figures := func(name string, of ...float64) row {
		r := row{name: name, columns: columns}
		for _, f := range of {
			r.figures = append(r.figures, exact(f))
		}
		return r
	}
	for _, c := range []struct {
		ratio, server, client, allocs, noise float64
		want                                 string
	}{
		{0.95, 9, 9, 9, 0, met},
		{0.90, 2, 5, 3, 0.01, missed},
		{0.90, 2, 5, 3, 0.06, metByCPU},
		{0.90, 2, 5, 4, 0.06, missed},            // allocates more
		{0.90, 2.5, 5, 3, 0.06, missed},          // costs the server more
		{0.90, 2, 6, 3, 0.06, missed},            // costs the caller more
		{0.90, 2, math.NaN(), 3, 0.06, metByCPU}, // what is not known decides nothing
		{math.NaN(), 2, 5, 3, 0.06, missed},
	} {
		s := section{Control: "control", Noise: c.noise, Rows: []row{
			figures("control", 1, 2, 5, 3), figures("ours", c.ratio, c.server, c.client, c.allocs),
		}}
		if got := s.faster("ours", 0.95); got.Result != c.want {
			t.Errorf("%+v: %s", c, got.Result)
		}
	}
}

func TestNumber(t *testing.T) {
	for want, got := range map[string]string{
		"0": number(0, 0), "999": number(999, 0), "1,000": number(1000, 0), "1,234,567.9": number(1234567.89, 1),
		"-12,345": number(-12345, 0), "-": number(math.NaN(), 2), "-999": number(-999, 0),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	var b strings.Builder
	writeTable(&b, [][]string{{"", "µs"}, {"größer", "1.50"}, {"b", "100.25"}})
	if want := "            µs\ngrößer    1.50\nb       100.25\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

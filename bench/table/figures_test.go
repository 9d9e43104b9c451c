package table

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	if got := SpreadOf([]float64{5, 1, 4, 2, 3}); got != (Spread{2, 3, 4}) {
		t.Errorf("%v", got)
	}
	if got := SpreadOf([]float64{1, 2}); got != (Spread{1.25, 1.5, 1.75}) {
		t.Errorf("%v", got)
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
	if got := (Spread{0.9, 1, 1.3}).Noise(); math.Abs(got-0.3) > 1e-9 {
		t.Errorf("noise %v", got)
	}
}

// A target is met, missed, or, where the control's noise hides it, decided by CPU and allocations.
func TestFaster(t *testing.T) {
	columns := []Column{{Key: "ratio"}, {Key: "server_us_per_op"}, {Key: "client_us_per_op"}, {Key: "allocs_per_op"}}
	figures := func(name string, of ...float64) Row {
		r := Row{Name: name, Columns: columns}
		for _, f := range of {
			r.Figures = append(r.Figures, Exact(f))
		}
		return r
	}
	for _, c := range []struct {
		ratio, server, client, allocs, noise float64
		want                                 string
	}{
		{0.95, 9, 9, 9, 0, Met},
		{0.90, 2, 5, 3, 0.01, Missed},
		{0.90, 2, 5, 3, 0.06, MetByCPU},
		{0.90, 2, 5, 4, 0.06, Missed},            // allocates more
		{0.90, 2.5, 5, 3, 0.06, Missed},          // costs the server more
		{0.90, 2, 6, 3, 0.06, Missed},            // costs the caller more
		{0.90, 2, math.NaN(), 3, 0.06, MetByCPU}, // what is not known decides nothing
		{math.NaN(), 2, 5, 3, 0.06, Missed},
	} {
		s := Section{Control: "control", Noise: c.noise, Rows: []Row{
			figures("control", 1, 2, 5, 3), figures("ours", c.ratio, c.server, c.client, c.allocs),
		}}
		if got := s.Faster("ours", 0.95); got.Result != c.want {
			t.Errorf("%+v: %s", c, got.Result)
		}
	}
}

func TestNumber(t *testing.T) {
	for want, got := range map[string]string{
		"0": Number(0, 0), "999": Number(999, 0), "1,000": Number(1000, 0), "1,234,567.9": Number(1234567.89, 1),
		"-12,345": Number(-12345, 0), "-": Number(math.NaN(), 2), "-999": Number(-999, 0),
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

func TestJSON(t *testing.T) {
	columns := []Column{{Key: "ops_per_s"}, {Key: "ratio", Digits: 2, Spread: true}}
	rep := Report{Rounds: 9, Sections: []Section{{Name: "hit", Columns: columns, Rows: []Row{
		{Name: "a", Columns: columns, Figures: []Spread{Exact(1234), {0.5, 1, 2}}},
		{Name: "b", Columns: columns, Figures: []Spread{Exact(7), SpreadOf(nil)}},
	}}}}
	var out bytes.Buffer
	if err := rep.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Sections []struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	rows := back.Sections[0].Rows
	if rows[0]["ops_per_s"] != 1234.0 || rows[0]["ratio_quartiles"].([]any)[1] != 2.0 || rows[1]["ratio"] != nil {
		t.Errorf("%v", rows)
	}
}

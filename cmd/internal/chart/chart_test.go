package chart

import (
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// wellFormed parses the picture as XML and counts its elements by name.
func wellFormed(t *testing.T, svg template.HTML) map[string]int {
	t.Helper()
	count := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := tok.(xml.StartElement); ok {
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestBars(t *testing.T) {
	svg := Bars([]Bar{{Label: "get/setex", Value: 1234, Tone: First}, {Label: `<"&'>`, Tone: Ours}})
	if got := wellFormed(t, svg); got["rect"] != 2 || got["text"] != 4 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), `aria-label="get/setex 1,234, &lt;`) {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Bars(nil))
	wellFormed(t, Bars([]Bar{{Label: "nothing", Tone: First}}))
}

func TestQuantiles(t *testing.T) {
	got := wellFormed(t, Quantiles([]Spread{
		{"a", 80 * time.Microsecond, 3 * time.Millisecond, 110 * time.Millisecond, First},
		{"b", 70 * time.Microsecond, 71 * time.Microsecond, 72 * time.Microsecond, Ours},
	}))
	if got["circle"] != 6 {
		t.Errorf("drew %v", got)
	}
	wellFormed(t, Quantiles(nil))
	wellFormed(t, Quantiles([]Spread{{Label: "no reads", Tone: First}}))
}

func TestTimeline(t *testing.T) {
	steps := []measure.Step{{OK: 200, Loads: 90}, {OK: 10, Stale: 2, Errors: 3}, {}, {Errors: 7}}
	svg := Timeline([]Lane{
		{Label: "a", Tone: First, Steps: steps, From: 150 * time.Millisecond, To: 250 * time.Millisecond, Fault: "frozen"},
		{Label: "b", Tone: Ours},
	}, 100*time.Millisecond)
	// Fresh, fresh, stale, errors, errors, one bar of loads, and the band of the fault.
	if got := wellFormed(t, svg); got["rect"] != 7 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), "a: 210 reads answered, 2 of them stale, 10 errors, 90 loads") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Timeline(nil, time.Second))
}

func TestSeen(t *testing.T) {
	fault := Span{To: 50 * time.Millisecond, Name: "frozen"}
	svg := Seen([]Sight{
		{Label: "a", Tone: First, Fault: 100 * time.Millisecond, Moments: []measure.Moment{
			{Failed: 9}, // before what is shown
			{Quick: 10}, {Quick: 5, Waited: 1}, {}, {Long: 3, Stale: 2, Failed: 1, Slowest: time.Second}, {Quick: 1},
		}},
		{Label: "b", Tone: Ours, Fault: 100 * time.Millisecond, Moments: []measure.Moment{{Quick: 1}, {Quick: 2000, Slowest: time.Millisecond}}},
	}, 25*time.Millisecond, fault, Span{From: -75 * time.Millisecond, To: 50 * time.Millisecond})
	// 1 + 2 + 3 + 1 parts of a, one of b, and the band of the fault.
	if got := wellFormed(t, svg); got["rect"] != 9 {
		t.Errorf("drew %v\n%s", got, svg)
	}
	if !strings.Contains(string(svg), "a: 1 failed · 2 stale · 3 waited long · 1 waited · slowest 1 s; b: all of 2,000 answered at once · slowest 1 ms") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Seen(nil, time.Second, Span{}, Span{}))
}

func TestStack(t *testing.T) {
	svg := Stack([]Pile{
		{Label: "a", Tone: First, Note: "<1>", Parts: []Slice{{1, Bad, "bad"}, {0, Waited, "none"}, {2000, Faint, "first"}}},
		{Label: "b", Tone: Ours},
	})
	if got := wellFormed(t, svg); got["rect"] != 2 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), "a: 1 bad, 2,000 first; b: ") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Stack(nil))
}

func TestStrips(t *testing.T) {
	fates := []Fate{{Quick, "kept"}, {Bad, "<lost>"}}
	svg := Strips([]Strip{{Label: "a", Tone: First, Fates: []int{0, 1, 1}, Note: "2 & more"}, {Label: "b", Tone: Ours, Fates: []int{0}}}, fates, "the end")
	if got := wellFormed(t, svg); got["rect"] != 4 || got["line"] != 2 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), "a: 1 kept, 2 &lt;lost&gt;; b: 1 kept, 0") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Strips(nil, nil, ""))
}

func TestBarsSayWhatTheyAreGiven(t *testing.T) {
	svg := Bars([]Bar{{Label: "a", Value: 1500, Text: "1.5 ms"}})
	if !strings.Contains(string(svg), `aria-label="a 1.5 ms"`) || strings.Contains(string(svg), "1,500") {
		t.Errorf("got\n%s", svg)
	}
}

func TestLevels(t *testing.T) {
	v := Vessel{Holds: 2, Every: 10 * time.Millisecond, Edge: "<edge>"}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	asked := []Ask{{At: ms(-90), Granted: true}, {At: ms(-5), Granted: true}, {At: ms(-4), Granted: true}, {At: ms(1), Granted: true, Over: true}, {At: ms(2)}, {At: ms(500), Granted: true}}
	svg := Levels([]Level{{Label: "a", Tone: First, Asked: asked, Note: "2 & more"}, {Label: "b", Tone: Ours}}, v, Span{From: ms(-20), To: ms(60)})
	// A tick for each request that is shown; an area within and one above the brim for each row.
	if got := wellFormed(t, svg); got["rect"] != 4 || got["path"] != 4 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), "a: 3 granted, 1 of them past the limit, 1 denied; b: ") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	most := 0.0
	for _, d := range course(asked, v, Span{From: ms(-20), To: ms(60)}) {
		most = max(most, d.level)
		if d.level < 0 || d.at < ms(-20) || d.at > ms(60) {
			t.Errorf("a level of %v at %v", d.level, d.at)
		}
	}
	if most < 2.35 || most > 2.45 { // 3 granted, 6 ms of which run out
		t.Errorf("rises to %v", most)
	}
	wellFormed(t, Levels(nil, Vessel{}, Span{}))
}

func TestHolds(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	svg := Holds([]Plan{
		{Label: "<a>", Tone: First, Note: "1 overlap", Band: Span{To: ms(50), Name: "frozen"}, Rows: []Row{
			{Label: "1", Spans: []Hold{{From: 0, To: ms(10)}, {From: ms(10), To: ms(60), Faint: true}}, Dots: []Dot{{At: ms(60), Text: "taken", Bad: true}}},
			{Label: "2", Spans: []Hold{{From: ms(20), To: ms(70), Bad: true}, {From: ms(400), To: ms(500)}}},
		}},
		{Label: "b", Tone: Ours, Rows: []Row{{Label: "1"}}},
	}, Span{To: ms(100)})
	if got := wellFormed(t, svg); got["rect"] != 4 || got["circle"] != 1 { // one hold is not shown
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), "4 holds, 1 of them overlapping") {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Holds(nil, Span{}))
}

func TestCeiling(t *testing.T) {
	for _, c := range []struct{ in, want float64 }{{0, 1}, {1, 1}, {1.1, 1.5}, {3.5, 4}, {5, 5}, {6.5, 8}, {9, 10}, {251, 300}, {1000, 1000}} {
		if got := ceiling(c.in); got != c.want {
			t.Errorf("ceiling(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		in   int
		want string
	}{{0, "0"}, {999, "999"}, {1000, "1,000"}, {-1234567, "-1,234,567"}} {
		if got := Count(c.in); got != c.want {
			t.Errorf("Count(%d) = %s", c.in, got)
		}
	}
	for _, c := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0 ns"},
		{700, "700 ns"},
		{87 * time.Microsecond, "87 µs"},
		{999600, "1 ms"},
		{1240 * time.Microsecond, "1.24 ms"},
		{103 * time.Millisecond, "103 ms"},
		{5 * time.Second, "5 s"},
		{100 * time.Second, "100 s"},
	} {
		if got := Duration(c.in); got != c.want {
			t.Errorf("Duration(%d) = %s, want %s", c.in, got, c.want)
		}
	}
}

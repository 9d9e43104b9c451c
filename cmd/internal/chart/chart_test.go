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
	svg := Bars([]Bar{{"get/setex", 1234, First}, {`<"&'>`, 0, Ours}})
	if got := wellFormed(t, svg); got["rect"] != 2 || got["text"] != 4 {
		t.Errorf("drew %v", got)
	}
	if !strings.Contains(string(svg), `aria-label="get/setex 1,234, &lt;`) {
		t.Errorf("does not say what it shows:\n%s", svg)
	}
	wellFormed(t, Bars(nil))
	wellFormed(t, Bars([]Bar{{"nothing", 0, First}}))
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

package locks

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// newReport turns what was measured into the report. The recipe comes first, as everyone copies it, Redstart last.
func newReport(o lab.Options, server string, outcomes []*outcome) *report.Report {
	fault := "a holder is frozen past its lease"
	if !canFreeze {
		fault = "freeze: skipped: this system cannot stop a process"
	}
	r := &report.Report{
		Scenario: Scenario{}.Name(),
		Title:    Scenario{}.About(),
		Server:   server,
		Input:    report.Input{Requests: o.Requests, Keys: 1, Request: "turn", Key: "lock"},
		Fault:    fault,
		Headline: headline(outcomes),
		Findings: []string{finding(outcomes)},
		Table:    table(outcomes),
		Figures:  figures(o, outcomes),
		Notes:    notes(o, outcomes),
	}
	results := make([]result, len(outcomes))
	for i, out := range outcomes {
		results[i] = out.result
		r.Recipes = append(r.Recipes, report.Note{Head: out.Recipe, Text: out.recipe.about})
	}
	r.Results = results
	return r
}

func headline(outcomes []*outcome) string {
	first, last := outcomes[0], outcomes[len(outcomes)-1]
	s := fmt.Sprintf("With the lock that tutorials print (%s) the resource took %s of holders who had been overtaken, and %s into another. ",
		first.Recipe, report.Counted(first.FencingViolations, "write"), fell(first.Overlaps))
	s += "With Redstart it took " + report.Noun(last.FencingViolations)
	if last.Overlaps > 0 {
		s += ", and " + fell(last.Overlaps)
	}
	return s + "."
}

func fell(n int) string { return report.Counted(n, "hold") + " fell" }

func finding(outcomes []*outcome) string {
	first, last := outcomes[0], outcomes[len(outcomes)-1]
	return fmt.Sprintf("A lock that was released was with the next worker in line within %s of Redstart and %s of the recipe, 99 times of 100. The longest wait for a turn was %s and %s.",
		chart.Duration(last.handover[1]), chart.Duration(first.handover[1]), chart.Duration(last.longestWait), chart.Duration(first.longestWait))
}

func table(outcomes []*outcome) report.Table {
	t := report.Table{Head: []string{"recipe", "turns", "overlaps", "late writes", "refused", "hand-over p50", "p99", "longest wait", "fewest turns", "turns/s", "errors"}}
	for _, out := range outcomes {
		t.Rows = append(t.Rows, []report.Cell{
			{Text: out.Recipe},
			{Text: chart.Count(out.Turns)},
			{Text: chart.Count(out.Overlaps), Mood: report.MoodOf(out.Overlaps, 0)},
			{Text: chart.Count(out.FencingViolations), Mood: report.MoodOf(out.FencingViolations, 0)},
			{Text: chart.Count(out.Refused)},
			{Text: chart.Duration(out.handover[0])},
			{Text: chart.Duration(out.handover[1])},
			{Text: chart.Duration(out.longestWait)},
			{Text: chart.Count(out.FewestTurns)},
			{Text: chart.Count(out.TurnsPerS)},
			{Text: chart.Count(out.Errors), Mood: report.MoodOf(out.Errors, 0)},
		})
	}
	return t
}

func figures(o lab.Options, outcomes []*outcome) []report.Figure {
	var late, overlaps []chart.Bar
	var handovers []chart.Bar
	var spreads []chart.Spread
	var plans []chart.Plan
	show := chart.Span{From: lease - 2*after} // before, nothing happens
	for _, out := range outcomes {
		bar := func(n int) chart.Bar { return chart.Bar{Label: out.Recipe, Value: n, Tone: out.recipe.tone} }
		late, overlaps = append(late, bar(out.FencingViolations)), append(overlaps, bar(out.Overlaps))
		b := bar(int(out.handover[1].Microseconds()))
		b.Text = chart.Duration(out.handover[1])
		handovers = append(handovers, b)
		spreads = append(spreads, chart.Spread{Label: out.Recipe, Tone: out.recipe.tone, P50: out.handover[0], P99: out.handover[1], P999: out.handover[2]})
		plans = append(plans, plan(o, out))
		show.To = max(show.To, out.back.Sub(out.start())+3*after)
	}
	return []report.Figure{
		{
			Title: "Late writes taken", Picture: chart.Bars(late),
			Caption: "Writes that the resource took from a holder after a later one had written: what a lock is there to prevent.",
		},
		{
			Title: "Overlapping holds", Picture: chart.Bars(overlaps),
			Caption: "Holds that began to write before an earlier one had written for the last time, by the resource's own order.",
		},
		{
			Title: "Hand-over, 99 % within", Picture: chart.Bars(handovers),
			Caption: "From the beginning of a release until a worker who has waited has the lock.",
		},
		{
			Title: "Who held the lock", Wide: true, Picture: chart.Holds(plans, show),
			Legend: []report.Key{
				{Tone: "reads", Text: "held the lock"},
				{Tone: string(chart.Faint), Text: "frozen, its lease over"},
				{Tone: string(chart.Bad), Text: "held it while another did; a dot: a late write was taken"},
			},
			Caption: fmt.Sprintf("A row for each worker, the one that is frozen first. It holds the lock for %s at most without a word of it; when it goes on, the next one is at work, and goes on for %s.",
				chart.Duration(lease), chart.Duration(after)),
		},
		{
			Title: "Hand-overs: half, 99 % and 99.9 % of all were faster", Wide: true, Picture: chart.Quantiles(spreads),
			Caption: fmt.Sprintf("Exact, from every turn for which somebody waited. %d workers, each holds the lock for %s and wants it again after %s or so. The scale is logarithmic.", o.Workers, chart.Duration(work), chart.Duration(rest)),
		},
	}
}

// start is when the picture begins.
func (out *outcome) start() time.Time {
	if out.frozen != nil {
		return out.frozen.acquired
	}
	return out.holds[0].acquired
}

// plan is who held the lock when, as far as each knew.
func plan(o lab.Options, out *outcome) chart.Plan {
	zero := out.start()
	p := chart.Plan{Label: out.Recipe, Tone: out.recipe.tone, Rows: make([]chart.Row, o.Workers+1)}
	p.Note = fmt.Sprintf("%s · %s · %s refused", report.Counted(out.Overlaps, "overlap"), report.Counted(out.FencingViolations, "late write"), report.Noun(out.Refused))
	for w := range o.Workers {
		p.Rows[w+1].Label = strconv.Itoa(w + 1)
	}
	for _, t := range out.holds {
		p.Rows[t.worker+1].Spans = append(p.Rows[t.worker+1].Spans, chart.Hold{
			From: t.acquired.Sub(zero), To: t.released.Sub(zero), Bad: out.verdict.overlaps[t.name],
		})
	}
	if f := out.frozen; f != nil {
		p.Rows[0] = chart.Row{Label: "frozen", Spans: []chart.Hold{
			{From: 0, To: lease},
			{From: lease, To: f.released.Sub(zero), Faint: true},
		}}
		mark := chart.Dot{At: f.wrote.Sub(zero), Text: "its write is taken", Bad: true}
		if !f.refused.IsZero() {
			mark = chart.Dot{At: f.wrote.Sub(zero), Text: "its write is refused"}
		}
		p.Rows[0].Dots = []chart.Dot{mark}
		p.Band = chart.Span{From: out.began.Sub(zero), To: out.back.Sub(zero), Name: "a holder is frozen, since 0 s"}
	} else {
		p.Rows = p.Rows[1:]
	}
	return p
}

func notes(o lab.Options, outcomes []*outcome) []report.Note {
	parts := make([]string, len(outcomes))
	for i, out := range outcomes {
		parts[i] = fmt.Sprintf("%s %s", out.Recipe, chart.Count(out.FewestTurns))
	}
	out := []report.Note{
		{Head: "Workers", Text: fmt.Sprintf("%d, each with connections of its own, %s in all: take the lock, write, work for %s, make sure that the lock is still held (where one can), write again, release, and come back after %s or so. The least served got: %s.",
			o.Workers, report.Counted(o.Requests, "turn"), chart.Duration(work), chart.Duration(rest), strings.Join(parts, ", "))},
		{Head: "Order", Text: "One recipe after the other, each in a namespace of its own. Locks last " + chart.Duration(lease) + " without renewal in both."},
		{Head: "Late writes", Text: "The resource is a list on the server; what it took, and in which order, is what it holds in the end. A hold lasts from its first write in the list to its last, whoever believed to have the lock when. Redstart's workers write with their fencing token, through a guarded script; the recipe has none to write with."},
		{Head: "Errors", Text: errorsNote(outcomes)},
	}
	if canFreeze {
		freeze := report.Note{Head: "The freeze", Text: "The first holder is a process of its own. It writes, makes sure that it holds the lock and gets SIGSTOP before it writes again. It gets SIGCONT when the next holder has written once, and then writes, and releases the lock. The pause is one that any program may have: a swap, a virtual machine that moves, a debugger."}
		out = append(out[:2], append([]report.Note{freeze}, out[2:]...)...)
	}
	return out
}

func errorsNote(outcomes []*outcome) string {
	var parts []string
	for _, out := range outcomes {
		if out.firstErr != nil {
			parts = append(parts, fmt.Sprintf("%s: %s, the first one %q.", out.Recipe, chart.Count(out.Errors), report.Short(out.firstErr.Error(), 160)))
		}
	}
	if parts == nil {
		return "None. A lease that was lost is none: its holder stops."
	}
	return strings.Join(parts, " ")
}

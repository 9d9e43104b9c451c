package sessions

import (
	"fmt"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// newReport turns what was measured into the report. The recipe comes first, as everyone copies it, Redstart last.
func newReport(o lab.Options, server string, outcomes []*outcome) *report.Report {
	r := &report.Report{
		Scenario: Scenario{}.Name(),
		Title:    Scenario{}.About(),
		Server:   server,
		Input:    report.Input{Requests: o.Requests, Keys: sessionsOf(o.Seed, o.Requests), Request: "write", Key: "session"},
		Fault:    "the process that writes is killed, then started again",
		Headline: headline(outcomes),
		Findings: []string{finding(outcomes)},
		Table:    overview(outcomes),
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
	return fmt.Sprintf("The process was killed, and with the queue that tutorials print the database lacked %s of which callers had been told that they were saved. With Redstart it lacked %s.",
		report.Counted(first.Lost, "write"), report.Noun(last.Lost))
}

func finding(outcomes []*outcome) string {
	last := outcomes[len(outcomes)-1]
	s := fmt.Sprintf("Behind their writers' backs Redstart brought %s writes a second to the database, producers included; one writer who waits for the database brought %s. %s of its %s cost no row of their own, since a later one of the session went in their place.",
		chart.Count(last.WritesPerS), chart.Count(last.DirectPerS), report.Capitalise(report.Noun(last.Coalesced)), report.Counted(last.Writes, "write"))
	if last.Duplicates == 0 {
		s += " None was written twice."
	}
	return s
}

func overview(outcomes []*outcome) report.Table {
	t := report.Table{Head: []string{"recipe", "writes", "lost", "twice", "rows", "coalesced", "write p50", "p99", "recovery", "writes/s", "direct/s", "errors"}}
	for _, out := range outcomes {
		t.Rows = append(t.Rows, []report.Cell{
			{Text: out.Recipe},
			{Text: chart.Count(out.Writes)},
			{Text: chart.Count(out.Lost), Mood: report.MoodOf(out.Lost, 0)},
			{Text: chart.Count(out.Duplicates), Mood: report.MoodOf(out.Duplicates, 0)},
			{Text: chart.Count(out.Rows)},
			{Text: chart.Count(out.Coalesced)},
			{Text: chart.Duration(out.quantiles[0])},
			{Text: chart.Duration(out.quantiles[1])},
			{Text: chart.Duration(out.recovery)},
			{Text: chart.Count(out.WritesPerS)},
			{Text: chart.Count(out.DirectPerS)},
			{Text: chart.Count(out.Errors), Mood: report.MoodOf(out.Errors, 0)},
		})
	}
	return t
}

// What may become of a write.
const (
	isWritten = iota
	isSpared
	isLost
)

// shown is how many writes before the kill the picture has.
const shown = 300

// fate is what became of a write that was acknowledged.
func (out *outcome) fate(a acked) int {
	switch {
	case out.lost[a.n]:
		return isLost
	case out.notes.wrote(a):
		return isWritten
	default:
		return isSpared
	}
}

func figures(o lab.Options, outcomes []*outcome) []report.Figure {
	var lost, rows, speed []chart.Bar
	var spreads []chart.Spread
	var strips []chart.Strip
	for _, out := range outcomes {
		bar := func(n int) chart.Bar { return chart.Bar{Label: out.Recipe, Value: n, Tone: out.recipe.tone} }
		lost, rows, speed = append(lost, bar(out.Lost)), append(rows, bar(out.Rows)), append(speed, bar(out.WritesPerS))
		spreads = append(spreads, chart.Spread{
			Label: out.Recipe, Tone: out.recipe.tone,
			P50: out.quantiles[0], P99: out.quantiles[1], P999: out.quantiles[2],
		})
		strip := chart.Strip{Label: out.Recipe, Tone: out.recipe.tone}
		gone := 0
		for _, a := range out.before[max(len(out.before)-shown, 0):] {
			f := out.fate(a)
			strip.Fates = append(strip.Fates, f)
			if f == isLost {
				gone++
			}
		}
		strip.Note = report.Noun(gone) + " of them lost"
		strips = append(strips, strip)
	}
	last := outcomes[len(outcomes)-1]
	speed = append(speed, chart.Bar{Label: "one direct writer", Value: last.DirectPerS, Tone: chart.Calm})
	return []report.Figure{
		{
			Title: "Acknowledged writes lost", Picture: chart.Bars(lost),
			Caption: "Writes of which a caller had been told that they were saved, and which the database lacked after the restart, or at the end; what a later write of the session replaced is not counted.",
		},
		{
			Title: "Writes a second, drained", Picture: chart.Bars(speed),
			Caption: fmt.Sprintf("%d workers write sessions, each once, for %s; the clock stops when the database has them all. The direct writer is alone, and waits for each commit.", o.Workers, chart.Duration(speedFor)),
		},
		{
			Title: "Rows that the database wrote", Picture: chart.Bars(rows),
			Caption: "Of the writes in the run with the kill. A session that is written again before its turn comes costs one row.",
		},
		{
			Title: "The last writes before the kill", Wide: true,
			Picture: chart.Strips(strips, []chart.Fate{{Tone: chart.Quick, What: "written"}, {Tone: chart.Calm, What: "replaced by a later one"}, {Tone: chart.Bad, What: "lost"}}, "the process is killed"),
			Legend: []report.Key{
				{Tone: string(chart.Quick), Text: "in the database"},
				{Tone: string(chart.Calm), Text: "a later write of the session went in its place"},
				{Tone: string(chart.Bad), Text: "acknowledged, and lost"},
			},
			Caption: fmt.Sprintf("A tick for each of the last %d writes that were acknowledged, in that order. Then the process got SIGKILL; it was started again and given the time to bring to the database what was pending.", shown),
		},
		{
			Title: "What a writer waits: half, 99 % and 99.9 % of all writes were faster", Wide: true, Picture: chart.Quantiles(spreads),
			Caption: fmt.Sprintf("Exact, from every acknowledged write of the run with the kill, %s. The scale is logarithmic.", pace(o)),
		},
	}
}

func pace(o lab.Options) string {
	if o.Rate < 0 {
		return "as fast as the workers can"
	}
	return chart.Count(o.Rate) + " a second"
}

func notes(o lab.Options, outcomes []*outcome) []report.Note {
	return []report.Note{
		{Head: "Writes", Text: fmt.Sprintf("%s, %s, by %d workers of one process: documents of about %d bytes of up to %s users by a Zipf load (exponent %g, seed %d), one in %d a logout. They live %.0f minutes in Redis.",
			report.Capitalise(report.Counted(o.Requests, "write")), pace(o), o.Workers, documentSize, chart.Count(users), skew, o.Seed, outOf, ttl.Minutes())},
		{Head: "Order", Text: "One recipe after the other, each with a database and a namespace of its own, on the same writes."},
		{Head: "The kill", Text: fmt.Sprintf("The process tells the lab of each acknowledgement in the moment in which its caller has it. After %.0f %% of the writes it gets SIGKILL, is started again, and brings to the database what it still can; the database is asked; then the rest follows. What had been begun and was not acknowledged is neither asked for nor counted.", killAfter*100)},
		{Head: "Lost", Text: "A write counts as lost when the database has neither it nor a later one of the session; a logout, when the session is still there, or is back."},
		{Head: "Twice", Text: "A trigger of the database notes each row that changes, with the number of its write."},
		{Head: "Speed", Text: fmt.Sprintf("After that, without the trigger, for %s; and one writer for %s, who commits each session by itself. A commit waits for the disk in both. All runs on this machine, Redis, the writers and the database.", chart.Duration(speedFor), chart.Duration(directFor))},
		{Head: "Errors", Text: errorsNote(outcomes)},
	}
}

func errorsNote(outcomes []*outcome) string {
	var parts []string
	for _, out := range outcomes {
		if out.firstErr != "" {
			parts = append(parts, fmt.Sprintf("%s: %s, the first one %q.", out.Recipe, chart.Count(out.Errors), report.Short(out.firstErr, 160)))
		}
	}
	if parts == nil {
		return "None. A write that fails is counted, and its caller knows."
	}
	return strings.Join(parts, " ")
}

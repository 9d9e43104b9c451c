package ratelimit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// newReport turns what was measured into the report. The recipes come first, as everyone copies them, Redstart last.
func newReport(o lab.Options, server string, t *trace.Trace, outcomes []*outcome) *report.Report {
	r := &report.Report{
		Scenario: Scenario{}.Name(),
		Title:    Scenario{}.About(),
		Server:   server,
		Input:    report.Input{Requests: len(t.Requests), Keys: len(t.Keys), Key: "client"},
		Fault:    string(lab.None),
		Headline: headline(o, outcomes),
		Findings: []string{finding(outcomes)},
		Table:    table(o, outcomes),
		Figures:  figures(o, outcomes),
		Notes:    notes(o, t, outcomes),
	}
	results := make([]result, len(outcomes))
	for i, out := range outcomes {
		results[i] = out.result
		r.Recipes = append(r.Recipes, report.Note{Head: out.Recipe, Text: out.recipe.about})
	}
	r.Results = results
	return r
}

func limitText(o lab.Options) string {
	return fmt.Sprintf("%s in %s", report.Counted(o.Limit, "request"), chart.Duration(o.Per))
}

func headline(o lab.Options, outcomes []*outcome) string {
	first, last := outcomes[0], outcomes[len(outcomes)-1]
	return fmt.Sprintf("Of a limit of %s the counter that tutorials print (%s) let one client have %d at once, and in all %s too many. Redstart let through %s.",
		limitText(o), first.Recipe, first.MostAtOnce, report.Counted(first.OverAdmissions, "request"), report.Noun(last.OverAdmissions))
}

// finding says what a denial costs.
func finding(outcomes []*outcome) string {
	first, last := outcomes[0], outcomes[len(outcomes)-1]
	if last.Denied == 0 || first.Denied == 0 {
		return fmt.Sprintf("A decision that grants took %s of the recipe and %s of Redstart, half of all less.", chart.Duration(first.took[0]), chart.Duration(last.took[0]))
	}
	return fmt.Sprintf("A request that was denied cost the recipe a round trip, half of them %s or more. Redstart remembers who was told to come back later: %.0f %% of its denials asked nobody, and half of all took %s or less.",
		chart.Duration(first.tookDenied[0]), last.DeniedFree*100, chart.Duration(last.tookDenied[0]))
}

func table(o lab.Options, outcomes []*outcome) report.Table {
	t := report.Table{Head: []string{"recipe", "granted", "denied", "too many", "most at once", "grants/s", "grant p50", "denial p50", "asked nobody", "errors"}}
	for _, out := range outcomes {
		denial, free := "–", "–"
		if out.Denied > 0 {
			denial, free = chart.Duration(out.tookDenied[0]), fmt.Sprintf("%.0f %%", out.DeniedFree*100)
		}
		t.Rows = append(t.Rows, []report.Cell{
			{Text: out.Recipe},
			{Text: chart.Count(out.Granted)},
			{Text: chart.Count(out.Denied)},
			{Text: chart.Count(out.OverAdmissions), Mood: report.MoodOf(out.OverAdmissions, 0)},
			{Text: chart.Count(out.MostAtOnce), Mood: report.MoodOf(out.MostAtOnce, o.Limit)},
			{Text: chart.Count(out.DecisionsPerS)},
			{Text: chart.Duration(out.took[0])},
			{Text: denial},
			{Text: free},
			{Text: chart.Count(out.Errors), Mood: report.MoodOf(out.Errors, 0)},
		})
	}
	return t
}

func notes(o lab.Options, t *trace.Trace, outcomes []*outcome) []report.Note {
	pace := "as fast as the workers can"
	if o.Rate > 0 {
		pace = chart.Count(o.Rate) + " a second"
	}
	traffic := fmt.Sprintf("%s: %s of %s, %s, by %d workers on %d instances of the service. The order is that of the record, the time is not: days pass in seconds.",
		t.Source, report.Counted(len(t.Requests), "request"), report.Counted(len(t.Keys), "client"), pace, o.Workers, instances)
	if t.Skipped > 0 {
		traffic += fmt.Sprintf(" %s no request.", report.Capitalise(report.Counted(t.Skipped, "line")+" held"))
	}
	return []report.Note{
		{Head: "Traffic", Text: traffic},
		{Head: "Order", Text: "One recipe after the other, each in a namespace of its own, on the same requests in the same order (seed " + strconv.FormatUint(o.Seed, 10) + ")."},
		{Head: "Limit", Text: fmt.Sprintf("%s for each client: a burst of %d, and one more every %s.", report.Capitalise(limitText(o)), o.Limit, chart.Duration(allowance(o).Every))},
		{Head: "Too many", Text: "How many grants of a client must be taken away until no trailing window of any length t holds more than the burst and what the rate adds in t; the same for all. " +
			"A decision is made at the server at some time between the sending of the request and its answer, in the order in which the answers come; every window is taken to be as long as those times allow, so what is counted was surely too much."},
		{Head: "A rush", Text: fmt.Sprintf("%d clients, one after the other, ask %s in the same instant. Too many: %s.", rushSize, report.Times(3*o.Limit), byPart(outcomes, func(out *outcome) int { return out.rush }))},
		{Head: "The edge", Text: fmt.Sprintf("%d clients use up a window as it ends, and go on asking in the next one. Too many: %s.", edgeSize, byPart(outcomes, func(out *outcome) int { return out.edge }))},
		{Head: "The replay", Text: fmt.Sprintf("Nothing is aimed. Too many: %s.", byPart(outcomes, func(out *outcome) int { return out.replay }))},
		{Head: "Grants a second", Text: fmt.Sprintf("%d workers ask as fast as they are answered, for %s, on behalf of new clients who stay within their limit: every one is decided at the server.", o.Workers, chart.Duration(fastFor))},
		{Head: "Errors", Text: errorsNote(outcomes)},
	}
}

func byPart(outcomes []*outcome, n func(*outcome) int) string {
	parts := make([]string, len(outcomes))
	for i, out := range outcomes {
		parts[i] = out.Recipe + " " + chart.Count(n(out))
	}
	return strings.Join(parts, ", ")
}

func errorsNote(outcomes []*outcome) string {
	var parts []string
	for _, out := range outcomes {
		if out.firstErr != nil {
			parts = append(parts, fmt.Sprintf("%s: %s, the first one %q.", out.Recipe, chart.Count(out.Errors), report.Short(out.firstErr.Error(), 160)))
		}
	}
	if parts == nil {
		return "None. What is let through or denied because the server did not answer would be one."
	}
	return strings.Join(parts, " ")
}

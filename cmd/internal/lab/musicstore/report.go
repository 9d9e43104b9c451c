package musicstore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// newReport turns what was measured into the report. The recipe comes first, as everyone copies it, Redstart last.
func newReport(o lab.Options, last *course, outcomes []*outcome) *report.Report {
	r := &report.Report{
		Scenario: Scenario{}.Name(),
		Title:    Scenario{}.About(),
		Server:   last.server.Label + "; " + last.place.Label,
		Input:    report.Input{Requests: o.Requests, Keys: len(last.shop.pages), Request: "read", Key: "page"},
		Fault:    string(lab.None),
		Headline: headline(outcomes),
		Findings: []string{finding(outcomes)},
		Table:    overview(outcomes),
		Figures:  figures(o, outcomes),
		Notes:    notes(o, last, outcomes),
	}
	results := make([]result, len(outcomes))
	for i, out := range outcomes {
		results[i] = out.result
		r.Recipes = append(r.Recipes, report.Note{Head: out.Recipe, Text: out.recipe.about})
	}
	r.Results = results
	return r
}

// old counts the answers that showed the rows of another time.
func (out *outcome) old() int { return out.Stale + out.Uncommitted }

func headline(outcomes []*outcome) string {
	first, last := outcomes[0], outcomes[len(outcomes)-1]
	s := fmt.Sprintf("The cache that plug-ins put in front of a database gave %s from before a commit, %d that nobody had committed and %d meant for another customer. Redstart gave ",
		report.Counted(first.Stale, "answer"), first.Uncommitted, first.Wrong)
	if last.old()+last.Wrong == 0 {
		return s + "none."
	}
	return s + fmt.Sprintf("%d, %d and %d.", last.Stale, last.Uncommitted, last.Wrong)
}

func finding(outcomes []*outcome) string {
	last, without := outcomes[len(outcomes)-1], outcomes[1]
	return fmt.Sprintf("With Redstart the database was spared %.0f %% of the queries, and %s were answered in a second; without a cache it was %s. Half of all took %s, and without it %s.",
		last.HitRatio*100, chart.Count(last.QueriesPerS), chart.Count(without.QueriesPerS), chart.Duration(last.quantiles[0]), chart.Duration(without.quantiles[0]))
}

func overview(outcomes []*outcome) report.Table {
	t := report.Table{Head: []string{"recipe", "hits", "queries/s", "p50", "p99", "db queries", "stale", "stale for", "uncommitted", "own missed", "wrong rows", "errors"}}
	for _, out := range outcomes {
		cells := []report.Cell{
			{Text: out.Recipe},
			{Text: fmt.Sprintf("%.1f %%", out.HitRatio*100)},
			{Text: chart.Count(out.QueriesPerS)},
		}
		for _, q := range out.quantiles[:2] {
			cells = append(cells, report.Cell{Text: chart.Duration(q)})
		}
		staleFor := "–"
		if out.Stale > 0 {
			staleFor = chart.Duration(out.staleFor)
		}
		count := func(n int) report.Cell { return report.Cell{Text: chart.Count(n), Mood: report.MoodOf(n, 0)} }
		t.Rows = append(t.Rows, append(cells,
			report.Cell{Text: chart.Count(out.Statements)},
			count(out.Stale), report.Cell{Text: staleFor}, count(out.Uncommitted), count(out.OwnMissed), count(out.Wrong), count(out.Errors)))
	}
	return t
}

func figures(o lab.Options, outcomes []*outcome) []report.Figure {
	var old, wrong, speed []chart.Bar
	var spreads []chart.Spread
	var lanes []chart.Lane
	var piles []chart.Pile
	for _, out := range outcomes {
		bar := func(n int) chart.Bar { return chart.Bar{Label: out.Recipe, Value: n, Tone: out.recipe.tone} }
		old, wrong, speed = append(old, bar(out.old())), append(wrong, bar(out.Wrong)), append(speed, bar(out.QueriesPerS))
		spreads = append(spreads, chart.Spread{
			Label: out.Recipe, Tone: out.recipe.tone,
			P50: out.quantiles[0], P99: out.quantiles[1], P999: out.quantiles[2],
		})
		lanes = append(lanes, chart.Lane{Label: out.Recipe, Tone: out.recipe.tone, Steps: out.steps})
		piles = append(piles, chart.Pile{
			Label: out.Recipe, Tone: out.recipe.tone, Note: fmt.Sprintf("%.1f %% spared", out.HitRatio*100),
			Parts: []chart.Slice{{N: out.Statements, Tone: chart.Calm, What: "asked of the database"}, {N: out.Saved, Tone: chart.Quick, What: "spared"}},
		})
	}
	first := outcomes[0]
	return []report.Figure{
		{
			Title: "Stale or uncommitted", Picture: chart.Bars(old),
			Caption: fmt.Sprintf("Reads that showed rows from before a commit which had returned, or rows that nobody had committed. Of the %d stale ones of the recipe %d followed %d writes with a read before their commit; the others are from the replay.",
				first.Stale, first.raced, aimed),
		},
		{
			Title: "Another customer's rows", Picture: chart.Bars(wrong),
			Caption: fmt.Sprintf("Reads of a customer by first and last name that gave somebody else: %q, %q and %q, %q are two.", namesakes[0][0], namesakes[0][1], namesakes[1][0], namesakes[1][1]),
		},
		{
			Title: "Queries answered in a second", Picture: chart.Bars(speed),
			Caption: fmt.Sprintf("By %d workers, each of whom asks when he has his answer. The database is %s away.", o.Workers, chart.Duration(max(o.Latency, 0))),
		},
		{
			Title: "What the database was asked", Wide: true, Picture: chart.Stack(piles),
			Legend: []report.Key{
				{Tone: string(chart.Calm), Text: "asked of the database"},
				{Tone: string(chart.Quick), Text: "spared"},
			},
			Caption: fmt.Sprintf("Over the %s of the replay, with a transaction that writes before every %dth of them; each ends what is cached of the tables that it changes. A wrong answer is a query spared, too.",
				report.Counted(o.Requests, "read"), writeEvery),
		},
		{
			Title: "The replay, 100 ms at a time", Wide: true, Picture: chart.Timeline(lanes, step),
			Legend: []report.Key{
				{Tone: "reads", Text: "queries answered"},
				{Tone: string(chart.Stale), Text: "stale, uncommitted or wrong"},
				{Tone: string(chart.Bad), Text: "failed"},
				{Tone: string(chart.Calm), Text: "asked of the database (downwards)"},
			},
			Caption: "The same queries, writes and scale for each; the cache is cold at the start.",
		},
		{
			Title: "Latency of a query: half, 99 % and 99.9 % were faster", Wide: true, Picture: chart.Quantiles(spreads),
			Caption: "Exact, from every read of the replay, hits and misses alike. The scale is logarithmic.",
		},
	}
}

func notes(o lab.Options, last *course, outcomes []*outcome) []report.Note {
	var kinds []string
	for _, p := range last.shop.pages {
		if !slices.Contains(kinds, p.name) {
			kinds = append(kinds, p.name)
		}
	}
	slices.Sort(kinds)
	store := fmt.Sprintf("The store is generated (seed %d). ", o.Seed)
	if !last.place.Empty {
		store = ""
	}
	return []report.Note{
		{Head: "Queries", Text: fmt.Sprintf("%s%s over %s by a Zipf load (exponent %g, seed %d), by %d workers on %d instances of the service: %s.",
			store, report.Counted(o.Requests, "read"), report.Counted(len(last.shop.pages), "page"), skew, o.Seed, o.Workers, instances, strings.Join(kinds, ", "))},
		{Head: "Order", Text: "One recipe after the other, each with a database and a namespace of its own, on the same queries in the same order."},
		{Head: "Writes", Text: fmt.Sprintf("Before every %dth read: a price rises, a customer buys in a transaction that looks at his invoices, or somebody makes a track dearer, looks at its album and rolls back. %s in the run.",
			writeEvery, report.Capitalise(report.Counted(outcomes[0].writes, "write")))},
		{Head: "Stale", Text: "Prices, sales and invoices only rise. When a commit has returned, a read that begins later must show what it wrote, or more; nobody may ever see more than was committed."},
		{Head: "Aimed reads", Text: fmt.Sprintf("Before the replay, %[1]d times: a price rises in a transaction, somebody else reads the album, the transaction is committed, %[2]d reads follow. And %[1]d times: a price rises, the transaction reads it and is rolled back, %[2]d reads follow. In the replay the same happens by chance.", aimed, aimedReads)},
		{Head: "Wrong rows", Text: fmt.Sprintf("%d customers were added to the copy whose names are the same when they are written one behind the other: %q, %q and %q, %q.", len(namesakes), namesakes[0][0], namesakes[0][1], namesakes[1][0], namesakes[1][1])},
		{Head: "Database", Text: fmt.Sprintf("%s, with %s added to each statement, half before and half after it. Answers live %s in the caches.", last.place.Label, chart.Duration(max(o.Latency, 0)), chart.Duration(ttl))},
		{Head: "Errors", Text: errorsNote(outcomes)},
	}
}

func errorsNote(outcomes []*outcome) string {
	var parts []string
	for _, out := range outcomes {
		if out.firstErr != nil {
			parts = append(parts, fmt.Sprintf("%s: %s, the first one %q.", out.Recipe, chart.Count(out.Errors), report.Short(out.firstErr.Error(), 160)))
		}
	}
	if parts == nil {
		return "None. A read that fails is counted, and its time with the others."
	}
	return strings.Join(parts, " ")
}

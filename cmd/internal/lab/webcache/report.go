package webcache

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// webCacheReport turns what was measured into the report. The recipes come first, as everyone copies them, Redstart last.
func webCacheReport(o lab.Options, serverLabel, fault string, t *trace.Trace, outcomes []*outcome) *report.Report {
	r := &report.Report{
		Scenario: Scenario{}.Name(),
		Title:    Scenario{}.About(),
		Server:   serverLabel,
		Input:    report.Input{Requests: len(t.Requests), Keys: len(t.Keys)},
		Fault:    fault,
		Headline: headline(outcomes),
		Findings: findings(o, outcomes),
		Table:    table(outcomes),
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

func headline(outcomes []*outcome) string {
	first, last := outcomes[0], find(outcomes, oursName)
	s := fmt.Sprintf("As tutorials print it (%s), caching served %s and loaded one cold key %s. Redstart served %s and loaded it %s.",
		first.Recipe, report.Counted(first.Stale, "stale value"), report.Times(first.BurstLoads), report.Noun(last.Stale), report.Times(last.BurstLoads))
	if first.until > first.faultAt && first.Errors+last.Errors > 0 {
		s += fmt.Sprintf(" In the outage the recipe failed %s and Redstart %s.", report.Counted(first.Errors, "read"), report.Noun(last.Errors))
	}
	return s
}

func table(outcomes []*outcome) report.Table {
	t := report.Table{Head: []string{"recipe", "hits", "loads", "loads/cold key", "p50", "p99", "p99.9", "stale", "stale for", "errors"}}
	for _, out := range outcomes {
		cells := []report.Cell{
			{Text: out.Recipe},
			{Text: fmt.Sprintf("%.1f %%", out.HitRatio*100)},
			{Text: chart.Count(out.Loads)},
			{Text: chart.Count(out.BurstLoads), Mood: report.MoodOf(out.BurstLoads, 1)},
		}
		for _, q := range out.quantiles {
			cells = append(cells, report.Cell{Text: chart.Duration(q)})
		}
		cells = append(cells,
			report.Cell{Text: chart.Count(out.Stale), Mood: out.staleMood()},
			report.Cell{Text: out.staleText()},
			report.Cell{Text: chart.Count(out.Errors), Mood: report.MoodOf(out.Errors, 0)})
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// staleMood is bad only for what was not said before.
func (out *outcome) staleMood() report.Mood {
	if out.Stale > 0 && out.recipe.word != nil && out.broken == 0 {
		return report.Plain
	}
	return report.MoodOf(out.Stale, 0)
}

// staleText is how long after the invalidation the last stale read began.
func (out *outcome) staleText() string {
	if out.Stale == 0 {
		return "–"
	}
	return chart.Duration(out.staleFor)
}

func figures(o lab.Options, outcomes []*outcome) []report.Figure {
	var stale, burst, loads []chart.Bar
	var spreads []chart.Spread
	var lanes []chart.Lane
	faulted := false
	for _, out := range outcomes {
		bar := func(n int) chart.Bar { return chart.Bar{Label: out.Recipe, Value: n, Tone: out.recipe.tone} }
		stale, burst, loads = append(stale, bar(out.Stale)), append(burst, bar(out.BurstLoads)), append(loads, bar(out.Loads))
		spreads = append(spreads, chart.Spread{
			Label: out.Recipe, Tone: out.recipe.tone,
			P50: out.quantiles[0], P99: out.quantiles[1], P999: out.quantiles[2],
		})
		lane := chart.Lane{Label: out.Recipe, Tone: out.recipe.tone, Steps: out.steps}
		if out.until > out.faultAt {
			lane.From, lane.To, lane.Fault = out.faultAt, out.until, o.Fault.Text()
			faulted = true
		}
		lanes = append(lanes, lane)
	}
	first := outcomes[0]
	out := []report.Figure{
		{
			Title: "Stale values served", Picture: chart.Bars(stale),
			Caption: fmt.Sprintf("Reads that began after an invalidation had returned, and still gave the row from before it; with %[2]s up to %[1]s after it. Of its stale reads %[3]s followed %[4]d writes aimed at a load in flight; the others are from the replay.%[5]s",
				first.staleText(), first.Recipe, chart.Count(first.raced), raceSize, nearCaption(o, outcomes)),
		},
		{
			Title: "Loads for one cold key", Picture: chart.Bars(burst),
			Caption: fmt.Sprintf("%d callers on %d instances of the service ask for a key that is not cached. The worst of %d such bursts.", burstCallers, instances, burstSize),
		},
		{
			Title: "Loads from the database", Picture: chart.Bars(loads),
			Caption: loadsCaption(o, outcomes, faulted),
		},
	}
	if faulted {
		out = append(out, seenFigure(o, outcomes))
	}
	if o.Refresh && readOften(o.TTL, o.Latency) > 0 {
		out = append(out, missFigure(o, outcomes))
	}
	return append(out, []report.Figure{
		{
			Title: "The replay, 100 ms at a time", Wide: true, Picture: chart.Timeline(lanes, step),
			Legend: []report.Key{
				{Tone: "reads", Text: "reads answered"},
				{Tone: string(chart.Stale), Text: "stale"},
				{Tone: string(chart.Bad), Text: "failed"},
				{Tone: string(chart.Calm), Text: "loads from the database (downwards)"},
			},
			Caption: "The same traffic, writes and scale for each; the cache is cold at the start.",
		},
		{
			Title: "Latency of a read: half, 99 % and 99.9 % of all reads were faster", Wide: true, Picture: chart.Quantiles(spreads),
			Caption: fmt.Sprintf("Exact, from every read of the replay, hits and misses alike; a query of the database takes %s. The scale is logarithmic.", chart.Duration(max(o.Latency, 0))),
		},
	}...)
}

// nearCaption says why the near tier may have a bar.
func nearCaption(o lab.Options, outcomes []*outcome) string {
	if !o.Near {
		return ""
	}
	near := find(outcomes, oursNear().name)
	if near.Stale == 0 {
		return ""
	}
	return fmt.Sprintf(" The near tier's began before the other instances had been told, %s after it at most.", chart.Duration(near.staleFor))
}

// seenFigure shows what became of those who came around the outage.
func seenFigure(o lab.Options, outcomes []*outcome) report.Figure {
	const before, after = 500 * time.Millisecond, 1250 * time.Millisecond
	var rows []chart.Sight
	fault := chart.Span{Name: o.Fault.Short()}
	for _, out := range outcomes {
		// Each run has its own clock; they meet at the fault.
		rows = append(rows, chart.Sight{Label: out.Recipe, Tone: out.recipe.tone, Moments: out.seen, Fault: out.faultAt})
		fault.To = max(fault.To, out.until-out.faultAt)
	}
	return report.Figure{
		Title: "What readers saw " + o.Fault.Aside(), Wide: true,
		Picture: chart.Seen(rows, moment, fault, chart.Span{From: -before, To: fault.To + after}),
		Legend: []report.Key{
			{Tone: string(chart.Quick), Text: "answered at once"},
			{Tone: string(chart.Waited), Text: "waited " + chart.Duration(waited) + " or longer"},
			{Tone: string(chart.Long), Text: "waited " + chart.Duration(waitedLong) + " or longer"},
			{Tone: string(chart.Stale), Text: "got a stale value"},
			{Tone: string(chart.Bad), Text: "failed"},
		},
		Caption: fmt.Sprintf("A column is everybody who came within %s, also those for whom nobody was free: the wait counts from when they came. Each counts once, by the worst that befell him; the sums are on the right.",
			chart.Duration(moment)),
	}
}

// loadsCaption explains why Redstart may load more: it never answers with what it must not.
func loadsCaption(o lab.Options, outcomes []*outcome, faulted bool) string {
	s := fmt.Sprintf("Over the replay of %s requests; values live %s.", chart.Count(outcomes[0].Requests), chart.Duration(o.TTL))
	if find(outcomes, oursName).Loads <= outcomes[0].Loads {
		return s
	}
	s += " A stale value served is a load saved: the recipes pay for fewer loads with wrong answers"
	if faulted && outcomes[0].Errors > 0 {
		s += ", and in the outage with none"
	}
	return s + "."
}

func notes(o lab.Options, t *trace.Trace, outcomes []*outcome) []report.Note {
	pace := "as fast as the workers can"
	if o.Rate > 0 {
		pace = chart.Count(o.Rate) + " a second"
	}
	traffic := fmt.Sprintf("%s: %s requests for %s keys, %s, by %d workers on %d instances of the service; each request has %s.",
		t.Source, chart.Count(len(t.Requests)), chart.Count(len(t.Keys)), pace, o.Workers, instances, chart.Duration(deadline))
	if t.Skipped > 0 {
		traffic += fmt.Sprintf(" %s no request.", report.Capitalise(report.Counted(t.Skipped, "line")+" held"))
	}
	out := []report.Note{
		{Head: "Traffic", Text: traffic},
		{Head: "Order", Text: "One recipe after the other, each with a fresh database and a namespace of its own, on the same requests in the same order (seed " + strconv.FormatUint(o.Seed, 10) + ")."},
		{Head: "Writer", Text: fmt.Sprintf("A row changes every %d requests: UPDATE, then invalidate. Every other time it changes twice, the second time while the row is being loaded again. %s in the run.",
			writeEvery, report.Capitalise(report.Counted(outcomes[0].writes, "write")))},
		{Head: "Stale", Text: "The writer notes a version when it is committed and the invalidation after it has returned nil. A reader notes that version before it begins; a lower one is stale. An invalidation that failed promises nothing."},
		{Head: "Aimed writes", Text: fmt.Sprintf("Before the replay, for %d keys: a load has read its row; the row is changed and invalidated; the load comes home; %d reads follow. In the replay the same happens by chance.", raceSize, raceReads)},
		{Head: "Bursts", Text: fmt.Sprintf("%d of the %d callers start in one instant, the others when the first load returns from the database.", burstCallers-burstLate, burstCallers)},
		{Head: "Database", Text: fmt.Sprintf("SQLite with %s added to each query, half before and half after it. Rows of %d bytes. Most queries at one time in the replay: %s.", chart.Duration(max(o.Latency, 0)), bodySize, atOnce(outcomes))},
		{Head: "Errors", Text: errorsNote(outcomes)},
	}
	switch o.Fault {
	case lab.Kill:
		out = append(out, report.Note{Head: "Fault", Text: fmt.Sprintf("SIGKILL after two fifths of the requests, a new start on the same port after %s, with nothing left in memory.", chart.Duration(lab.DownTime))})
	case lab.Freeze:
		out = append(out, report.Note{Head: "Fault", Text: fmt.Sprintf("SIGSTOP after two fifths of the requests, SIGCONT after %s: connections stay open, and nothing answers.", chart.Duration(lab.FreezeTime))})
	case lab.None:
	}
	return out
}

func atOnce(outcomes []*outcome) string {
	parts := make([]string, len(outcomes))
	for i, out := range outcomes {
		parts[i] = fmt.Sprintf("%s %d", out.Recipe, out.atOnce)
	}
	return strings.Join(parts, ", ")
}

// errorsNote says what the first error of each recipe was: a count alone explains nothing.
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

package webcache

import (
	"fmt"
	"slices"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// findings are what the near tier and refresh-ahead did, where they ran.
func findings(o lab.Options, outcomes []*outcome) []string {
	var out []string
	if o.Near {
		out = append(out, nearFinding(find(outcomes, oursNear().name)))
	}
	if o.Refresh && readOften(o.TTL, o.Latency) > 0 {
		out = append(out, noMissEver(o, outcomes))
	}
	return out
}

func nearFinding(near *outcome) string {
	s := fmt.Sprintf("With the near tier %.0f %% of the reads asked nobody, and half of all took no more than %s. ", near.NearRatio*100, chart.Duration(near.quantiles[0]))
	if near.Stale == 0 {
		return s + "No read got a value from before a change."
	}
	return s + fmt.Sprintf("The other instances saw a change at most %s after the invalidation had returned: %s got the value from before it, %s of them where the change was made.",
		chart.Duration(near.staleFor), report.Counted(near.Stale, "read"), report.Noun(near.staleOwn))
}

// noMissEver holds refresh-ahead to what is said of it: no cache miss ever. It can be true only of keys that somebody reads
// before their values end.
func noMissEver(o lab.Options, outcomes []*outcome) string {
	const said = "“No cache miss ever”, it is said of refresh-ahead. "
	window := chart.Duration(readOften(o.TTL, o.Latency))
	printed, kept := find(outcomes, refreshAhead().name), find(outcomes, oursRefresh().name)
	if kept.census.ends == 0 {
		return said + fmt.Sprintf("Here no value was seen to its end while its key was read at least once every %s: more requests, or none of a fault, would tell.", window)
	}
	at := func(out *outcome) string {
		return fmt.Sprintf("%s %s at %s", out.Recipe, report.Counted(out.Misses.Often, "miss"), report.Counted(out.census.ends, "end"))
	}
	m := kept.Misses
	return said + fmt.Sprintf("Where a key was read at least once every %s (%s), values came to their end with: %s, %s, %s. ",
		window, report.Counted(len(kept.census.steady), "key"), at(outcomes[0]), at(printed), at(kept)) +
		fmt.Sprintf("Keys read less often (%s) missed %s all the same, first reads %s, reads after a write %s.",
			chart.Count(len(kept.census.seldom)), report.Times(m.Rarely), report.Times(m.First), report.Times(m.Written))
}

func find(outcomes []*outcome, name string) *outcome {
	return outcomes[slices.IndexFunc(outcomes, func(o *outcome) bool { return o.Recipe == name })]
}

// missFigure shows why reads missed.
func missFigure(o lab.Options, outcomes []*outcome) report.Figure {
	var piles []chart.Pile
	for _, out := range outcomes {
		m := out.Misses
		piles = append(piles, chart.Pile{
			Label: out.Recipe, Tone: out.recipe.tone,
			Note: report.Counted(m.Often, "miss") + " of keys read often",
			Parts: []chart.Slice{
				{N: m.Often, Tone: chart.Bad, What: "of keys read often"},
				{N: m.Rarely, Tone: chart.Waited, What: "of keys read rarely"},
				{N: m.Outage, Tone: chart.First, What: "in the outage"},
				{N: m.Written, Tone: chart.Calm, What: "after a write"},
				{N: m.First, Tone: chart.Faint, What: "first reads"},
			},
		})
	}
	window := chart.Duration(readOften(o.TTL, o.Latency))
	legend := []report.Key{
		{Tone: string(chart.Bad), Text: "the value ended, its key was read at least once every " + window},
		{Tone: string(chart.Waited), Text: "the value ended, its key was read less often"},
		{Tone: string(chart.First), Text: "the server was away, or had lost it"},
		{Tone: string(chart.Calm), Text: "the row had been written"},
		{Tone: string(chart.Faint), Text: "first read of the key"},
	}
	if find(outcomes, oursName).until == 0 {
		legend = slices.Delete(legend, 2, 3)
	}
	return report.Figure{
		Title: "Why reads missed", Wide: true, Picture: chart.Stack(piles), Legend: legend,
		Caption: fmt.Sprintf("Values live %s, and are refreshed by a read in the last fifth. %s leaves time for the load, and for what is taken off a TTL at random. Everybody who waits for the same load has missed.",
			chart.Duration(o.TTL), report.Capitalise(window)),
	}
}

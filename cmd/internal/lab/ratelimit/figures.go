package ratelimit

import (
	"fmt"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

func figures(o lab.Options, outcomes []*outcome) []report.Figure {
	var over, most, speed []chart.Bar
	var spreads []chart.Spread
	var levels []chart.Level
	var piles []chart.Pile
	for _, out := range outcomes {
		bar := func(n int) chart.Bar { return chart.Bar{Label: out.Recipe, Value: n, Tone: out.recipe.tone} }
		over, most, speed = append(over, bar(out.OverAdmissions)), append(most, bar(out.MostAtOnce)), append(speed, bar(out.DecisionsPerS))
		spreads = append(spreads, spread(out, "granted", out.took))
		if out.Denied > 0 {
			spreads = append(spreads, spread(out, "denied", out.tookDenied))
		}
		levels = append(levels, level(o, out))
		piles = append(piles, chart.Pile{
			Label: out.Recipe, Tone: out.recipe.tone,
			Parts: []chart.Slice{
				{N: out.Granted - out.replay, Tone: chart.Quick, What: "granted"},
				{N: out.replay, Tone: chart.Bad, What: "too many"},
				{N: out.Denied - out.free, Tone: chart.Waited, What: "denied by the server"},
				{N: out.free, Tone: chart.Faint, What: "denied, nobody asked"},
			},
		})
	}
	return []report.Figure{
		{
			Title: "Requests too many", Picture: chart.Bars(over),
			Caption: "Grants beyond the burst and what the rate adds, in any trailing window, over all parts of the run.",
		},
		{
			Title: "Most at once", Picture: chart.Bars(most),
			Caption: fmt.Sprintf("The most that one client got beyond what the rate adds meanwhile. The limit says %d.", o.Limit),
		},
		{
			Title: "Grants a second", Picture: chart.Bars(speed),
			Caption: fmt.Sprintf("Each decided at the server, by %d workers as fast as they are answered.", o.Workers),
		},
		{
			Title: "One client around the edge of a window", Wide: true,
			Picture: chart.Levels(levels, chart.Vessel{Holds: o.Limit, Every: allowance(o).Every, Edge: "a window ends"}, chart.Span{From: -before(o) - 8*time.Millisecond, To: after(o)}),
			Legend: []report.Key{
				{Tone: "reads", Text: "what the client has in hand of its limit, each grant a tick"},
				{Tone: string(chart.Bad), Text: "what it got beyond"},
				{Tone: string(chart.Waited), Text: "denied"},
			},
			Caption: fmt.Sprintf("The same requests to each. A grant adds one, and time takes one away every %s; nothing may stand above the line at %d.", chart.Duration(allowance(o).Every), o.Limit),
		},
		{
			Title: "What became of the requests of the replay", Wide: true, Picture: chart.Stack(piles),
			Legend: []report.Key{
				{Tone: string(chart.Quick), Text: "granted"},
				{Tone: string(chart.Bad), Text: "granted, and too many"},
				{Tone: string(chart.Waited), Text: "denied by the server"},
				{Tone: string(chart.Faint), Text: "denied by the process: it knows that the server would"},
			},
			Caption: "Who is over his limit is who asks most: what a denial costs is what an attack costs.",
		},
		{
			Title: "Latency of a decision: half, 99 % and 99.9 % of all were faster", Wide: true, Picture: chart.Quantiles(spreads),
			Caption: "Exact, from every request of the replay. The scale is logarithmic.",
		},
	}
}

func spread(out *outcome, what string, q []time.Duration) chart.Spread {
	return chart.Spread{Label: out.Recipe + ", " + what, Tone: out.recipe.tone, P50: q[0], P99: q[1], P999: q[2]}
}

// level is what one client asked for at the edge, each request in the middle of the time that it took.
func level(o lab.Options, out *outcome) chart.Level {
	l := chart.Level{Label: out.Recipe, Tone: out.recipe.tone}
	var grants []measure.Grant
	for _, e := range out.around {
		if e.err == nil && e.granted {
			grants = append(grants, e.Grant)
		}
	}
	over, n, most := allowance(o).Excess(grants)
	k := 0
	for _, e := range out.around {
		a := chart.Ask{At: e.Sent.Add(e.took() / 2).Sub(out.edgeAt), Granted: e.err == nil && e.granted}
		if a.Granted {
			a.Over = over[k]
			k++
		}
		l.Asked = append(l.Asked, a)
	}
	l.Note = fmt.Sprintf("%s at once, %s too many", chart.Count(most), report.Noun(n))
	return l
}

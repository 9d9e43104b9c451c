// Package ratelimit is the lab's scenario of limits.
package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// Scenario limits what each client of a web site may ask for, with the counters that tutorials print and with Redstart, one
// after the other on the same requests. Each goes through four parts: a rush of one client, a client who asks around the
// edge of two windows, the replay, and decisions as fast as they come.
type Scenario struct{}

// Name is rate-limit.
func (Scenario) Name() string { return "rate-limit" }

// About says what it shows.
func (Scenario) About() string {
	return "how many requests get past a limit, beside the recipe"
}

// What a run is unless the user says otherwise.
const (
	Rate  = 2500 // requests begun in a second
	Limit = 20   // of one client
	Per   = 500 * time.Millisecond
)

const (
	instances = 4               // of the service
	deadline  = 5 * time.Second // of one request
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe   string `json:"recipe"`
	Requests int    `json:"requests"` // of the replay, as all that follows but for the two next
	// OverAdmissions counts over all parts: how many grants must be taken away until no trailing window holds more than
	// the burst and what the rate adds in it.
	OverAdmissions int `json:"over_admissions"`
	// MostAtOnce is the most that any window held beyond what the rate adds in it: the limit, if all went well.
	MostAtOnce int `json:"most_at_once"`
	Granted    int `json:"granted"`
	Denied     int `json:"denied"`
	// DeniedFree is the part of Denied for which nobody was asked.
	DeniedFree float64 `json:"denied_free_ratio"`
	GrantedP50 float64 `json:"granted_p50_us"`
	GrantedP99 float64 `json:"granted_p99_us"`
	DeniedP50  float64 `json:"denied_p50_us"`
	DeniedP99  float64 `json:"denied_p99_us"`
	// DecisionsPerS is how many decisions that grant the workers got in a second as fast as they came.
	DecisionsPerS int `json:"decisions_per_s"`
	Errors        int `json:"errors"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe             recipe
	rush, edge, replay int     // over-admissions by part
	around             []event // of one client at the edge
	edgeAt             time.Time
	free               int
	took, tookDenied   []time.Duration // 50 %, 99 %, 99.9 %
	firstErr           error
}

// event is one request and what came of it.
type event struct {
	verdict
	measure.Grant // when it was sent and answered

	id  int32
	err error
}

func (e event) took() time.Duration { return e.Got.Sub(e.Sent) }

// course is one recipe's run: all that its parts share.
type course struct {
	lab.Options
	server   *lab.Server
	traffic  *trace.Trace
	team     lab.Team[limiter]
	progress lab.Progress
	fast     []string // clients of the last part
	out      *outcome
}

func withDefaults(o lab.Options) lab.Options {
	o.Workers = cmp.Or(o.Workers, 16)
	o.Rate = cmp.Or(o.Rate, Rate)
	o.Seed = cmp.Or(o.Seed, 1)
	o.Limit = cmp.Or(o.Limit, Limit)
	o.Per = cmp.Or(o.Per, Per)
	return o
}

// Run lets one recipe after the other go through its parts.
func (Scenario) Run(ctx context.Context, o lab.Options, p lab.Progress) (_ *report.Report, err error) {
	o = withDefaults(o)
	traffic, err := o.Traffic(trace.Clients, 2000, "client %d")
	if err != nil {
		return nil, err
	}
	s, err := lab.Open(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	var outcomes []*outcome
	for _, r := range recipes() {
		c := &course{Options: o, server: s, traffic: traffic, progress: p, out: &outcome{recipe: r}}
		c.out.Recipe = r.name
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes = append(outcomes, c.out)
	}
	p.Done()
	return newReport(o, s.Label, traffic, outcomes), broken(o, outcomes)
}

// broken tells whose word was.
func broken(o lab.Options, outcomes []*outcome) error {
	for _, out := range outcomes {
		if out.recipe.promises && out.OverAdmissions > 0 {
			return fmt.Errorf("%w: %s let through %d requests more than the limit; please report it with --seed %d", lab.ErrPromise, out.Recipe, out.OverAdmissions, o.Seed)
		}
	}
	return nil
}

// run runs the parts and cleans up.
func (c *course) run(ctx context.Context) (err error) {
	name := c.out.recipe.name
	s := stand{url: c.server.URL, namespace: lab.Namespace(), limit: c.Limit, per: c.Per}
	c.team, err = c.out.recipe.gather(ctx, s, instances)
	if err != nil {
		return err
	}
	defer func() {
		c.team.Close()
		ids := slices.Concat(c.traffic.Keys, rushIDs(), edgeIDs(), c.fast)
		var made []string
		for _, l := range c.team {
			made = append(made, l.Keys(ids)...)
		}
		err = errors.Join(err, c.server.Remove(ctx, made))
	}()
	c.progress.Start(name+": a rush, and a window's edge", rushSize+1)
	c.aimed(ctx)
	c.progress.Start(name+": replay", len(c.traffic.Requests))
	c.replay(ctx)
	c.progress.Start(name+": as fast as it goes", 1)
	c.fastest(ctx)
	c.progress.Step()
	return ctx.Err()
}

// take asks for one request as the given caller.
func (c *course) take(ctx context.Context, caller int, id int32, name string) event {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	e := event{id: id}
	e.Sent = time.Now()
	e.verdict, e.err = c.team.Of(caller).Take(ctx, name)
	e.Got = time.Now()
	return e
}

// judge counts what got past the limit, client by client.
func (c *course) judge(events []event) (over int) {
	byClient := map[int32][]measure.Grant{}
	for _, e := range events {
		switch {
		case e.err != nil:
			c.out.Errors++
			c.out.firstErr = cmp.Or(c.out.firstErr, e.err)
		case e.granted:
			byClient[e.id] = append(byClient[e.id], e.Grant)
		}
	}
	for _, grants := range byClient {
		_, n, most := allowance(c.Options).Excess(grants)
		over += n
		c.out.MostAtOnce = max(c.out.MostAtOnce, most)
	}
	c.out.OverAdmissions += over
	return over
}

func allowance(o lab.Options) measure.Allowance {
	return measure.Allowance{Burst: o.Limit, Every: o.Per / time.Duration(o.Limit)}
}

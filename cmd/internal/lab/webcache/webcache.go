// Package webcache is the lab's scenario of read-through caching.
package webcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/source"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// Scenario replays traffic through a cache in front of a database while rows change, with cache-aside as tutorials print
// it, its variants, and Redstart, one after the other on the same traffic. Each goes through three parts, on a
// cold cache of its own: a burst on cold keys, writes that land while a load is in flight, and the replay.
type Scenario struct{}

// Name is web-cache.
func (Scenario) Name() string { return "web-cache" }

// About says what it shows.
func (Scenario) About() string {
	return "read-through caching on web traffic while rows change, beside the recipe"
}

// Rate is how many requests begin in a second unless the user says otherwise.
const Rate = 2500

const (
	instances = 4 // of the service: what one process could share in memory, four cannot
	bodySize  = 512

	// deadline is that of one request, and of one write. The tutorials' clients wait 5 s for a socket.
	deadline = 5 * time.Second

	step = 100 * time.Millisecond // of the timeline

	moment     = 25 * time.Millisecond  // of what readers saw
	waited     = 50 * time.Millisecond  // from here on a reader notices that he waits
	waitedLong = 500 * time.Millisecond // and from here on he minds
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe   string  `json:"recipe"`
	Requests int     `json:"requests"`
	HitRatio float64 `json:"hit_ratio"`
	// NearRatio is the part of HitRatio for which nobody was asked.
	NearRatio float64 `json:"near_hit_ratio"`
	Loads     int     `json:"loads"`
	// BurstLoads is the most that any cold key was loaded in a burst.
	BurstLoads int     `json:"burst_loads_per_key"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	P999       float64 `json:"p999_us"`
	// Stale counts over all three parts.
	Stale int `json:"stale_reads"`
	// StaleFor is how long after the invalidation the last stale read of them began.
	StaleFor float64 `json:"stale_for_us"`
	Errors   int     `json:"errors"`
	// Misses are the reads of the replay that found nothing, by reason.
	Misses misses `json:"misses"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe         recipe
	quantiles      []time.Duration // 50 %, 99 %, 99.9 %
	steps          []measure.Step
	seen           []measure.Moment
	census         *census
	staleFor       time.Duration
	staleOwn       int // stale reads in the instance that invalidates
	broken         int // stale reads that the recipe promises not to give
	faultAt, until time.Duration
	raced          int // stale reads after the writes that were aimed at a load
	racedReads     int
	writes         int
	atOnce         int // most loads at one time in the replay
	firstErr       error
}

// course is one recipe's run: all that its parts share.
type course struct {
	lab.Options
	server   *lab.Server
	fault    bool
	traffic  *trace.Trace
	source   *source.Source
	team     lab.Team[contestant]
	floors   *measure.Floors
	census   *census                          // of the replay, nil before
	timeline atomic.Pointer[measure.Timeline] // of the replay, nil before
	progress lab.Progress
	out      *outcome
}

// Run lets one recipe after the other go through its parts.
func (Scenario) Run(ctx context.Context, o lab.Options, p lab.Progress) (_ *report.Report, err error) {
	o = withDefaults(o)
	traffic, err := traffic(o)
	if err != nil {
		return nil, err
	}
	s, err := lab.Open(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	reported, can := s.CanFault(o.Fault)
	if can {
		// The outage must be over well before the traffic is.
		if slow := len(traffic.Requests) / 3; o.Rate < 0 || o.Rate > slow {
			o.Rate = max(slow, 1)
		}
	}
	var outcomes []*outcome
	for _, r := range recipes(o) {
		c := &course{Options: o, server: s, fault: can, traffic: traffic, progress: p, out: &outcome{recipe: r}}
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes = append(outcomes, c.out)
	}
	p.Done()
	rep := webCacheReport(o, s.Label, reported, traffic, outcomes)
	for _, out := range outcomes {
		if out.broken > 0 {
			return rep, fmt.Errorf("%w: %s gave %d stale values where it promises none; please report it with --seed %d", lab.ErrPromise, out.Recipe, out.broken, o.Seed)
		}
	}
	return rep, nil
}

// recipes are the contestants: the recipes as printed, then ours.
func recipes(o lab.Options) []recipe {
	all := []recipe{getSetex(), lockRetry()}
	if o.Refresh {
		all = append(all, refreshAhead())
	}
	all = append(all, ours())
	if o.Near {
		all = append(all, oursNear())
	}
	if o.Refresh {
		all = append(all, oursRefresh())
	}
	return all
}

// withDefaults fills in what the user left open.
func withDefaults(o lab.Options) lab.Options {
	o.Fault = cmp.Or(o.Fault, lab.None)
	o.Workers = cmp.Or(o.Workers, 16)
	o.Rate = cmp.Or(o.Rate, Rate)
	o.Seed = cmp.Or(o.Seed, 1)
	o.Latency = cmp.Or(o.Latency, 2*time.Millisecond)
	o.TTL = cmp.Or(o.TTL, 2*time.Second)
	return o
}

func traffic(o lab.Options) (*trace.Trace, error) {
	return o.Traffic(trace.Paths, 10_000, "/article/%d")
}

// run runs the three parts on a fresh database and a cold cache, and cleans up.
func (c *course) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "redstart-lab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := c.out.recipe.name
	c.progress.Start(name+": prepare", 1)
	rows := append(append(append([]string{}, c.traffic.Keys...), burstKeys()...), raceKeys()...)
	c.source, err = source.Open(ctx, source.Config{Dir: dir, Latency: c.Latency, Body: bodySize, OnLoad: c.loaded}, rows)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.source.Close()) }()
	c.floors = measure.NewFloors(len(rows))

	c.team, err = c.out.recipe.gather(ctx, stand{url: c.server.URL, namespace: lab.Namespace(), source: c.source, ttl: c.TTL}, instances)
	if err != nil {
		return err
	}
	defer func() {
		c.team.Close()
		var made []string
		for _, row := range rows {
			made = append(made, c.team[0].Keys(row)...)
		}
		err = errors.Join(err, c.server.Remove(ctx, made))
	}()
	c.progress.Step()

	c.progress.Start(name+": burst on cold keys", burstSize)
	if err := c.burst(ctx); err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	c.progress.Start(name+": writes during loads", raceSize)
	if err := c.race(ctx); err != nil {
		return fmt.Errorf("writes during loads: %w", err)
	}
	what := name + ": replay"
	if c.fault {
		what += ", " + c.Fault.Text()
	}
	c.progress.Start(what, len(c.traffic.Requests))
	if err := c.replay(ctx); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return ctx.Err()
}

func (c *course) loaded() {
	if t := c.timeline.Load(); t != nil {
		t.Load()
	}
}

// call is one read as its caller sees it.
type call struct {
	took     time.Duration
	err      error
	from     origin
	stale    bool
	staleFor time.Duration // how long before it the invalidation had returned
	own      bool          // by the instance that invalidates
}

// read lets the instance of a caller read row number i, which has the given key, within the deadline.
func (c *course) read(ctx context.Context, caller, i int, key string) call {
	by := c.team.Of(caller)
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	floor := c.floors.Before(i)
	began := time.Now()
	row, from, err := by.Read(ctx, key)
	r := call{took: time.Since(began), err: err, from: from, own: by == c.team[0]}
	switch {
	case err != nil:
	case row.Body != source.Body(key, bodySize):
		r.err = errWrongRow
	default:
		var since time.Time
		if since, r.stale = floor.Under(row.Version); r.stale {
			r.staleFor = max(began.Sub(since), 0)
		}
	}
	return r
}

// write changes row number i and has the cache forget it; from then on, if that went well, nobody may get the old one.
func (c *course) write(ctx context.Context, i int, key string) error {
	v, err := c.source.Update(ctx, key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if c.census != nil && i < len(c.traffic.Keys) {
		defer c.census.invalidating(i)()
	}
	if c.team[0].Invalidate(ctx, key) == nil {
		c.floors.Raise(i, v)
	}
	c.out.writes++
	return nil
}

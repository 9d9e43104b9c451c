package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/source"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// webCache replays traffic through a cache in front of a database while rows change, with cache-aside as tutorials print
// it, its variant with a lock, and Redstart, one after the other on the same traffic. Each goes through three parts, on a
// cold cache of its own: a burst on cold keys, writes that land while a load is in flight, and the replay.
type webCache struct{}

func (webCache) Name() string { return "web-cache" }

func (webCache) About() string {
	return "read-through caching on web traffic while rows change, beside the recipe"
}

const (
	instances = 4 // of the service: what one process could share in memory, four cannot
	bodySize  = 512

	// deadline is that of one request, and of one write. The tutorials' clients wait 5 s for a socket.
	deadline = 5 * time.Second

	step = 100 * time.Millisecond // of the timeline
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe   string  `json:"recipe"`
	Requests int     `json:"requests"`
	HitRatio float64 `json:"hit_ratio"`
	Loads    int     `json:"loads"`
	// BurstLoads is the most that any cold key was loaded in a burst.
	BurstLoads int   `json:"burst_loads_per_key"`
	P50        int64 `json:"p50_us"`
	P99        int64 `json:"p99_us"`
	P999       int64 `json:"p999_us"`
	// Stale counts over all three parts.
	Stale  int `json:"stale_reads"`
	Errors int `json:"errors"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe         recipe
	quantiles      []time.Duration // 50 %, 99 %, 99.9 %
	steps          []measure.Step
	faultAt, until time.Duration
	raced          int // stale reads after the writes that were aimed at a load
	racedReads     int
	writes         int
	atOnce         int // most loads at one time in the replay
	firstErr       error
}

// course is one recipe's run: all that its parts share.
type course struct {
	Options
	server   *server
	fault    bool
	traffic  *trace.Trace
	source   *source.Source
	team     team
	floors   *measure.Floors
	timeline atomic.Pointer[measure.Timeline] // of the replay, nil before
	progress Progress
	out      *outcome
}

func (webCache) Run(ctx context.Context, o Options, p Progress) (_ *report.Report, err error) {
	o = o.withDefaults()
	traffic, err := o.traffic()
	if err != nil {
		return nil, err
	}
	s, err := openServer(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	reported, can := s.canFault(o.Fault)
	if can {
		// The outage must be over well before the traffic is.
		if slow := len(traffic.Requests) / 3; o.Rate < 0 || o.Rate > slow {
			o.Rate = max(slow, 1)
		}
	}
	var outcomes []*outcome
	for _, r := range []recipe{getSetex(), lockRetry(), ours()} {
		c := &course{Options: o, server: s, fault: can, traffic: traffic, progress: p, out: &outcome{recipe: r}}
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes = append(outcomes, c.out)
	}
	p.Done()
	rep := webCacheReport(o, s.label, reported, traffic, outcomes)
	if last := outcomes[len(outcomes)-1]; last.Stale > 0 {
		return rep, fmt.Errorf("%w: redstart gave %d stale values where it promises none; please report it with --seed %d", ErrPromise, last.Stale, o.Seed)
	}
	return rep, nil
}

// traffic reads the trace, or makes a load.
func (o Options) traffic() (*trace.Trace, error) {
	if o.Trace == "" {
		n := o.Requests
		if n == 0 {
			n = 10_000
		}
		return trace.Zipf(n, o.Seed), nil
	}
	t, err := trace.Open(o.Trace, trace.Options{Column: o.Column, Limit: o.Requests})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return t.Resize(o.Requests), nil
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

	c.team, err = c.out.recipe.gather(ctx, stand{url: c.server.url, namespace: namespace(), source: c.source, ttl: c.TTL}, instances)
	if err != nil {
		return err
	}
	defer func() {
		c.team.close()
		var made []string
		for _, row := range rows {
			made = append(made, c.team[0].Keys(row)...)
		}
		err = errors.Join(err, c.server.remove(ctx, made))
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
		what += ", " + c.Fault.text()
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
	took  time.Duration
	err   error
	stale bool
}

// read lets an instance read row number i, which has the given key, within the deadline.
func (c *course) read(ctx context.Context, by contestant, i int, key string) call {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	floor := c.floors.Before(i)
	began := time.Now()
	row, err := by.Read(ctx, key)
	r := call{took: time.Since(began), err: err}
	switch {
	case err != nil:
	case row.Body != source.Body(key, bodySize):
		r.err = errWrongRow
	default:
		r.stale = row.Version < floor
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
	if c.team[0].Invalidate(ctx, key) == nil {
		c.floors.Raise(i, v)
	}
	c.out.writes++
	return nil
}

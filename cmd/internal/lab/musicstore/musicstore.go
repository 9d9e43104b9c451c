// Package musicstore is the lab's scenario of a cache in front of a database's queries.
package musicstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/database"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// Scenario asks a music store's database for what its pages show, while prices rise, music is sold and some transactions are
// rolled back: without a cache, with the cache that plug-ins for ORMs bring, and with Redstart.
type Scenario struct{}

// Name is sql-cache.
func (Scenario) Name() string { return "sql-cache" }

// About says what it shows.
func (Scenario) About() string {
	return "the queries of a music store through a cache while rows change, beside the recipe"
}

// What a run is unless the user says otherwise.
const (
	Reads   = 6000
	Workers = 8
)

const (
	instances = 2 // of the service
	skew      = 1.2
	// writeEvery is how many reads come for each transaction that writes.
	writeEvery = 200
	// aimed is how many transactions have a read aimed at them, and how many are rolled back on purpose; after each so many
	// reads follow.
	aimed      = 8
	aimedReads = 4
	deadline   = 5 * time.Second
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe   string  `json:"recipe"`
	Reads    int     `json:"reads"`
	HitRatio float64 `json:"hit_ratio"`
	// QueriesPerS are the reads answered in a second.
	QueriesPerS int     `json:"queries_per_s"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	// Statements is how many queries the database was asked for these reads, Saved how many it was not.
	Statements int `json:"database_queries"`
	Saved      int `json:"queries_saved"`
	// Stale counts the reads that began after a commit had returned, and showed the rows from before; StaleFor is how long
	// after it the last one began.
	Stale    int     `json:"stale_reads"`
	StaleFor float64 `json:"stale_for_us"`
	// Uncommitted counts those that showed what nobody has committed, OwnMissed those in a transaction that did not show its
	// own writes.
	Uncommitted int `json:"uncommitted_reads"`
	OwnMissed   int `json:"own_writes_missed"`
	// Wrong counts the reads that gave rows of another question.
	Wrong  int `json:"wrong_rows"`
	Errors int `json:"errors"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe    recipe
	quantiles []time.Duration // 50 %, 99 %, 99.9 %
	staleFor  time.Duration
	raced     int // of the stale reads, after the writes that a read was aimed at
	writes    int
	steps     []measure.Step
	firstErr  error
}

// course is one recipe's run.
type course struct {
	lab.Options
	server   *lab.Server
	place    *database.Private
	meter    *meter
	shop     *shop
	team     lab.Team[contestant]
	progress lab.Progress

	mu  sync.Mutex
	out *outcome
}

func withDefaults(o lab.Options) lab.Options {
	o.Workers = cmp.Or(o.Workers, Workers)
	o.Requests = cmp.Or(o.Requests, Reads)
	o.Seed = cmp.Or(o.Seed, 1)
	o.Latency = cmp.Or(o.Latency, 2*time.Millisecond)
	return o
}

// Run lets one recipe after the other go through it.
func (Scenario) Run(ctx context.Context, o lab.Options, p lab.Progress) (_ *report.Report, err error) {
	o = withDefaults(o)
	s, err := lab.Open(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	var outcomes []*outcome
	var last *course
	for _, r := range recipes() {
		last = &course{Options: o, server: s, progress: p, out: &outcome{recipe: r, result: result{Recipe: r.name}}}
		if err := last.run(ctx); err != nil {
			if errors.Is(err, database.ErrChoice) {
				return nil, fmt.Errorf("%w: %w", lab.ErrUsage, err)
			}
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes = append(outcomes, last.out)
	}
	p.Done()
	return newReport(o, last, outcomes), broken(outcomes, o.Seed)
}

// broken tells whose word was.
func broken(outcomes []*outcome, seed uint64) error {
	for _, out := range outcomes {
		if out.recipe.promises && out.Stale+out.Uncommitted+out.OwnMissed+out.Wrong > 0 {
			return fmt.Errorf("%w: %s gave %d answers from before a commit, %d that nobody committed, %d without a transaction's own writes and %d to another question; please report it with --seed %d",
				lab.ErrPromise, out.Recipe, out.Stale, out.Uncommitted, out.OwnMissed, out.Wrong, seed)
		}
	}
	return nil
}

// run runs the recipe on a database of its own and cleans up.
func (c *course) run(ctx context.Context) (err error) {
	name := c.out.Recipe
	if c.place, err = database.Make(ctx, c.Database, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.place.Close()) }()
	if err := c.stock(ctx); err != nil {
		return err
	}
	c.progress.Start(name+": prepare", 1)
	connector, err := c.place.Connector()
	if err != nil {
		return err
	}
	c.meter = &meter{Connector: connector, latency: c.Latency}
	st := stand{url: c.server.URL, namespace: lab.Namespace(), place: c.place.Place, meter: c.meter}
	c.team, err = lab.Gather(instances, func() (contestant, error) { return c.out.recipe.open(ctx, st) })
	if err != nil {
		return err
	}
	defer func() {
		c.team.Close()
		err = errors.Join(err, c.server.RemoveAll(ctx, st.namespace))
	}()
	c.progress.Step()

	c.progress.Start(name+": reads aimed at writes", 2*aimed+len(c.shop.shadows))
	if err := c.aim(ctx); err != nil {
		return fmt.Errorf("reads aimed at writes: %w", err)
	}
	c.progress.Start(name+": replay", c.Requests)
	c.replay(ctx)
	return ctx.Err()
}

// stock makes sure that there is a store, and learns what it has.
func (c *course) stock(ctx context.Context) error {
	if c.place.Empty {
		if err := generate(ctx, c.place.Place, c.Seed); err != nil {
			return err
		}
	}
	db, err := c.place.Open()
	if err != nil {
		return err
	}
	defer db.Close()
	if err := each(ctx, db, "SELECT CustomerId FROM Customer WHERE 1 = 0", nil); err != nil {
		return err
	}
	if err := addNamesakes(ctx, db, c.place.Place); err != nil {
		return err
	}
	c.shop, err = learn(ctx, db, c.place.Place, c.Seed)
	return err
}

// read lets the instance of a caller read a page, and judges what it gets.
func (c *course) read(ctx context.Context, caller int, p page) (took time.Duration, v verdict) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	n := c.shop.order.n.Load()
	began := time.Now()
	answer, err := c.team.Of(caller).Read(ctx, nil, p)
	took = time.Since(began)
	if err == nil {
		v = c.shop.judge(p, answer, n, began)
	}
	if t := c.meter.timeline.Load(); t != nil {
		t.Read(took, err != nil, v.stale || v.phantom || v.wrong)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.note(v, err)
	return took, v
}

// note counts a read. Each counts once, by the worst.
func (out *outcome) note(v verdict, err error) {
	switch {
	case err != nil:
		out.failed(err)
	case v.wrong:
		out.Wrong++
	case v.phantom:
		out.Uncommitted++
	case v.stale:
		out.Stale++
		out.staleFor = max(out.staleFor, v.staleFor)
	}
}

func (out *outcome) failed(err error) {
	out.Errors++
	out.firstErr = cmp.Or(out.firstErr, err)
}

// failed counts an error.
func (c *course) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.failed(err)
}

// measure sums up the replay.
func (c *course) measure(latency *measure.Latency, reads int, asked int64, took time.Duration) {
	out := c.out
	out.Reads, out.Statements = reads, int(asked)
	out.Saved = max(reads-out.Statements, 0)
	out.HitRatio = math.Round(float64(out.Saved)/float64(max(reads, 1))*1e4) / 1e4
	out.QueriesPerS = int(math.Round(float64(reads) / took.Seconds()))
	out.quantiles = latency.Quantiles(0.5, 0.99, 0.999)
	out.P50, out.P99 = measure.Micros(out.quantiles[0]), measure.Micros(out.quantiles[1])
	out.StaleFor = measure.Micros(out.staleFor)
	out.steps = c.meter.timeline.Load().Steps()
}

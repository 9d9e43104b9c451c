// Package sessions is the lab's scenario of writing behind.
package sessions

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/database"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// Scenario keeps sessions in Redis and writes them to a database behind their users' backs, as tutorials print it and as
// Redstart does it. The process that does so is killed in the middle and started again; then the database is asked for all
// that callers were told was written.
type Scenario struct{}

// Name is session-store.
func (Scenario) Name() string { return "session-store" }

// About says what it shows.
func (Scenario) About() string {
	return "sessions written behind to a database by a process that is killed, beside the recipe"
}

// What a run is unless the user says otherwise.
const (
	Writes  = 3000
	Rate    = 1000 // writes in a second
	Workers = 8
)

const (
	// killAfter is the part of the writes after whose acknowledgement the process is killed.
	killAfter = 0.4
	// speedFor is how long writes are made as fast as they go, directFor how long by the one direct writer.
	speedFor  = time.Second
	directFor = 700 * time.Millisecond
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe string `json:"recipe"`
	// Writes are those that were acknowledged in the run with the kill.
	Writes int `json:"writes"`
	// Lost are those of them that the database neither had after the restart, or at the end, nor anything later instead.
	Lost int `json:"lost_writes"`
	// Duplicates are writes that changed a row again after they had.
	Duplicates int `json:"duplicate_applies"`
	// Rows is how many rows the database wrote, Coalesced how many writes cost none, since a later one went in their place.
	Rows      int `json:"rows_written"`
	Coalesced int `json:"coalesced_writes"`
	// Of a write, as its caller waits for it.
	P50 float64 `json:"write_p50_us"`
	P99 float64 `json:"write_p99_us"`
	// Recovery is how long after the restart all that was pending was in the database.
	Recovery float64 `json:"recovery_ms"`
	// WritesPerS is with all workers as fast as they can, until the database has everything; DirectPerS that of one writer
	// who waits for the database each time, in the same run.
	WritesPerS int `json:"writes_per_s"`
	DirectPerS int `json:"direct_writes_per_s"`
	Errors     int `json:"errors"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe    recipe
	quantiles []time.Duration // 50 %, 99 %, 99.9 %
	recovery  time.Duration
	before    []acked // before the kill, in the order of their acknowledgements
	lost      map[int64]bool
	notes     *noted
	firstErr  string
}

// course is one recipe's run.
type course struct {
	lab.Options
	server   *lab.Server
	place    *database.Private
	db       *sql.DB
	stand    stand
	progress lab.Progress
	ledger   *ledger
	latency  measure.Latency
	order    []acked
	most     int64 // the greatest number of an acknowledged write
	sped     int64 // writes of the fast part
	out      *outcome
}

func withDefaults(o lab.Options) lab.Options {
	o.Workers = cmp.Or(o.Workers, Workers)
	o.Requests = cmp.Or(o.Requests, Writes)
	o.Rate = cmp.Or(o.Rate, Rate)
	o.Seed = cmp.Or(o.Seed, 1)
	return o
}

// Run lets one recipe after the other go through it.
func (Scenario) Run(ctx context.Context, o lab.Options, p lab.Progress) (_ *report.Report, err error) {
	o = withDefaults(o)
	s, err := lab.OpenDurable(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	var outcomes []*outcome
	label := s.Label
	for _, r := range recipes() {
		c := &course{
			Options: o, server: s, progress: p, ledger: newLedger(),
			out: &outcome{recipe: r, lost: map[int64]bool{}, result: result{Recipe: r.name}},
		}
		if err := c.run(ctx); err != nil {
			if errors.Is(err, database.ErrChoice) {
				return nil, fmt.Errorf("%w: %w", lab.ErrUsage, err)
			}
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		label = s.Label + "; " + c.place.Label
		outcomes = append(outcomes, c.out)
	}
	p.Done()
	return newReport(o, label, outcomes), broken(outcomes, o.Seed)
}

// broken tells whose word was.
func broken(outcomes []*outcome, seed uint64) error {
	for _, out := range outcomes {
		if out.recipe.promises && out.Lost+out.Duplicates > 0 {
			return fmt.Errorf("%w: with %s %d acknowledged writes were lost and %d written twice; please report it with --seed %d",
				lab.ErrPromise, out.Recipe, out.Lost, out.Duplicates, seed)
		}
	}
	return nil
}

// run runs the recipe on a database of its own and cleans up.
func (c *course) run(ctx context.Context) (err error) {
	name := c.out.Recipe
	c.place, err = database.Make(ctx, c.Database, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.place.Close()) }()
	c.progress.Start(name+": prepare", 1)
	if c.db, err = c.place.Open(); err != nil {
		return err
	}
	defer c.db.Close()
	if err := makeTable(ctx, c.db, c.place.Kind); err != nil {
		return fmt.Errorf("make the table: %w", err)
	}
	c.stand = stand{URL: c.server.URL, Namespace: lab.Namespace(), Place: c.place.Place}
	defer func() { err = errors.Join(err, c.server.Remove(ctx, c.keys())) }()
	first, err := c.start(ctx, name, c.Rate)
	if err != nil {
		return err
	}
	defer first.end()
	c.progress.Step()

	c.progress.Start(name+": writes, until the process is killed", c.Requests)
	if err := c.untilKilled(ctx, first); err != nil {
		return err
	}
	began := time.Now()
	second, err := c.start(ctx, name, c.Rate)
	if err != nil {
		return fmt.Errorf("start again: %w", err)
	}
	defer second.end()
	if err := c.settle(ctx, second); err != nil {
		return fmt.Errorf("after the restart: %w", err)
	}
	c.out.recovery = time.Since(began)
	if err := c.further(ctx, second); err != nil {
		return err
	}
	c.progress.Start(name+": as fast as it goes", 2)
	if err := c.speed(ctx, second); err != nil {
		return err
	}
	return c.measure(ctx)
}

func (c *course) start(ctx context.Context, recipe string, rate int) (*process, error) {
	return startProcess(ctx, part{Stand: c.stand, Recipe: recipe, Seed: c.Seed, Workers: c.Workers, Rate: max(rate, 0)})
}

// untilKilled lets the process write until it is killed.
func (c *course) untilKilled(ctx context.Context, p *process) error {
	enough := max(int(killAfter*float64(c.Requests)), 1)
	if enough > 2*batchOf {
		enough = enough/batchOf*batchOf - batchOf/2 // not just when the recipe's worker has written a batch
	}
	if err := p.tell(tellWrite, 1, c.Requests+1); err != nil {
		return p.died()
	}
	err := p.hear(ctx, func(word, rest string) error {
		if word == saysDone {
			return errors.New("all was written before the kill")
		}
		c.note(word, rest)
		if c.ledger.n >= enough {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.kill()
	p.rest(c.note)
	c.out.before, c.order = c.order, nil
	return nil
}

// further lets the process that was started again carry out the rest.
func (c *course) further(ctx context.Context, p *process) error {
	// What the first one had begun, and nobody was told of, may still happen: no number is used again.
	from := c.most + int64(c.Workers*(depth+2)) + 2
	if err := p.tell(tellWrite, from, max(from, int64(c.Requests))+1); err != nil {
		return p.died()
	}
	if _, err := p.done(ctx, c.note); err != nil {
		return err
	}
	return c.settle(ctx, p)
}

// settle waits until the database has what it will get, and looks what it lacks.
func (c *course) settle(ctx context.Context, p *process) error {
	if err := p.tell(tellDrain); err != nil {
		return p.died()
	}
	if _, err := p.done(ctx, nil); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	rows, err := readRows(ctx, c.db)
	if err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	c.ledger.lost(rows, c.out.lost)
	return nil
}

// note keeps what the process says of its writes.
func (c *course) note(word, rest string) {
	var n, took int64
	var id string
	fmt.Sscan(rest, &n, &id, &took) //nolint:errcheck // a line cut off by the kill tells of nothing
	switch word {
	case saysBegin:
		c.ledger.begin(id, n)
		return
	case saysError:
		c.out.Errors++
		if c.out.firstErr == "" {
			_, text, _ := strings.Cut(rest, id+" ")
			c.out.firstErr = text
		}
	case saysSaved, saysEnded:
		if took == 0 {
			return
		}
		a := ack{n, word == saysEnded}
		c.ledger.ack(id, a)
		c.order = append(c.order, acked{id, a})
		c.latency.Add(time.Duration(took))
		c.most = max(c.most, n)
	}
	c.progress.Step()
}

// speed measures how fast all of them write together, and one who writes to the database.
func (c *course) speed(ctx context.Context, p *process) error {
	notes, err := readNotes(ctx, c.db)
	if err != nil {
		return fmt.Errorf("read what was written: %w", err)
	}
	c.out.notes = notes
	c.out.Duplicates, c.out.Rows, c.out.Coalesced = notes.duplicates(), notes.rows, notes.spared(c.ledger, c.out.lost)
	if err := stopNoting(ctx, c.db, c.place.Kind); err != nil {
		return err
	}
	n, perS, err := c.fast(ctx, p, speedFor)
	if err != nil {
		return fmt.Errorf("as fast as it goes: %w", err)
	}
	c.sped, c.out.WritesPerS = n, perS
	c.progress.Step()
	if _, err := c.db.ExecContext(ctx, "DELETE FROM "+tableName); err != nil {
		return err
	}
	one, err := startProcess(ctx, part{Stand: c.stand, Recipe: directRecipe().name, Seed: c.Seed, Workers: 1})
	if err != nil {
		return err
	}
	defer one.end()
	if _, c.out.DirectPerS, err = c.fast(ctx, one, directFor); err != nil {
		return fmt.Errorf("one direct writer: %w", err)
	}
	c.progress.Step()
	return nil
}

func (c *course) fast(ctx context.Context, p *process, d time.Duration) (n int64, perS int, err error) {
	if err := p.tell(tellSpeed, d.Milliseconds()); err != nil {
		return 0, 0, p.died()
	}
	said, err := p.done(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	var took time.Duration
	if _, err := fmt.Sscan(said, &n, (*int64)(&took)); err != nil || took <= 0 {
		return 0, 0, fmt.Errorf("the process says %q: %w", said, err)
	}
	return n, int(math.Round(float64(n) / took.Seconds())), nil
}

// measure fills in what is left.
func (c *course) measure(ctx context.Context) error {
	out := c.out
	out.Writes, out.Lost = c.ledger.n, len(out.lost)
	out.quantiles = c.latency.Quantiles(0.5, 0.99, 0.999)
	out.P50, out.P99 = measure.Micros(out.quantiles[0]), measure.Micros(out.quantiles[1])
	out.Recovery = math.Round(out.recovery.Seconds()*1e4) / 10
	return ctx.Err()
}

// keys are all that a recipe may have made.
func (c *course) keys() []string {
	var ids []string
	seen := map[string]bool{}
	for p := newPlan(c.Seed); p.n < int64(c.Requests)+int64(c.Workers*(depth+2))+2; {
		if o := p.next(); !seen[o.id] {
			seen[o.id] = true
			ids = append(ids, o.id)
		}
	}
	for n := range c.sped {
		ids = append(ids, speedID(n+1))
	}
	return c.out.recipe.keys(c.stand.Namespace, ids)
}

package behind

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// Bench is a run of the benchmark, which writes rows to databases directly and by way of a journal.
type Bench struct {
	Name   string
	Rounds int
	Quick  bool
	Order  func(round, n int) []int // who is measured when
	Tell   func(format string, args ...any)
}

// The contestants.
const (
	One     = "one direct writer"
	Sixteen = "sixteen direct writers"
	Batches = "batches of 1,000"
	Drain   = "journal, draining a backlog"
	Put     = "journal, sustained by Put"
	PutMany = "journal, sustained by PutMany of 16"
	Set     = "SET"
	Paced   = "journal, Put"
)

const (
	callers  = 64
	pace     = 5000 // a second
	zipfKeys = 10_000

	drainOne, drainSixteen, drainBatches = 15.0, 3.0, 0.6
	putOne, putManyOne                   = 7.0, 10.0
	drainSQLite                          = 0.8
	pacedRatio                           = 1.5
)

// sizes of a measurement.
type sizes struct {
	drain, sustain, skewed int
	direct, paced          time.Duration
}

func (b Bench) sizes() sizes {
	if b.Quick {
		return sizes{drain: 3_000, sustain: 2_000, skewed: 5_000, direct: 50 * time.Millisecond, paced: 200 * time.Millisecond}
	}
	return sizes{drain: 60_000, sustain: 40_000, skewed: 40_000, direct: time.Second, paced: 3 * time.Second}
}

// Run gives the tables: rows to PostgreSQL, rows to SQLite, what coalescing saves, a write at a pace.
func (b Bench) Run(ctx context.Context) ([]table.Section, error) {
	// Nothing rewrites the file in the middle of a measurement; the benchmark has it rewritten between two.
	server, err := redstarttest.StartServer(ctx, redstarttest.ServerConfig{AOF: "everysec", Args: []string{"--auto-aof-rewrite-percentage", "0"}})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	client, err := redstart.Open(ctx, server.URL(), redstart.Config{})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	queue := func(open func(context.Context) (*Store, error)) (*Queue, error) {
		store, err := open(ctx)
		if err != nil {
			return nil, err
		}
		q, err := NewQueue(ctx, client, store)
		if err != nil {
			store.Close()
		}
		return q, err
	}
	postgres, err := queue(Postgres)
	if err != nil {
		return nil, err
	}
	defer postgres.Store.Close()
	sqlite, err := queue(SQLite)
	if err != nil {
		return nil, err
	}
	defer sqlite.Store.Close()
	var sections []table.Section
	for _, one := range []func(context.Context, *Queue, *Queue) (table.Section, error){b.postgres, b.sqlite, b.skewed, b.paced} {
		s, err := one(ctx, postgres, sqlite)
		if err != nil {
			return sections, err
		}
		sections = append(sections, s)
	}
	return sections, nil
}

// filler is a contestant that brings rows to a table and says how many a second.
type filler struct {
	name, about string
	fill        func() (float64, error)
}

// fill measures every filler once a round, and the first, the control, twice.
func (b Bench) fill(ctx context.Context, q *Queue, title, how string, all []filler) (table.Section, error) {
	slots := append([]filler{all[0]}, all...)
	rates := make([][]float64, len(slots))
	for round := range b.Rounds {
		b.Tell("%s: round %d of %d", title, round+1, b.Rounds)
		for _, i := range b.Order(round, len(slots)) {
			if err := q.Clear(ctx); err != nil {
				return table.Section{}, err
			}
			rate, err := slots[i].fill()
			if err != nil {
				return table.Section{}, fmt.Errorf("%s: %w", slots[i].name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	return b.rates(title, how, all, rates), nil
}

// rates sums the rounds up; rates[0] and rates[1] are the control's.
func (b Bench) rates(title, how string, all []filler, rates [][]float64) table.Section {
	columns := []table.Column{{Key: "rows_per_s", Title: "rows/s", Spread: true}, {Key: "ratio", Title: "ratio", Digits: 2, Spread: true}}
	s := table.Section{
		Name: b.Name, Title: title, How: how, Control: all[0].name, Columns: columns,
		Noise: table.SpreadOf(table.Over(rates[1], rates[0])).Noise(),
	}
	add := func(name, about string, rates, ratios []float64) {
		s.Rows = append(s.Rows, table.Row{Name: name, About: about, Columns: columns, Figures: []table.Spread{table.SpreadOf(rates), table.SpreadOf(ratios)}})
	}
	control := table.Mean(rates[0], rates[1])
	add(s.Control, all[0].about, rates[0], nil)
	add(s.Control+table.Again, "the control once more; the ratio is to its other run, those below are to the mean of both", rates[1], table.Over(rates[1], rates[0]))
	for i, f := range all[1:] {
		add(f.name, f.about, rates[i+2], table.Over(rates[i+2], control))
	}
	return s
}

func (b Bench) postgres(ctx context.Context, q, _ *Queue) (table.Section, error) {
	n := b.sizes()
	s, err := b.fill(ctx, q, "rows to PostgreSQL",
		"Rows of 1 KiB with ids of their own into an empty table; PostgreSQL forces each commit to the disk, the journal's server has AOF everysec, and\nall of it is on this machine; four partitions. Medians; the ratio is to the control in the same round.",
		[]filler{
			{One, "one connection, an upsert a row, each commit awaited", func() (float64, error) { return q.Store.Writers(ctx, 1, n.direct) }},
			{Sixteen, "the same by sixteen at once", func() (float64, error) { return q.Store.Writers(ctx, 16, n.direct) }},
			{Batches, "one connection, an upsert by UNNEST of 1,000 rows a transaction, with nothing else to do", func() (float64, error) { return q.Store.Batches(ctx, n.drain) }},
			{Drain, "from the flusher's start until the table has what was put before", func() (float64, error) { return q.Drain(ctx, n.drain) }},
			{Put, "64 goroutines put a row at a time; from the first until the table has all", func() (float64, error) { return q.Sustain(ctx, callers, 1, n.sustain) }},
			{PutMany, "16 goroutines put sixteen at a time", func() (float64, error) { return q.Sustain(ctx, 16, 16, n.sustain) }},
		})
	if err != nil {
		return s, err
	}
	s.Verdicts = fast(s)
	return s, nil
}

// fast judges what W6 says about PostgreSQL.
func fast(s table.Section) []table.Verdict {
	rate := func(name string) float64 { return s.Find(name).At("rows_per_s") }
	times := func(who, whom string, target float64) table.Verdict {
		return table.AtLeast(fmt.Sprintf("%s at least %s times %s", who, table.Number(target, 1), whom), rate(who)/rate(whom), target, 2)
	}
	return []table.Verdict{
		times(Drain, One, drainOne), times(Drain, Sixteen, drainSixteen), times(Drain, Batches, drainBatches),
		times(Put, One, putOne), times(PutMany, One, putManyOne),
	}
}

func (b Bench) sqlite(ctx context.Context, _, q *Queue) (table.Section, error) {
	n := b.sizes()
	s, err := b.fill(ctx, q, "rows to SQLite",
		"The same rows into a file with a write-ahead log; two partitions. Medians; the ratio is to the control in the same round.",
		[]filler{
			{Batches, "one connection, prepared statements of 100 rows, 1,000 rows a transaction: its best", func() (float64, error) { return q.Store.Batches(ctx, n.drain) }},
			{Drain, "from the flusher's start until the table has what was put before", func() (float64, error) { return q.Drain(ctx, n.drain) }},
		})
	if err != nil {
		return s, err
	}
	s.Verdicts = []table.Verdict{table.AtLeast(fmt.Sprintf("%s at least %s times %s", Drain, table.Number(drainSQLite, 1), Batches),
		s.Find(Drain).At("ratio"), drainSQLite, 2)}
	return s, nil
}

// skewed tells what coalescing saves.
func (b Bench) skewed(ctx context.Context, q, _ *Queue) (table.Section, error) {
	n := b.sizes()
	var all []Saved
	for round := range b.Rounds {
		b.Tell("%s, a skewed load: round %d of %d", b.Name, round+1, b.Rounds)
		if err := q.Clear(ctx); err != nil {
			return table.Section{}, err
		}
		saved, err := q.Skewed(ctx, callers, zipfKeys, n.skewed)
		if err != nil {
			return table.Section{}, err
		}
		all = append(all, saved)
	}
	columns := []table.Column{
		{Key: "puts_per_s", Title: "puts/s", Spread: true},
		{Key: "rows_per_put", Title: "rows/put", Digits: 3, Spread: true},
		{Key: "puts_per_transaction", Title: "puts/transaction", Digits: 1, Spread: true},
	}
	figures := func(of func(Saved) float64) table.Spread { return table.SpreadOf(table.Pick(all, of)) }
	return table.Section{
		Name: b.Name, Title: "what coalescing saves", Control: Put, Columns: columns,
		How: fmt.Sprintf("%s puts by 64 goroutines to keys by Zipf's law (s = 1.1, %s keys) while the flusher runs: how many rows and transactions the\ndatabase saw of them. A direct writer makes one of each a put. Medians.",
			table.Number(float64(n.skewed), 0), table.Number(zipfKeys, 0)),
		Rows: []table.Row{{Name: Put, Columns: columns, Figures: []table.Spread{
			figures(func(s Saved) float64 { return s.PerSecond }),
			figures(func(s Saved) float64 { return float64(s.Rows) / float64(s.Puts) }),
			figures(func(s Saved) float64 { return float64(s.Puts) / float64(s.Statements) }),
		}}},
	}, nil
}

func (b Bench) paced(ctx context.Context, q, _ *Queue) (table.Section, error) {
	n := b.sizes()
	sets := func() (Took, error) { return q.Sets(ctx, pace, n.paced) }
	slots := []func() (Took, error){sets, sets, func() (Took, error) { return q.Puts(ctx, pace, n.paced) }}
	took := make([][]Took, len(slots))
	for round := range b.Rounds {
		b.Tell("%s, paced: round %d of %d", b.Name, round+1, b.Rounds)
		for _, i := range b.Order(round, len(slots)) {
			if err := q.Clear(ctx); err != nil {
				return table.Section{}, err
			}
			one, err := slots[i]()
			if err != nil {
				return table.Section{}, err
			}
			took[i] = append(took[i], one)
		}
	}
	columns := []table.Column{
		{Key: "p50_us", Title: "p50 µs"}, {Key: "p99_us", Title: "p99 µs", Spread: true}, {Key: "ratio", Title: "ratio of p99", Digits: 2, Spread: true},
	}
	p99 := func(p Took) float64 { return p.P99 }
	first, second := table.Pick(took[0], p99), table.Pick(took[1], p99)
	s := table.Section{
		Name: b.Name, Title: "a write at a pace", Control: Set, Columns: columns,
		How:   table.Number(pace, 0) + " writes of 1 KiB a second, evenly, by 64 goroutines through one client, to a server with AOF everysec; the journal's flusher runs\nand writes them to PostgreSQL. Medians; the ratio is to the control in the same round.",
		Noise: table.SpreadOf(table.Over(second, first)).Noise(),
	}
	add := func(name, about string, all []Took, ratios []float64) {
		s.Rows = append(s.Rows, table.Row{Name: name, About: about, Columns: columns, Figures: []table.Spread{
			table.Exact(table.Median(table.Pick(all, func(p Took) float64 { return p.P50 }))), table.SpreadOf(table.Pick(all, p99)), table.SpreadOf(ratios),
		}})
	}
	add(Set, "of the same bytes, without a journal", took[0], nil)
	add(Set+table.Again, "the control once more; the ratio is to its other run, that below is to the mean of both", took[1], table.Over(second, first))
	add(Paced, "", took[2], table.Over(table.Pick(took[2], p99), table.Mean(first, second)))
	s.Verdicts = []table.Verdict{table.AtMost(fmt.Sprintf("the p99 of %s at most %.1f times that of %s", Paced, pacedRatio, Set),
		s.Find(Paced).At("ratio"), pacedRatio, 2)}
	return s, nil
}

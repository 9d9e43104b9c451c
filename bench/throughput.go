package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/bench/usage"
	"github.com/redstart-go/redstart/redstarttest"
)

// reader is a contestant of the benchmarks that read what is cached. get builds the key from the id, as a program
// would, reads, decodes, and checks what it got; it gives an error when that is not the value of id.
type reader struct {
	name  string
	about string
	get   func(ctx context.Context, id int) error
}

// sample is one measurement: what a call costs while 64 goroutines call as fast as they can.
type sample struct {
	perSecond float64
	allocs    float64 // a call
	bytes     float64 // allocated a call
	server    float64 // µs of the server's CPU a call
	client    float64 // µs of this process's CPU a call
}

// firstID is the lowest id: as long as a real one, whose digits strconv has not ready.
const firstID = 100_000

// throughput compares readers on ids chosen at random, of so many keys. The first is the control.
type throughput struct {
	name, title, how string
	keys             int
	own              bool   // no two goroutines ask for the same
	beside           string // a reader to which there is a ratio as well
	readers          []reader
}

// id is one that a goroutine may ask for.
func (t throughput) id(worker int, rng *rand.Rand) int {
	if t.own {
		return firstID + worker + callers*rng.IntN(t.keys/callers)
	}
	return firstID + rng.IntN(t.keys)
}

func (t throughput) run(ctx context.Context, l lab, server *redstarttest.Server) (table.Section, error) {
	warm, long := 80*time.Millisecond, 400*time.Millisecond
	if l.quick {
		warm, long = 15*time.Millisecond, 50*time.Millisecond
	}
	// The control runs twice a round.
	slots := append([]reader{t.readers[0]}, t.readers...)
	samples := make([][]sample, len(slots))
	for round := range l.rounds {
		l.tell("%s, %d keys: round %d of %d", t.name, t.keys, round+1, l.rounds)
		for _, i := range order(round, len(slots)) {
			s, err := t.measure(ctx, server, slots[i], warm, long)
			if err != nil {
				return table.Section{}, fmt.Errorf("%s: %w", slots[i].name, err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	return t.section(samples), nil
}

// measure lets 64 goroutines call for a while. The world is looked at when they have warmed up and while they still
// run, so neither start nor end is in the figures.
func (t throughput) measure(ctx context.Context, server *redstarttest.Server, r reader, warm, long time.Duration) (sample, error) {
	runtime.GC()
	var (
		workers [callers]struct {
			done atomic.Int64
			_    [120]byte // a counter a cache line
		}
		stop   atomic.Bool
		failed atomic.Pointer[error]
		all    sync.WaitGroup
	)
	for w := range workers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 2))
			for !stop.Load() {
				if err := r.get(ctx, t.id(w, rng)); err != nil {
					first := err // what escapes is allocated, so not err, which every call has
					failed.CompareAndSwap(nil, &first)
					return
				}
				workers[w].done.Add(1)
			}
		})
	}
	look := func() (world, error) {
		cpu, err := usage.Server(ctx, server)
		now := world{server: cpu, client: usage.Process(), at: time.Now()}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		now.allocs, now.bytes = mem.Mallocs, mem.TotalAlloc
		for w := range workers {
			now.calls += workers[w].done.Load()
		}
		return now, err
	}
	before, after, err := around(ctx, warm, long, look)
	stop.Store(true)
	all.Wait()
	if p := failed.Load(); p != nil {
		err = *p
	}
	if err != nil {
		return sample{}, err
	}
	calls := float64(after.calls - before.calls)
	if calls == 0 {
		return sample{}, fmt.Errorf("not one call was answered in %v", long)
	}
	client := math.NaN()
	if after.client > 0 {
		client = float64((after.client - before.client).Nanoseconds()) / 1e3 / calls
	}
	return sample{
		perSecond: calls / after.at.Sub(before.at).Seconds(),
		allocs:    float64(after.allocs-before.allocs) / calls,
		bytes:     float64(after.bytes-before.bytes) / calls,
		server:    float64((after.server - before.server).Nanoseconds()) / 1e3 / calls,
		client:    client,
	}, nil
}

// world is what the counters show at a moment.
type world struct {
	at             time.Time
	calls          int64
	allocs, bytes  uint64
	server, client time.Duration // CPU used so far
}

func around(ctx context.Context, warm, long time.Duration, look func() (world, error)) (before, after world, err error) {
	if err = pause(ctx, warm); err != nil {
		return before, after, err
	}
	if before, err = look(); err != nil {
		return before, after, err
	}
	if err = pause(ctx, long); err != nil {
		return before, after, err
	}
	after, err = look()
	return before, after, err
}

// section sums the rounds up; samples[0] and samples[1] are the control's.
func (t throughput) section(samples [][]sample) table.Section {
	perSecond := func(s sample) float64 { return s.perSecond }
	first, second := table.Pick(samples[0], perSecond), table.Pick(samples[1], perSecond)
	control := table.Mean(first, second)
	columns := []table.Column{
		{Key: "ops_per_s", Title: "ops/s"},
		{Key: "ratio", Title: "ratio", Digits: 2, Spread: true},
		{Key: "allocs_per_op", Title: "allocs/op", Digits: 2},
		{Key: "bytes_per_op", Title: "B/op"},
		{Key: "server_us_per_op", Title: "server µs/op", Digits: 2},
		{Key: "client_us_per_op", Title: "client µs/op", Digits: 2},
	}
	s := table.Section{
		Name: t.name, Title: t.title, How: t.how, Control: t.readers[0].name, Columns: columns,
		Noise: table.SpreadOf(table.Over(second, first)).Noise(),
	}
	var other []float64
	if i := slices.IndexFunc(t.readers, func(r reader) bool { return r.name == t.beside }); i > 0 {
		other = table.Pick(samples[i+1], perSecond)
		s.Columns = append(s.Columns, table.Column{Key: "beside", Title: "of " + t.beside, Digits: 2, Spread: true})
	}
	add := func(name, about string, all []sample, ratios []float64) {
		r := table.Row{Name: name, About: about, Columns: s.Columns, Figures: []table.Spread{
			table.Exact(table.Median(table.Pick(all, perSecond))),
			table.SpreadOf(ratios),
			table.Exact(table.Median(table.Pick(all, func(s sample) float64 { return s.allocs }))),
			table.Exact(table.Median(table.Pick(all, func(s sample) float64 { return s.bytes }))),
			table.Exact(table.Median(table.Pick(all, func(s sample) float64 { return s.server }))),
			table.Exact(table.Median(table.Pick(all, func(s sample) float64 { return s.client }))),
		}}
		if other != nil {
			r.Figures = append(r.Figures, table.SpreadOf(table.Over(table.Pick(all, perSecond), other)))
		}
		s.Rows = append(s.Rows, r)
	}
	add(t.readers[0].name, t.readers[0].about, samples[0], nil)
	add(t.readers[0].name+table.Again, "the control once more; the ratio is to its other run, those below are to the mean of both", samples[1], table.Over(second, first))
	for i, r := range t.readers[1:] {
		all := samples[i+2]
		add(r.name, r.about, all, table.Over(table.Pick(all, perSecond), control))
	}
	return s
}

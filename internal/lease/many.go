package lease

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// Many are leases on several keys of one client, for one time. What is done
// with them travels in pipelines of at most 1,000 commands and about 1 MiB, so
// in one round trip a node for up to that; each has Within to be answered.
type Many struct {
	Client *redstart.Client
	Time   time.Duration // how long each lasts unless extended
	Within time.Duration
}

const (
	together      = 1000
	togetherBytes = 1 << 20
	overhead      = 150 // of a command: its name, the script's, marks and times
)

// Held is a lease of several.
type Held struct {
	Key, Mark string
	Seen      []byte        // for Take: what stands there and is to be replaced; nil for nothing
	Value     string        // for Put: what is to be left at the key
	TTL       time.Duration // for Put: zero is for good
}

// Answer is what became of one of several leases.
type Answer struct {
	Held    bool   // taken, or still held by then
	Current []byte // what stands in the place of a claim; empty for nothing
	Err     error
}

// Take claims every key by mark, as Lease.Take and Lease.Replace do. A claim
// whose reply was lost is made once more by second; all[i].Mark is the one that
// counts.
func (m Many) Take(ctx context.Context, all []Held, mark, second string) []Answer {
	lasts := millis(m.Time)
	answers := make([]Answer, len(all))
	claim := func(at []int) {
		m.pipe(ctx, all, at, func(h *Held) rueidis.Completed {
			if h.Seen == nil {
				return m.Client.B().Set().Key(h.Key).Value(h.Mark).Nx().Get().PxMilliseconds(ms(m.Time)).Build()
			}
			return swap.Command(m.Client, []string{h.Key}, []string{string(h.Seen), h.Mark, lasts})
		}, func(i int, r rueidis.RedisResult) {
			a := &answers[i]
			a.Held, a.Current, a.Err = Lease{}.claimed(r)
		})
	}
	for i := range all {
		all[i].Mark = mark
	}
	claim(places(len(all)))
	var again []int
	for i, a := range answers {
		if a.Err != nil && redstart.OutcomeOf(a.Err) == redstart.Unknown {
			all[i].Mark = second
			again = append(again, i)
		}
	}
	claim(again)
	for _, i := range again {
		if a := &answers[i]; !a.Held && string(a.Current) == mark { // it had come through
			all[i].Mark, a.Held = mark, true
		}
	}
	return answers
}

// Put is Lease.Put for each.
func (m Many) Put(ctx context.Context, all []Held) []Answer {
	return m.run(ctx, all, put, func(h *Held) []string { return []string{h.Mark, h.Value, millis(h.TTL)} })
}

// Release is Lease.Release for each.
func (m Many) Release(ctx context.Context, all []Held) []Answer {
	return m.run(ctx, all, release, func(h *Held) []string { return []string{h.Mark} })
}

// Extend is Lease.Extend for each.
func (m Many) Extend(ctx context.Context, all []Held) []Answer {
	return m.run(ctx, all, extend, func(h *Held) []string { return []string{h.Mark, millis(m.Time)} })
}

func (m Many) run(ctx context.Context, all []Held, s *redstart.Script, args func(*Held) []string) []Answer {
	answers := make([]Answer, len(all))
	at := places(len(all))
	for try := 0; try < attempts && len(at) > 0; try++ {
		var again []int
		m.pipe(ctx, all, at, func(h *Held) rueidis.Completed {
			return s.Command(m.Client, []string{h.Key}, args(h))
		}, func(i int, r rueidis.RedisResult) {
			n, err := r.AsInt64()
			answers[i] = Answer{Held: n == 1, Err: err}
			if err != nil && ctx.Err() == nil && redstart.OutcomeOf(err) == redstart.Unknown {
				again = append(again, i)
			}
		})
		at = again
	}
	return answers
}

// pipe sends a command for some of all.
func (m Many) pipe(ctx context.Context, all []Held, at []int, build func(*Held) rueidis.Completed, take func(i int, r rueidis.RedisResult)) {
	for len(at) > 0 {
		var commands []rueidis.Completed
		for size := 0; len(commands) < min(len(at), together); {
			h := &all[at[len(commands)]]
			if size += len(h.Key) + len(h.Seen) + len(h.Value) + overhead; size > togetherBytes && len(commands) > 0 {
				break
			}
			commands = append(commands, build(h))
		}
		within, cancel := context.WithTimeout(ctx, m.Within)
		for j, r := range m.Client.DoMulti(within, commands...) {
			take(at[j], r)
		}
		cancel()
		at = at[len(commands):]
	}
}

func places(n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	return at
}

// Keep is Lease.Keep for all. lost is called with the place of each that is
// found to be gone.
func (m Many) Keep(all []Held, lost func(i int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	m.Within = m.Time / 3
	err := m.Client.Go(func(closing context.Context) {
		defer context.AfterFunc(closing, cancel)()
		ticker := time.NewTicker(m.Within)
		defer ticker.Stop()
		for at := places(len(all)); ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			held := make([]Held, len(at))
			for j, i := range at {
				held[j] = Held{Key: all[i].Key, Mark: all[i].Mark}
			}
			still := at[:0]
			for j, a := range m.Extend(ctx, held) {
				if i := at[j]; a.Err != nil || a.Held {
					still = append(still, i)
				} else if ctx.Err() == nil {
					lost(i)
				}
			}
			at = still
		}
	})
	_ = err // the client is closed: the leases run out
	return cancel
}

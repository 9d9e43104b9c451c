package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/limit"
)

// The naive recipes that a spender may follow, besides redstarts.
const (
	getIncr      = "GET, compare, INCR"
	clientWindow = "windows by the clients' clocks"
	inTurn       = "one limit after the other"
)

// spenderArg sets up a process that takes units, as many as it can get.
type spenderArg struct {
	Recipe        string
	URL           string
	History       string // folder
	Process, Life int
	Skew          time.Duration // of the clock that a naive recipe goes by

	Pots    []pot
	IDs     int           // of each pot
	Epoch   time.Duration // there are new ids after each; 0: always the same
	Units   int64         // at most, of one call
	Callers int
	Refunds bool // some of what was taken is given back, some ids are reset
	Denials int
	Seed    uint64
}

// pot is a family of limits. With several Sets each call is under one of them,
// as if somebody changed the limits all the time.
type pot struct {
	Sets  [][]limit.Limit
	Batch int64
}

// potsApart tells events of different pots apart: the key of an event is the
// pot's number times this, and the id.
const potsApart = 10_000_000

func potKey(pot int) string { return fmt.Sprintf("pot%d:{<id>}", pot) }

// spent is what a spender's calls came to.
type spent struct{ Granted, Denied, Unanswered, Failed int64 }

// spending is a spender at work.
type spending struct {
	arg      spenderArg
	limiters []*limit.Limiter
	naive    func(context.Context, string) (bool, error)
	log      *history.Log

	granted, denied, unanswered, failed atomic.Int64
	stop                                context.CancelFunc
	work                                sync.WaitGroup
}

// spender is the role.
func spender(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	s := &spending{}
	if err := json.Unmarshal(raw, &s.arg); err != nil {
		return nil, nil, err
	}
	var err error
	if s.log, err = history.Create(s.arg.History, fmt.Sprintf("spender-%d-%d", s.arg.Process, s.arg.Life)); err != nil {
		return nil, nil, err
	}
	closeClient, err := s.open()
	if err != nil {
		return nil, nil, errors.Join(err, s.log.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for c := range s.arg.Callers {
		s.work.Go(func() { s.spend(ctx, c) })
	}
	halt := func() { cancel(); s.work.Wait() }
	count := func(context.Context, int) (spent, error) {
		return spent{s.granted.Load(), s.denied.Load(), s.unanswered.Load(), s.failed.Load()}, nil
	}
	verbs := map[string]harness.Verb{
		"spent": harness.On(count),
		"stop": harness.On(func(ctx context.Context, n int) (spent, error) {
			halt()
			return count(ctx, n)
		}),
	}
	return verbs, func() { halt(); closeClient(); _ = s.log.Close() }, nil
}

func (s *spending) open() (end func(), err error) {
	if s.arg.Recipe != redstarts {
		client, err := plainOnce(s.arg.URL)
		if err != nil {
			return nil, err
		}
		var counters naive.InTurn
		for _, l := range s.arg.Pots[0].Sets[0] {
			counters = append(counters, naive.Counter{Client: client, Limit: l.Rate, Window: l.Per})
		}
		switch s.arg.Recipe {
		case inTurn:
			s.naive = counters.Take
		case clientWindow:
			s.naive = naive.ClientWindow{Counter: counters[0], Now: func() time.Time { return time.Now().Add(s.arg.Skew) }}.Take
		default:
			s.naive = counters[0].Take
		}
		return client.Close, nil
	}
	client, err := redstart.Open(context.Background(), s.arg.URL, redstart.Config{DialTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	for i, p := range s.arg.Pots {
		cfg := limit.Config{Key: potKey(i), Batch: p.Batch, OnOutage: limit.Deny, Timeout: 500 * time.Millisecond, Denials: s.arg.Denials}
		if len(p.Sets) == 1 {
			cfg.Limits = p.Sets[0]
		} else {
			cfg.LimitsOf = func(string) []limit.Limit { return p.Sets[rand.IntN(len(p.Sets))] }
		}
		l, err := limit.New(client, cfg)
		if err != nil {
			client.Close()
			return nil, err
		}
		s.limiters = append(s.limiters, l)
	}
	return client.Close, nil
}

// spend takes until ctx ends, and writes down what it got.
func (s *spending) spend(ctx context.Context, caller int) {
	rng := harness.Rand(s.arg.Seed, "spender", s.arg.Process*1000+s.arg.Life*100+caller)
	for ctx.Err() == nil {
		p, id, n := rng.IntN(len(s.arg.Pots)), rng.IntN(s.arg.IDs), 1+rng.Int64N(s.arg.Units)
		if s.arg.Epoch > 0 {
			id += int(harness.Monotonic()/uint64(s.arg.Epoch)) * s.arg.IDs
		}
		e := history.Event{Process: uint16(s.arg.Process), Caller: uint16(caller), Key: uint32(p*potsApart + id), Version: uint64(n), Begin: harness.Monotonic()}
		d, err := s.take(ctx, rng, p, fmt.Sprint(id), n)
		e.End = harness.Monotonic()
		pause := time.Duration(0)
		switch {
		case err != nil && (errors.Is(err, limit.ErrNever) || ctx.Err() != nil):
		case err != nil:
			s.failed.Add(1)
			pause = 5 * time.Millisecond
		case d.Err != nil:
			s.unanswered.Add(1)
			if redstart.OutcomeOf(d.Err) != redstart.NotApplied {
				e.Kind = history.Unanswered
			}
			pause = 5 * time.Millisecond
		case d.Allowed:
			s.granted.Add(1)
			e.Kind, e.Version = history.Granted, uint64(d.Granted)
			if s.arg.Refunds && rng.IntN(4) == 0 {
				_ = s.limiters[p].Refund(ctx, fmt.Sprint(id), 1+rng.Int64N(d.Granted)) // a server that is away gets none
			}
		default:
			s.denied.Add(1)
			pause = min(d.RetryAfter, time.Duration(1+rng.IntN(3))*time.Millisecond)
		}
		if e.Kind != 0 {
			if err := s.log.Add(e); err != nil {
				s.failed.Add(1)
			}
		}
		rest(ctx, pause)
	}
}

// take takes n units, or up to many more, or of a naive recipe one.
func (s *spending) take(ctx context.Context, rng *rand.Rand, p int, id string, n int64) (limit.Decision, error) {
	if s.naive != nil {
		ok, err := s.naive(ctx, "naive:"+id)
		return limit.Decision{Allowed: ok, Granted: 1, RetryAfter: time.Millisecond}, err
	}
	l := s.limiters[p]
	switch rng.IntN(8) {
	case 0:
		return l.TakeUpTo(ctx, id, 10*n)
	case 1:
		if s.arg.Refunds && rng.IntN(8) == 0 {
			_ = l.Reset(ctx, id)
		}
	}
	return l.Take(ctx, id, n)
}

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
)

// Named points of a flusher's work, at which a test strikes.
const (
	beforeApply = "before the sink is told"
	afterApply  = "after the commit, before the journal knows"
)

// applying: a sink is about to be told of a change of Key with the version Begin
// by the write Version and the token End; applied: it has been; fencedOff: it was
// refused for its token.
const (
	applying history.Kind = iota + 200
	applied
	fencedOff
)

// flusherArg sets up a process that flushes.
type flusherArg struct {
	Journal       journalArg
	Notes         notesAt
	History       string
	Process, Life int
	Bare          bool // the sink has no guard
}

// flushCounts is what a flusher did.
type flushCounts struct{ Batches, Fenced, Failed, Refused int64 }

// watchedSink is a sink that notes what it is told, and stops at named points.
type watchedSink struct {
	next journal.Sink[int64, note]
	log  *history.Log

	batches, fenced, failed, refused atomic.Int64

	mu      sync.Mutex
	point   string // where the next one stops
	reached chan struct{}
	leave   chan struct{}
}

func (s *watchedSink) Apply(ctx context.Context, b journal.Batch[int64, note]) ([]journal.Refused, error) {
	note := func(kind history.Kind) error {
		for _, c := range b.Changes {
			e := history.Event{Kind: kind, Key: uint32(c.ID), Version: c.Value.Write, Begin: uint64(c.Version), End: uint64(b.Token)} //nolint:gosec // small, positive
			if c.Deleted {
				e.Mark = history.Deletes
			}
			if err := s.log.Add(e); err != nil {
				return err
			}
		}
		return nil
	}
	if err := note(applying); err != nil {
		return nil, err
	}
	if s.pass(beforeApply) {
		// As if what it sends had left just before: no deadline stops that any more.
		sent, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		ctx = sent
	}
	refused, err := s.next.Apply(ctx, b)
	s.batches.Add(1)
	s.refused.Add(int64(len(refused)))
	switch {
	case errors.Is(err, journal.ErrFenced):
		s.fenced.Add(1)
		if err := note(fencedOff); err != nil {
			return nil, err
		}
	case err != nil:
		s.failed.Add(1)
	default:
		if err := note(applied); err != nil {
			return nil, err
		}
		s.pass(afterApply)
	}
	return refused, err
}

// pass stops whoever comes to the point where one is to stop, until he is let go,
// and says whether it did.
func (s *watchedSink) pass(point string) bool {
	s.mu.Lock()
	if s.point != point {
		s.mu.Unlock()
		return false
	}
	s.point = ""
	close(s.reached)
	leave := s.leave
	s.mu.Unlock()
	<-leave
	return true
}

// reach returns when somebody stands at the point, or is told to go.
func (s *watchedSink) reach(ctx context.Context, point string) (int, error) {
	s.mu.Lock()
	s.point, s.reached, s.leave = point, make(chan struct{}), make(chan struct{})
	reached, leave := s.reached, s.leave
	s.mu.Unlock()
	select {
	case <-reached:
		return 0, nil
	case <-leave:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// letGo lets him go on.
func (s *watchedSink) letGo(context.Context, int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.point = ""
	if s.leave != nil {
		close(s.leave)
		s.leave = nil
	}
	return 0, nil
}

// flusherRole is the role.
func flusherRole(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	var arg flusherArg
	if err := json.Unmarshal(raw, &arg); err != nil {
		return nil, nil, err
	}
	log, err := history.Create(arg.History, fmt.Sprintf("flusher-%d-%d", arg.Process, arg.Life))
	if err != nil {
		return nil, nil, err
	}
	db, err := arg.Notes.open()
	if err != nil {
		return nil, nil, err
	}
	sink := &watchedSink{next: arg.Notes.bare(db), log: log}
	if !arg.Bare {
		if sink.next, err = arg.Notes.sink(db); err != nil {
			return nil, nil, err
		}
	}
	j, client, err := arg.Journal.open(sink)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	var once sync.Once
	var ran error
	stop := func(context.Context, int) (flushCounts, error) {
		once.Do(func() {
			_, _ = sink.letGo(ctx, 0)
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				ran = err
			}
		})
		return flushCounts{sink.batches.Load(), sink.fenced.Load(), sink.failed.Load(), sink.refused.Load()}, ran
	}
	end := func() {
		_, _ = stop(ctx, 0)
		client.Close()
		_ = db.Close()
		_ = log.Close()
	}
	return map[string]harness.Verb{"reach": harness.On(sink.reach), "go": harness.On(sink.letGo), "stop": harness.On(stop)}, end, nil
}

// told is what flushers told their sinks.
func told(events []history.Event) (all []history.Told) {
	for _, e := range events {
		if e.Kind == applying {
			all = append(all, history.Told{Key: e.Key, Write: e.Version, Version: int64(e.Begin), Deleted: e.Mark&history.Deletes != 0}) //nolint:gosec // a version
		}
	}
	return all
}

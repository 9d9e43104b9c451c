package faults

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
)

// journalArg opens a journal of notes, in any process.
type journalArg struct {
	URL        string
	Name       string // "": notes
	Lease      time.Duration
	Partitions int           // 0: 4
	BatchSize  int           // 0: 100
	BatchWait  time.Duration // 0: 20 ms
	MaxRecords int
	AtBound    journal.AtBound
	Attempts   int
	Durable    string // see durabilities
	Evict      bool   // AllowEviction
	Unknown    bool   // UnknownEviction
}

// durabilities are what a write may wait for, by name.
var durabilities = map[string]journal.Durability{
	"":              journal.Memory(),
	"EverySecond":   journal.EverySecond(),
	"Replicated(1)": journal.Replicated(1, 500*time.Millisecond),
	"WaitAOF(0)":    journal.WaitAOF(0, 3*time.Second),
	"WaitAOF(1)":    journal.WaitAOF(1, 3*time.Second),
}

func (a journalArg) config(sink journal.Sink[int64, note]) journal.Config[int64, note] {
	cfg := journal.Config[int64, note]{
		Name: "notes", Sink: sink, Partitions: 4, BatchSize: 100, BatchWait: 20 * time.Millisecond, Lease: a.Lease,
		MaxRecords: a.MaxRecords, AtBound: a.AtBound, Attempts: a.Attempts, Durability: durabilities[a.Durable],
		Backoff: 20 * time.Millisecond, MaxBackoff: 500 * time.Millisecond, AllowEviction: a.Evict, UnknownEviction: a.Unknown,
		Cache: cache.Config[int64, note]{
			Key: "note:<id>", TTL: time.Hour,
			Load: func(context.Context, int64) (note, error) { return note{}, cache.ErrNotFound },
		},
	}
	if a.Name != "" {
		cfg.Name = a.Name
	}
	if a.Partitions > 0 {
		cfg.Partitions = a.Partitions
	}
	if a.BatchSize > 0 {
		cfg.BatchSize = a.BatchSize
	}
	if a.BatchWait > 0 {
		cfg.BatchWait = a.BatchWait
	}
	return cfg
}

// open gives the journal, and the client on which it is.
func (a journalArg) open(sink journal.Sink[int64, note]) (*journal.Journal[int64, note], *redstart.Client, error) {
	client, err := redstart.Open(context.Background(), a.URL, redstart.Config{DialTimeout: 5 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.New(client, a.config(sink))
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return j, client, nil
}

// errorOf is what an error of PutMany says of one of its ids.
func errorOf(err error, id int64) error {
	if each, ok := errors.AsType[cache.Errors[int64]](err); ok {
		return each[id]
	}
	return err
}

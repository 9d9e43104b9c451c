package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/commit"
	"github.com/redstart-go/redstart/internal/keeps"
)

// Change is what a sink is told of a key: its last operation.
type Change[K comparable, V any] struct {
	ID      K
	Value   V    // zero where Deleted
	Deleted bool // the key is to be absent
	// Version grows with every change of a partition, and so of a key: the
	// server's clock in microseconds, below 2^53, or more where the clock does not
	// grow. A sink keeps it beside the row and writes only over a smaller one.
	Version int64
}

// Batch is what is applied at once: of each key its last change, in the order
// of their versions.
type Batch[K comparable, V any] struct {
	// Journal and Partition name who writes.
	Journal   string
	Partition int
	// Token is the fencing token of the flusher that has the partition. A sink
	// that keeps the greatest for each journal and partition, and refuses a
	// smaller one by ErrFenced, takes nothing from a process that was frozen and
	// has been replaced. Without that the version alone protects it, which a row
	// that was deleted no longer has.
	Token   int64
	Changes []Change[K, V]
}

// Refused says that a change was not written because the sink holds the same
// version already, or a greater one.
type Refused struct {
	Index  int   // in Batch.Changes
	Stored int64 // the version that the sink holds
}

// Sink is where changes go: a database with a version guard.
//
// Apply writes a batch, as one transaction or so that writing it again does no
// harm: it is called again for what may have been written already, after a lost
// answer or a crash. When it returns nil, everything that it does not name as
// refused is durable. Its context ends before the flusher's lease can; by then
// it must have returned.
//
// An error says that nothing may be taken as written. Which change is to blame it
// may say by a [RecordError]; else the flusher finds out by halves. [Permanent]
// says that trying again is useless, [Prober] whether the sink works at all. A sink that is called from several
// goroutines has a partition in one of them at a time.
type Sink[K comparable, V any] interface {
	Apply(ctx context.Context, b Batch[K, V]) ([]Refused, error)
}

// Prober is a sink that says whether it works: whether it would take a change
// that is as it should be. A change that fails while nothing else is written is
// only then held to be at fault; without a Probe it stays pending until others
// have been written.
type Prober interface {
	Probe(ctx context.Context) error
}

// SinkFunc is a function as a [Sink].
type SinkFunc[K comparable, V any] func(ctx context.Context, b Batch[K, V]) ([]Refused, error)

// Apply calls the function.
func (f SinkFunc[K, V]) Apply(ctx context.Context, b Batch[K, V]) ([]Refused, error) {
	return f(ctx, b)
}

// RecordError is a sink's error about one change of the batch: the others were
// not written either, and will be tried without it.
type RecordError struct {
	Index int // in Batch.Changes
	Err   error
}

// Error says which change and why.
func (e *RecordError) Error() string {
	return fmt.Sprintf("change %d of the batch: %v", e.Index, e.Err)
}

// Unwrap gives the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// Permanent marks an error that will come again however often it is tried, such
// as a value that the table's columns cannot hold. In a RecordError, or about a
// batch of one, it sends the change to the dead letters at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// isPermanent reports whether trying again is useless.
func isPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

// What a call may say, for errors.Is.
var (
	// ErrFenced is a sink's answer to a token smaller than one that it has seen:
	// another flusher has the partition. Wrapped or bare, it makes the flusher
	// give the partition up.
	ErrFenced error = &denial{"a later token has been seen", redstart.NotApplied}
	// ErrFull: the journal is at one of its bounds, and Config.AtBound is Refuse.
	// Nothing was written.
	ErrFull error = &denial{"the journal is full", redstart.NotApplied}
	// ErrTooLarge: one record is beyond Config.MaxBytes, or the value beyond that
	// of the cache. Nothing was written.
	ErrTooLarge error = &denial{"the record is too large", redstart.NotApplied}
	// ErrNotDurable: the record is in the journal, where it will be applied, but
	// as many replicas or disks as Config.Durability asks for have not confirmed
	// it; a failover or a crash may still lose it.
	ErrNotDurable = commit.ErrUnconfirmed
	// ErrUnapplied: with WriteDirectly the context ended before the sink had the
	// change. It is in the journal and will be applied.
	ErrUnapplied error = &denial{"written to the journal, not to the sink yet", redstart.Applied}
	// ErrNoFlusher: Flush has something to wait for and no process has a Run under
	// way.
	ErrNoFlusher error = &denial{"no process runs a flusher", redstart.NotApplied}
	// ErrEviction: the server may evict the journal, or does not say whether it may.
	ErrEviction = keeps.ErrEviction
)

// denial is an answer with an outcome of its own.
type denial struct {
	text    string
	outcome redstart.Outcome
}

func (d *denial) Error() string             { return "redstart/journal: " + d.text }
func (d *denial) Outcome() redstart.Outcome { return d.outcome }

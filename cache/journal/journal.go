package journal

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

// Journal caches values and brings them to a database behind the writer's back.
// It is shared by all goroutines. See the package's documentation for its
// promises.
type Journal[K comparable, V any] struct {
	client *redstart.Client
	cfg    Config[K, V]
	cache  *cache.Cache[K, V]
}

var errUnfinished = errors.New("not written yet")

// New makes a journal on the client. It asks every node for its eviction policy,
// and with Durability for its AOF, within the client's DialTimeout.
func New[K comparable, V any](client *redstart.Client, cfg Config[K, V]) (*Journal[K, V], error) {
	return nil, errUnfinished
}

// Put stores a value, which is read back at once, and acknowledges when the
// journal has it.
func (j *Journal[K, V]) Put(ctx context.Context, id K, v V) error { return errUnfinished }

// PutMany is Put for many.
func (j *Journal[K, V]) PutMany(ctx context.Context, values iter.Seq2[K, V]) error { return errUnfinished }

// Delete makes a key absent.
func (j *Journal[K, V]) Delete(ctx context.Context, id K) error { return errUnfinished }

// Get gives the newest value.
func (j *Journal[K, V]) Get(ctx context.Context, id K) (v V, err error) { return v, errUnfinished }

// Cache is the cache that holds the entries, for reads of other kinds.
func (j *Journal[K, V]) Cache() *cache.Cache[K, V] { return j.cache }

// Flush waits until all that was acknowledged before has been applied, or has
// gone to the dead letters.
func (j *Journal[K, V]) Flush(ctx context.Context) error { return errUnfinished }

// Run brings changes to the sink until ctx ends, then finishes what is under way.
func (j *Journal[K, V]) Run(ctx context.Context) error { return errUnfinished }

// Lag is what is pending, at the server.
type Lag struct {
	Records int64         // pending
	Bytes   int64         // of these
	Oldest  time.Duration // age of the oldest of them
	Dead    int64         // dead letters

	// Since the journal's keys were made: Acked = Applied + Superseded + Dropped +
	// Dead + Records, at any moment.
	Acked      int64 // acknowledged records
	Applied    int64 // that the sink has
	Superseded int64 // in whose place the sink got a later one of the same key
	Dropped    int64 // dead letters that Drop removed

	Flushers int // processes with a Run under way
	Unowned  int // partitions that none of them has
}

// Lag tells what is pending. One script for each partition, in one round trip a
// node.
func (j *Journal[K, V]) Lag(ctx context.Context) (Lag, error) { return Lag{}, errUnfinished }

// DeadLetter is a change that the sink would not take.
type DeadLetter[K comparable, V any] struct {
	Change[K, V]
	Ref      string // for Replay and Drop
	Reason   string // the sink's error, cut to 256 bytes
	Attempts int
	Dead     time.Time // since when, by the server's clock
	Raw      []byte    // the entry, where it can no longer be read (Err of the pair)
}

// DeadLetters gives them, partition by partition, the oldest of each first.
func (j *Journal[K, V]) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter[K, V], error] {
	return func(yield func(DeadLetter[K, V], error) bool) { yield(DeadLetter[K, V]{}, errUnfinished) }
}

// Replayed says what became of dead letters.
type Replayed struct {
	Again      int // pending again, as the newest of their keys
	Superseded int // not tried again, since a later change of the key was acknowledged
	Gone       int // that are not there (any more)
}

// Replay brings dead letters back into the journal.
func (j *Journal[K, V]) Replay(ctx context.Context, refs ...string) (Replayed, error) {
	return Replayed{}, errUnfinished
}

// Drop gives dead letters up for good, and says how many there were.
func (j *Journal[K, V]) Drop(ctx context.Context, refs ...string) (int, error) { return 0, errUnfinished }

// Stats are counts since the journal was made, in this process.
type Stats struct {
	Puts        uint64 // records acknowledged to this process, Deletes included
	Repeated    uint64 // scripts sent again after a lost reply
	Blocked     uint64 // writes that found the journal full
	Direct      uint64 // writes of WriteDirectly that waited for the sink
	Batches     uint64 // calls of Sink.Apply that succeeded
	Failures    uint64 // that failed
	Applied     uint64 // changes that the sink took, or had
	Superseded  uint64 // records in whose place a later one was applied
	Dead        uint64 // changes sent to the dead letters
	Restamped   uint64 // changes that the sink refused and that got a later version
	Fenced      uint64 // partitions given up since somebody else had them
	Partitions  int    // this process has now
	BackingOff  int    // keys that wait after a failure
	SinkFailing bool   // the last call of Sink.Apply failed as a whole
}

// Stats gives the counts so far.
func (j *Journal[K, V]) Stats() Stats { return Stats{} }

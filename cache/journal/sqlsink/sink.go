package sqlsink

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache/journal"
)

// attempts at a batch whose transaction the database gave up for another's sake.
const attempts = 5

// Prepare makes the fence's table if it is not there, and checks that the table has
// the columns, that the version's is wide enough, and that the Key is unique. A user
// who may not create tables has it made before (see the package's doc). Without
// Prepare the check comes with the first batch. Cost: a few statements.
func (s *Sink[K, V]) Prepare(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, s.fences.create); err != nil {
		// Two that create it at the same moment: PostgreSQL refuses one of them.
		if _, err := s.db.ExecContext(ctx, s.fences.create); err != nil {
			return s.failed("prepare", redstart.Unknown, fmt.Errorf("fence: %w", err))
		}
	}
	return s.check(ctx, "prepare")
}

func (s *Sink[K, V]) check(ctx context.Context, verb string) error {
	if s.checked.Load() {
		return nil
	}
	if err := s.dialect.check(ctx, s.db); err != nil {
		return s.failed(verb, redstart.NotApplied, err)
	}
	s.checked.Store(true)
	return nil
}

func (s *Sink[K, V]) failed(verb string, outcome redstart.Outcome, err error) error {
	return &redstart.Error{Op: "redstart/cache/journal/sqlsink: " + verb, Template: s.cfg.Table, Outcome: outcome, Err: err}
}

// Apply writes the batch in one transaction: all of it, but for what is refused
// because the row has a version as great or greater, or nothing. What was refused is
// returned with the version that stands; a delete of a row that is not there is done,
// not refused.
//
// The error is a journal.ErrFenced when a greater token of this partition has
// written, and has a *journal.RecordError in it when one change is known to be what
// the database will not take; where the database does not say which one it means, the
// journal finds out. What no repetition can heal (a NUL byte in PostgreSQL's text, a
// value out of its column's range) is marked by journal.Permanent, what another row may
// heal (a foreign key, a unique value) is not. A transaction that the database gave up (a
// deadlock, a serialization failure, a busy SQLite) is tried 5 times. The Outcome is
// Unknown when the commit's answer was lost; the guard makes a repetition harmless.
//
// Cost on PostgreSQL: the transaction's two round trips, one for the fence, one for
// all upserts and one for all deletes; another for each of these when the guard
// refused something.
func (s *Sink[K, V]) Apply(ctx context.Context, b journal.Batch[K, V]) ([]journal.Refused, error) {
	if len(b.Changes) == 0 {
		return nil, nil
	}
	if err := s.check(ctx, "apply"); err != nil {
		return nil, err
	}
	upserts, removals, err := s.records(b.Changes)
	if err != nil {
		return nil, s.failed("apply", redstart.NotApplied, err)
	}
	for attempt := 1; ; attempt++ {
		refused, outcome, err := s.transact(ctx, b, upserts, removals)
		if err == nil {
			return refused, nil
		}
		if attempt == attempts || !errors.Is(err, errRace) && !s.dialect.gaveUp(err) || !pause(ctx, attempt) {
			return nil, s.failed("apply", outcome, err)
		}
	}
}

// pause waits up to 5 ms before the second attempt, twice as long before each
// further one. It says whether ctx lasted.
func pause(ctx context.Context, attempt int) bool {
	t := time.NewTimer(rand.N(5 * time.Millisecond << (attempt - 1)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// transact makes one attempt.
func (s *Sink[K, V]) transact(ctx context.Context, b journal.Batch[K, V], upserts, removals []record) (
	refused []journal.Refused, outcome redstart.Outcome, err error,
) {
	tx, done, err := s.dialect.begin(ctx, s.db)
	if err != nil {
		return nil, redstart.NotApplied, fmt.Errorf("begin: %w", err)
	}
	defer done()
	if refused, err = s.write(ctx, tx, b, upserts, removals); err != nil {
		// What fails here leaves a transaction that the database ends with its connection.
		_ = tx.Rollback()
		return nil, redstart.NotApplied, err
	}
	if err := tx.Commit(); err != nil {
		return nil, redstart.Unknown, fmt.Errorf("commit: %w", err)
	}
	return refused, redstart.Applied, nil
}

func readCommitted(ctx context.Context, db *sql.DB) (*sql.Tx, func(), error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	return tx, func() {}, err
}

func (s *Sink[K, V]) write(ctx context.Context, tx *sql.Tx, b journal.Batch[K, V], upserts, removals []record) ([]journal.Refused, error) {
	if err := s.fences.lock(ctx, tx, b.Journal, b.Partition, b.Token); err != nil {
		return nil, err
	}
	var all []journal.Refused
	for _, part := range []struct {
		records []record
		write   func(context.Context, *sql.Tx, []record) ([]journal.Refused, error)
	}{{upserts, s.dialect.upsert}, {removals, s.dialect.remove}} {
		if len(part.records) == 0 {
			continue
		}
		refused, err := part.write(ctx, tx, part.records)
		if err != nil {
			return nil, err
		}
		all = append(all, refused...)
	}
	slices.SortFunc(all, func(a, b journal.Refused) int { return cmp.Compare(a.Index, b.Index) })
	return all, nil
}

// records makes rows of the changes, sorted by key so that no two batches can wait
// for each other's rows.
func (s *Sink[K, V]) records(changes []journal.Change[K, V]) (upserts, removals []record, err error) {
	width := len(s.columns)
	cells := make([]any, 0, len(changes)*width) // one array for all rows
	upserts = make([]record, 0, len(changes))
	for i, change := range changes {
		from := len(cells)
		cells, err = s.row(cells, change)
		r := record{index: i, values: cells[from:len(cells):len(cells)], version: change.Version}
		if err == nil {
			err = s.dialect.prepare(r)
		}
		switch {
		case err != nil:
			return nil, nil, &journal.RecordError{Index: i, Err: err}
		case change.Deleted:
			removals = append(removals, r)
		default:
			upserts = append(upserts, r)
		}
	}
	byKey := func(a, b record) int {
		for i := range s.keys {
			if c := compareValues(a.values[i], b.values[i]); c != 0 {
				return c
			}
		}
		return 0
	}
	slices.SortFunc(upserts, byKey)
	slices.SortFunc(removals, byKey)
	return upserts, removals, nil
}

// row appends the values of a change, as a driver takes them.
func (s *Sink[K, V]) row(cells []any, change journal.Change[K, V]) ([]any, error) {
	id := s.cfg.ID(change.ID)
	if len(id) != s.keys {
		return cells, fmt.Errorf("id: %d values for %d columns", len(id), s.keys)
	}
	var others []any
	if !change.Deleted && s.cfg.Row != nil {
		var err error
		if others, err = s.cfg.Row(change.ID, change.Value); err != nil {
			return cells, journal.Permanent(fmt.Errorf("row: %w", err))
		}
		if len(others) != len(s.cfg.Columns) {
			return cells, fmt.Errorf("row: %d values for %d columns", len(others), len(s.cfg.Columns))
		}
	}
	for i, values := range [][]any{id, others} {
		for j, v := range values {
			v, err := plain(v)
			if err == nil && v == nil && i == 0 {
				err = errors.New("NULL in a key")
			}
			if err != nil {
				return cells, journal.Permanent(fmt.Errorf("column %s: %w", s.columns[i*s.keys+j], err))
			}
			cells = append(cells, v)
		}
	}
	return append(cells, change.Version), nil
}

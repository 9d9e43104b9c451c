package journal

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/record"
	"github.com/redstart-go/redstart/internal/room"
)

// settle takes out of the log what the sink has, or had. What the sink refused
// since it holds something later is judged first.
func (f *flusher[K, V]) settle(group []*item[V], refused []Refused) error {
	applied := group
	if len(refused) > 0 {
		var err error
		if applied, err = f.judge(group, refused); err != nil {
			return err
		}
	}
	const atOnce = 5000 // records in one script
	for len(applied) > 0 {
		n, records := 0, 0
		for n < len(applied) && n < 1000 && (n == 0 || records+len(applied[n].records) <= atOnce) {
			records += len(applied[n].records)
			n++
		}
		if err := f.settleSome(applied[:n]); err != nil {
			return err
		}
		applied = applied[n:]
	}
	return nil
}

// settleSome is the script for some items.
func (f *flusher[K, V]) settleSome(some []*item[V]) error {
	named := make([]string, 0, 2*len(some))
	var all []record.Record
	for _, it := range some {
		named = append(named, it.raw, it.last().Name())
		all = append(all, it.records...)
	}
	if err := f.remove(len(some), named, all); err != nil {
		return err
	}
	for _, it := range some {
		f.drop(it)
	}
	f.stats.applied.Add(uint64(len(some)))
	f.stats.superseded.Add(uint64(len(all) - len(some)))
	return nil
}

// over are records of an id for which a later one stands: that of the version, or
// one after it.
type over struct {
	raw     string
	stands  int64
	records []record.Record
}

// settleOver takes out of the log what later changes stand for, as long as these
// are there.
func (f *flusher[K, V]) settleOver(all ...over) error {
	for len(all) > 0 {
		n := 0
		var named []string
		var records []record.Record
		for n < len(all) && n < 1000 && (n == 0 || len(records)+len(all[n].records) <= 5000) {
			named = append(named, all[n].raw, strconv.FormatInt(all[n].stands, 10))
			records = append(records, all[n].records...)
			n++
		}
		if err := f.remove(0, named, records); err != nil {
			return err
		}
		f.stats.superseded.Add(uint64(len(records)))
		all = all[n:]
	}
	return nil
}

// remove runs the settle script, until it is known to have run or the partition
// is lost: what has been applied must not be forgotten.
func (f *flusher[K, V]) remove(applied int, named []string, all []record.Record) error {
	bytes, nonces := 0, strings.Builder{}
	for _, r := range all {
		bytes += r.Size
		nonces.WriteString(r.Nonce)
	}
	args := append(make([]string, 0, 6+len(named)+len(all)), f.token, strconv.FormatInt(f.p.seen.Load(), 10),
		strconv.Itoa(bytes), nonces.String(), strconv.Itoa(applied), strconv.Itoa(len(named)/2))
	args = append(args, named...)
	for _, r := range all {
		args = append(args, r.Place())
	}
	n, err := f.insist(func(ctx context.Context) (int64, error) { return f.ask(ctx, settleScript, f.p.settle, args) })
	if err == nil && n == fenced {
		return errFenced
	}
	f.stale = f.stale || n != int64(len(all))
	f.p.room.Made()
	return err
}

// fenced is what scripts say to an old token.
const fenced = -1

// insist repeats what the server did not answer, while the partition is ours.
func (f *flusher[K, V]) insist(do func(ctx context.Context) (int64, error)) (int64, error) {
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(f.o.Ctx, f.client.Config().Timeout)
		n, err := do(ctx)
		cancel()
		if err == nil {
			return n, nil
		}
		if f.o.Ctx.Err() != nil || errors.Is(err, errCrash) || errors.Is(err, redstart.ErrClosed) || room.Sleep(f.o.Ctx, f.backoff(tries), nil) != nil {
			return 0, &serverError{err}
		}
	}
}

// errCrash is a test's end of a flusher.
var errCrash = errors.New("crashed")

// judge says what becomes of changes that the sink refused, and gives those of
// the group that are settled by it.
//
// The sink has a later version, and so has the journal: that one stands for both.
// It has a later one and the journal has not: the server lost what it had
// acknowledged (a failover), and what is newest there is what counts from now on.
// It gets a version above the sink's. So does a change whose very version the sink
// has: most often it was applied before and the answer was lost, and is then
// written once more; but after a failover the version may be another change's.
func (f *flusher[K, V]) judge(group []*item[V], refused []Refused) ([]*item[V], error) {
	again := map[int]bool{}
	for _, r := range refused {
		it := group[r.Index]
		if again[r.Index] {
			continue
		}
		f.p.saw(min(r.Stored, maxVersion))
		args := []string{f.token, it.raw, strconv.FormatInt(it.version(), 10), it.last().Nonce, strconv.FormatInt(r.Stored, 10)}
		n, err := f.insist(func(ctx context.Context) (int64, error) { return f.ask(ctx, restampScript, f.p.restamp, args) })
		switch {
		case err != nil:
			return nil, err
		case n == fenced:
			return nil, errFenced
		case n == 0: // something later stands for it
			again[r.Index] = true
			if err := f.settleOver(over{it.raw, it.version() + 1, it.records}); err != nil {
				return nil, err
			}
			f.drop(it)
			continue
		case n == forgotten: // what is in the log is to be read anew
			again[r.Index], f.stale = true, true
			continue
		case n == tooHigh:
			again[r.Index] = true
			if err := f.blame(it, Permanent(errTooHigh), true); err != nil {
				return nil, err
			}
			continue
		}
		// It will be read again, at its new place.
		again[r.Index] = true
		f.stats.restamped.Add(1)
		if older := it.records[:len(it.records)-1]; len(older) > 0 {
			if err := f.settleOver(over{it.raw, n, older}); err != nil {
				return nil, err
			}
		}
		f.drop(it)
	}
	if len(again) == 0 {
		return group, nil
	}
	left := make([]*item[V], 0, len(group))
	for i, it := range group {
		if !again[i] {
			left = append(left, it)
		}
	}
	return left, nil
}

const (
	tooHigh    = -2
	forgotten  = -3
	maxVersion = 1<<53 - 1
)

var errTooHigh = errors.New("the sink holds a version that no later one can exceed")

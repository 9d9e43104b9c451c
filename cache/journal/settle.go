package journal

import (
	"context"
	"errors"
	"strconv"
	"strings"

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
	var all []record
	for _, it := range some {
		named = append(named, it.raw, strconv.FormatInt(it.version(), 10))
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

// settleOver takes out of the log what later changes stand for.
func (f *flusher[K, V]) settleOver(over []record) error {
	for len(over) > 0 {
		n := min(len(over), 5000)
		if err := f.remove(0, nil, over[:n]); err != nil {
			return err
		}
		f.stats.superseded.Add(uint64(n))
		over = over[n:]
	}
	return nil
}

// remove runs the settle script, until it is known to have run or the partition
// is lost: what has been applied must not be forgotten.
func (f *flusher[K, V]) remove(applied int, named []string, all []record) error {
	bytes, nonces := 0, strings.Builder{}
	for _, r := range all {
		bytes += r.size
		nonces.WriteString(r.nonce)
	}
	args := append(make([]string, 0, 6+len(named)+len(all)), f.token, strconv.FormatInt(f.p.seen.Load(), 10),
		strconv.Itoa(bytes), nonces.String(), strconv.Itoa(applied), strconv.Itoa(len(named)/2))
	args = append(args, named...)
	for _, r := range all {
		args = append(args, strconv.FormatInt(r.version, 10))
	}
	n, err := f.insist(func(ctx context.Context) (int64, error) { return f.ask(ctx, settleScript, f.p.settle, args) })
	if err == nil && n == fenced {
		return errFenced
	}
	f.p.room.Made()
	return err
}

// fenced is what scripts say to an old token.
const fenced = -1

// insist repeats what the server did not answer, while the partition is ours.
func (f *flusher[K, V]) insist(do func(ctx context.Context) (int64, error)) (int64, error) {
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(f.o.ctx, f.client.Config().Timeout)
		n, err := do(ctx)
		cancel()
		if err == nil {
			return n, nil
		}
		if f.o.ctx.Err() != nil || errors.Is(err, errCrash) || room.Sleep(f.o.ctx, f.backoff(tries), nil) != nil {
			return 0, &serverError{err}
		}
	}
}

// errCrash is a test's end of a flusher.
var errCrash = errors.New("crashed")

// judge says what becomes of changes that the sink refused, and gives those of
// the group that are settled by it.
//
// The sink has the very version: it was applied before, and the answer was lost.
// It has a later one, and so has the journal: that one stands for both. It has a
// later one and the journal has not: the server lost what it had acknowledged (a
// failover), and what is newest there is what counts from now on. It gets a
// version above the sink's.
func (f *flusher[K, V]) judge(group []*item[V], refused []Refused) ([]*item[V], error) {
	again := map[int]bool{}
	for _, r := range refused {
		it := group[r.Index]
		if r.Stored == it.version() || again[r.Index] {
			continue
		}
		f.p.saw(min(r.Stored, maxVersion))
		args := []string{f.token, it.raw, strconv.FormatInt(it.version(), 10), strconv.FormatInt(r.Stored, 10)}
		n, err := f.insist(func(ctx context.Context) (int64, error) { return f.ask(ctx, restampScript, f.p.restamp, args) })
		switch {
		case err != nil:
			return nil, err
		case n == fenced:
			return nil, errFenced
		case n == 0: // something later stands for it
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
		if over := it.records[:len(it.records)-1]; len(over) > 0 {
			if err := f.settleOver(over); err != nil {
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
	maxVersion = 1<<53 - 1
)

var errTooHigh = errors.New("the sink holds a version that no later one can exceed")

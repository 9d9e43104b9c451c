package journal

import (
	"context"
	"errors"
	"iter"
	"regexp"
	"strconv"
	"time"

	"github.com/redstart-go/redstart/internal/record"
)

// DeadLetter is a change that the sink would not take. The key's later changes
// go their own way, with versions of their own; what is cached of the key was
// removed with it, so that reads have what the source has.
type DeadLetter[K comparable, V any] struct {
	Change[K, V]           // as far as it can be read
	Ref          string    // for Replay and Drop
	Reason       string    // the sink's error, cut to 256 bytes
	Attempts     int       // that were counted
	Since        time.Time // by the server's clock
	Entry        []byte    // as it was stored
}

// bury moves an item to the dead letters. False: there is no room for it.
func (f *flusher[K, V]) bury(it *item[V], cause error) (bool, error) {
	if n := len(it.records) - 1; n > 0 {
		if err := f.settleOver(over{it.raw, it.version(), it.records[:n]}); err != nil {
			return false, err
		}
		it.records = append([]record.Record(nil), it.records[n:]...)
	}
	entry := f.entryOf(f.p, it.raw)
	last := it.last()
	keys := []string{f.p.state, f.p.log, f.p.newest, f.p.dead, f.p.deadOf, entry, f.p.left}
	args := []string{f.token, it.raw, last.Place(), strconv.Itoa(last.Size), strconv.Itoa(it.attempts), record.Reason(cause), strconv.Itoa(f.cfg.MaxDead)}
	n, err := f.insist(func(ctx context.Context) (int64, error) { return f.ask(ctx, buryScript, keys, args) })
	switch {
	case err != nil:
		return false, err
	case n == fenced:
		return false, errFenced
	case n == noRoom:
		return false, nil
	}
	f.drop(it)
	f.stats.dead.Add(1)
	f.p.room.Made()
	f.notify("dead", errDead)
	return true, nil
}

const noRoom = -2

// entryOf is the key of an id's entry; of one that cannot be read, a key that is
// never there.
func (j *Journal[K, V]) entryOf(p *partition, raw string) string {
	if id, err := j.cfg.IDs.Decode([]byte(raw)); err == nil {
		if k, err := j.key(id); err == nil {
			return k
		}
	}
	return p.dead + "-none"
}

// errDead is all that events say of the sink's error, which may hold values.
var errDead = errors.New("the sink would not take a change; see DeadLetters")

// DeadLetters gives the changes that the sink would not take, partition by
// partition, the oldest of each first, a hundred to a round trip. One that can no
// longer be read comes with an error; another error ends it.
func (j *Journal[K, V]) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter[K, V], error] {
	return func(yield func(DeadLetter[K, V], error) bool) {
		for _, p := range j.partitions {
			for from := "-"; ; {
				entries, err := j.client.Do(ctx, j.client.B().Xrange().Key(p.dead).Start(from).End("+").Count(readAtOnce).Build()).AsXRange()
				if err != nil {
					yield(DeadLetter[K, V]{}, j.fail("list dead letters", "", err))
					return
				}
				for i := range entries {
					if !yield(j.letter(p, entries[i].ID, entries[i].FieldValues)) {
						return
					}
				}
				if len(entries) < readAtOnce {
					break
				}
				from = "(" + entries[len(entries)-1].ID
			}
		}
	}
}

// letter reads a dead letter.
func (j *Journal[K, V]) letter(p *partition, place string, fields map[string]string) (d DeadLetter[K, V], err error) {
	d.Ref = strconv.Itoa(p.number) + "/" + place
	d.Reason, d.Entry = fields["e"], []byte(fields["v"])
	d.Attempts, _ = strconv.Atoi(fields["a"])
	d.Version, _ = strconv.ParseInt(fields["n"], 10, 64)
	d.Since = time.UnixMilli(record.Of(place, "", "").Version)
	if d.ID, err = j.cfg.IDs.Decode([]byte(fields["k"])); err != nil {
		return d, j.refused("read dead letter", errID)
	}
	if d.Value, d.Deleted, err = j.cache.Open(d.Entry); err != nil {
		return d, j.refused("read dead letter", errEntry)
	}
	return d, nil
}

// Replayed says what became of dead letters.
type Replayed struct {
	Again      int // pending again, as the newest changes of their keys
	Superseded int // given up, since a later change of the key was acknowledged
	Gone       int // not there (any more)
}

// Replay brings dead letters back into the journal, with new versions, behind
// whatever made the sink refuse them. A letter of a key that has had a later
// change is given up instead: it would undo that one. Each costs a read and a
// script; an error tells how far it came.
func (j *Journal[K, V]) Replay(ctx context.Context, refs ...string) (Replayed, error) {
	var r Replayed
	for _, ref := range refs {
		n, err := j.unbury(ctx, ref, "0")
		if err != nil {
			return r, j.fail("replay", "", err)
		}
		switch n {
		case 1:
			r.Again++
		case 2:
			r.Superseded++
		default:
			r.Gone++
		}
	}
	return r, nil
}

// Drop gives dead letters up for good, and says how many there were.
func (j *Journal[K, V]) Drop(ctx context.Context, refs ...string) (int, error) {
	dropped := 0
	for _, ref := range refs {
		n, err := j.unbury(ctx, ref, "1")
		if err != nil {
			return dropped, j.fail("drop", "", err)
		}
		if n == 3 {
			dropped++
		}
	}
	return dropped, nil
}

func (j *Journal[K, V]) unbury(ctx context.Context, ref, drop string) (int64, error) {
	parts := refs.FindStringSubmatch(ref)
	if parts == nil {
		return 0, j.refused("dead letter", errRef)
	}
	n, _ := strconv.Atoi(parts[1])
	if n >= len(j.partitions) {
		return 0, j.refused("dead letter", errRef)
	}
	place := parts[2]
	p := j.partitions[n]
	entries, err := j.client.Do(ctx, j.client.B().Xrange().Key(p.dead).Start(place).End(place).Build()).AsXRange()
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	raw := entries[0].FieldValues["k"]
	entry := j.entryOf(p, raw)
	keys := []string{p.state, p.log, p.newest, p.dead, p.deadOf, entry}
	return j.ask(ctx, unburyScript, keys, []string{place, raw, drop})
}

// refs are how dead letters are named: a partition and a place in its stream.
var refs = regexp.MustCompile(`^(\d{1,4})/(\d{1,19}-\d{1,19})$`)

var errRef = errors.New("that is not the Ref of a dead letter")

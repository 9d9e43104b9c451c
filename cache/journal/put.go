package journal

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/record"
	"github.com/redstart-go/redstart/internal/room"
)

// Put stores a value in the cache and notes it in the journal, in one script and
// one round trip: when it has returned nil, Get gives the value, and no death of
// any process keeps it from the sink. Of several Puts of one id the sink ends
// with the one that the server took last.
//
// A Put whose reply was lost is sent again and finds that it was written. When it
// fails, OutcomeOf says whether it was: ErrFull and ErrTooLarge surely not; a
// context that ended, or a server that went away, in the middle is Unknown. At a
// bound see Config.AtBound; while the server is away it waits for the client's
// Timeout, then fails.
func (j *Journal[K, V]) Put(ctx context.Context, id K, v V) error {
	return j.write(ctx, "put", cache.By[K, V]{ID: id, Result: cache.Result[V]{Value: v}})
}

// PutResult is Put with a TTL and tags of the entry's own.
func (j *Journal[K, V]) PutResult(ctx context.Context, id K, r cache.Result[V]) error {
	return j.write(ctx, "put", cache.By[K, V]{ID: id, Result: r})
}

// Delete makes the id absent: at once for readers, behind their backs in the
// sink. It is a Put of nothing, in order with all others, and costs and promises
// what Put does.
func (j *Journal[K, V]) Delete(ctx context.Context, id K) error {
	return j.write(ctx, "delete", cache.By[K, V]{ID: id, Absent: true})
}

func (j *Journal[K, V]) write(ctx context.Context, op string, by cache.By[K, V]) error {
	p, raw, err := j.place(by.ID)
	if err != nil {
		return j.refused(op, err)
	}
	one := [1]cache.By[K, V]{by}
	err = j.cache.SetManyBy(ctx, one[:], func(ctx context.Context, made []cache.By[K, V]) error {
		w := newWriting(p, 1)
		w.add(raw, made[0].Key, made[0].Entry, made[0].TTL)
		return j.append(ctx, w)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cache.ErrTooLarge):
		return j.refused(op, ErrTooLarge)
	default:
		return j.fail(op, one[0].Key, err)
	}
}

// refused is the error of a call that has written nothing.
func (j *Journal[K, V]) refused(op string, err error) error {
	return &redstart.Error{Op: "redstart/journal: " + op, Template: j.name, Outcome: redstart.NotApplied, Err: err}
}

// writing is one script: entries of one partition.
type writing struct {
	p          *partition
	keys, args []string
	bytes      int
}

const (
	head = 5 // arguments before the entries'
	each = 4 // of each entry
)

func newWriting(p *partition, n int) *writing {
	w := &writing{p: p, keys: make([]string, len(p.put), len(p.put)+n), args: make([]string, head, head+each*n)}
	copy(w.keys, p.put)
	return w
}

func (w *writing) len() int { return len(w.keys) - len(w.p.put) }

func (w *writing) add(raw, key, entry string, ttl time.Duration) {
	w.keys = append(w.keys, key)
	w.args = append(w.args, raw, entry, millis(ttl), record.Nonce())
	w.bytes += record.Size(raw, entry)
}

// millis is a TTL in whole milliseconds, at least one unless it is zero.
func millis(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// What the put script says instead of a version.
const (
	isFull   = -1
	notKnown = -2
)

// retryWithin is how long after it was first sent a put may be sent again: what
// left the log is remembered for twice that.
const retryWithin = 10 * time.Second

var errNotKnown = errors.New("the reply was lost, and whether it was written can no longer be told")

// limits are what scripts are told of the bounds, for a partition.
func (j *Journal[K, V]) limits() (l [2][]string) {
	n := int64(len(j.partitions))
	records, bytes := (max(int64(j.cfg.MaxRecords), 0)+n-1)/n, (max(j.cfg.MaxBytes, 0)+n-1)/n
	text := func(v int64) string { return strconv.FormatInt(v, 10) }
	l[0] = []string{text(records), text(bytes), text(max(j.cfg.MaxAge, 0).Microseconds())}
	if records > 0 {
		records += max(records/8, 1000)
	}
	if bytes > 0 {
		bytes += max(bytes/8, 1<<20)
	}
	l[1] = []string{text(records), text(bytes), "0"}
	return l
}

// append runs a writing until it is written, or surely will not be by this call.
func (j *Journal[K, V]) append(ctx context.Context, w *writing) error {
	if most := j.cfg.MaxBytes / int64(len(j.partitions)); most > 0 && int64(w.bytes) > most {
		return ErrTooLarge
	}
	p, direct, probing, blocked := w.p, 0, false, false
	pause := room.First
	defer func() {
		if probing {
			p.room.Leave()
		}
	}()
	for {
		copy(w.args, j.bounds[direct])
		version, err := j.send(ctx, w)
		switch {
		case err != nil && blocked && ctx.Err() != nil && redstart.OutcomeOf(err) == redstart.NotApplied:
			return j.full(err)
		case err != nil:
			return err
		case version == notKnown:
			return &redstart.Error{Op: "redstart/journal: append", Template: j.name, Outcome: redstart.Unknown, Err: errNotKnown}
		case version >= 0:
			p.saw(version)
			j.stats.puts.Add(uint64(w.len()))
			if direct == 1 {
				j.stats.direct.Add(1)
				return j.applied(ctx, p, version-int64(w.len())+1, version)
			}
			return nil
		case version != isFull:
			return errReply
		}
		if !blocked {
			blocked = true
			j.stats.blocked.Add(1)
		}
		switch {
		case j.cfg.AtBound == Refuse:
			return ErrFull
		case j.cfg.AtBound == WriteDirectly && direct == 0:
			direct = 1
			continue
		}
		if probing, err = p.room.Wait(ctx, probing, pause); err != nil {
			return j.full(err)
		}
		pause = min(pause*3/2, room.Most)
	}
}

// full is the end of a wait for room.
func (j *Journal[K, V]) full(err error) error {
	return j.refused("wait for room", errors.Join(ErrFull, err))
}

// send runs the script, again when its reply was lost. What fails after that is
// not known not to have been written, whatever the last attempt says of itself.
func (j *Journal[K, V]) send(ctx context.Context, w *writing) (version int64, err error) {
	begun := time.Now()
	w.args[4] = "0"
	for n := range attempts {
		w.args[3] = strconv.FormatInt(w.p.seen.Load(), 10)
		if j.cfg.Durability.waits() {
			version, err = w.p.commit.Run(ctx, w.keys, w.args, w.args[4] == "1")
		} else {
			version, err = j.exec(ctx, putScript, w.keys, w.args).AsInt64()
		}
		if err == nil || ctx.Err() != nil || n == attempts-1 || !lostReply(err) || errors.Is(err, ErrNotDurable) || time.Since(begun) > retryWithin {
			break
		}
		w.args[4] = "1"
		j.stats.repeated.Add(1)
	}
	if err = answered(err); w.args[4] == "1" && redstart.OutcomeOf(err) == redstart.NotApplied {
		err = &redstart.Error{Op: "redstart/journal: write again", Template: j.name, Outcome: redstart.Unknown, Err: err}
	}
	return version, err
}

// applied waits until the versions have left the log.
func (j *Journal[K, V]) applied(ctx context.Context, p *partition, from, to int64) error {
	first, last := strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)
	for pause := room.First; ; pause = min(pause*3/2, room.Most) {
		left, err := j.client.Do(ctx, j.client.B().Xrange().Key(p.log).Start(first).End(last).Count(1).Build()).AsXRange()
		if err == nil && len(left) == 0 {
			return nil
		}
		if ctx.Err() == nil {
			p.hurry()
			err = room.Sleep(ctx, room.Jitter(pause), p.room.Opened)
		}
		if ctx.Err() != nil {
			return errors.Join(ErrUnapplied, err)
		}
	}
}

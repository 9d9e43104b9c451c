package journal

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/room"
)

// Lag is what is pending, and what became of the rest. Of each partition the
// numbers are of one moment, at which
//
//	Acked = Applied + Superseded + Dropped + Dead + Records
type Lag struct {
	Records int64         // pending
	Bytes   int64         // of these
	Oldest  time.Duration // since the oldest of them was acknowledged
	Dead    int64         // dead letters

	// Since the journal's keys were made.
	Acked      int64 // records acknowledged
	Applied    int64 // that the sink has
	Superseded int64 // for which a later change of the same key stands
	Dropped    int64 // dead letters given up by Drop

	Flushers int // processes with a Run under way
	Unowned  int // partitions that none of them has
}

// Lag asks the server what is pending: a script for each partition, in one
// round trip a node.
func (j *Journal[K, V]) Lag(ctx context.Context) (Lag, error) {
	var l Lag
	all, err := j.lags(ctx)
	if err != nil {
		return l, j.fail("lag", "", err)
	}
	for _, n := range all {
		l.Records, l.Bytes, l.Dead = l.Records+n[lagRecords], l.Bytes+n[lagBytes], l.Dead+n[lagDead]
		l.Acked, l.Applied = l.Acked+n[lagAcked], l.Applied+n[lagApplied]
		l.Superseded, l.Dropped = l.Superseded+n[lagOver], l.Dropped+n[lagDropped]
		if n[lagRecords] > 0 {
			l.Oldest = max(l.Oldest, time.Duration(n[lagNow]-n[lagOldest])*time.Microsecond)
		}
		if n[lagOwned] == 0 {
			l.Unowned++
		}
	}
	if l.Flushers, err = j.flushers(ctx); err != nil {
		return l, j.fail("lag", "", err)
	}
	return l, nil
}

// What the lag script says.
const (
	lagNow = iota
	lagRecords
	lagBytes
	lagOldest
	lagDead
	lagAcked
	lagApplied
	lagOver
	lagDropped
	lagLast
	lagOwned
	lagFields
)

func (j *Journal[K, V]) lags(ctx context.Context) ([][]int64, error) {
	commands := make(rueidis.Commands, len(j.partitions))
	for i, p := range j.partitions {
		commands[i] = lagScript.Command(j.client, p.lag, nil)
	}
	all := make([][]int64, len(commands))
	for i, r := range j.client.DoMulti(ctx, commands...) {
		n, err := r.AsIntSlice()
		if err == nil && len(n) != lagFields {
			err = errReply
		}
		if err != nil {
			return nil, answered(err)
		}
		all[i] = n
	}
	return all, nil
}

// flushers is how many processes flush.
func (j *Journal[K, V]) flushers(ctx context.Context) (int, error) {
	now, err := j.client.Do(ctx, j.client.B().Time().Build()).AsIntSlice()
	if err != nil || len(now) != 2 {
		return 0, err
	}
	after := strconv.FormatInt(now[0]*1e6+now[1], 10)
	n, err := j.client.Do(ctx, j.client.B().Zcount().Key(j.members).Min(after).Max("+inf").Build()).AsInt64()
	return int(n), err
}

// Flush waits until all that was acknowledged before it has been applied, or has
// gone to the dead letters, by whichever processes run flushers; these are told
// not to wait for more. ErrNoFlusher says that none does. It looks every 5 to
// 50 ms, in one round trip a node.
func (j *Journal[K, V]) Flush(ctx context.Context) error {
	var targets []int64
	for pause := room.First; ; pause = min(pause*3/2, room.Most/2) {
		all, err := j.lags(ctx)
		if err != nil {
			return j.fail("flush", "", err)
		}
		if targets == nil {
			targets = make([]int64, len(all))
			for i, n := range all {
				targets[i] = n[lagLast]
			}
		}
		left, orphans := 0, false
		for i, n := range all {
			if n[lagRecords] == 0 || n[lagOldest] > targets[i] {
				continue
			}
			left++
			orphans = orphans || n[lagOwned] == 0
			p := j.partitions[i]
			if err := j.client.Do(ctx, j.client.B().Hset().Key(p.state).FieldValue().FieldValue("flush", strconv.FormatInt(targets[i], 10)).Build()).Error(); err != nil {
				return j.fail("flush", "", err)
			}
			p.hurry()
		}
		if left == 0 {
			return nil
		}
		if orphans && j.stats.runs.Load() == 0 {
			n, err := j.flushers(ctx)
			if err == nil && n == 0 {
				err = ErrNoFlusher
			}
			if err != nil {
				return j.fail("flush", "", err)
			}
		}
		if err := room.Sleep(ctx, room.Jitter(pause), nil); err != nil {
			return j.refused("flush", err)
		}
	}
}

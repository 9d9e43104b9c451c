package journal

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/record"
)

// How PutMany divides what it reads: into windows, of which each is written
// before the next is read, and these into scripts of one partition.
const (
	window      = 1024
	windowBytes = 4 << 20
	perScript   = 64
	scriptBytes = 256 << 10
	scripts     = 16 // under way at once
)

// PutMany is Put for each pair, of which there may be any number: up to 64 of a
// partition travel in one script, which costs far less than 64 Puts. It reads a
// thousand ahead of what is written. An id that occurs twice has its last value.
//
// The error is a cache.Errors with those that failed, each with its own Outcome;
// when ctx ends before values does, its error stands beside it.
func (j *Journal[K, V]) PutMany(ctx context.Context, values iter.Seq2[K, V]) error {
	failed := cache.Errors[K]{}
	at := map[K]int{}
	var some []cache.By[K, V]
	for id, v := range values {
		if i, twice := at[id]; twice {
			some[i].Result.Value = v
			continue
		}
		at[id] = len(some)
		some = append(some, cache.By[K, V]{ID: id, Result: cache.Result[V]{Value: v}})
		if len(some) == window {
			j.writeMany(ctx, some, failed)
			clear(at)
			some = some[:0]
		}
		if err := ctx.Err(); err != nil {
			for i := range some {
				failed[some[i].ID] = j.refused("put", err)
			}
			return errors.Join(failed.OrNil(), j.refused("put", err))
		}
	}
	j.writeMany(ctx, some, failed)
	return failed.OrNil()
}

// writeMany writes a window.
func (j *Journal[K, V]) writeMany(ctx context.Context, some []cache.By[K, V], failed cache.Errors[K]) {
	type group struct {
		p   *partition
		of  []cache.By[K, V]
		raw []string
	}
	groups := map[int]*group{}
	for i := range some {
		p, raw, err := j.place(some[i].ID)
		if err != nil {
			failed[some[i].ID] = j.refused("put", err)
			continue
		}
		g := groups[p.number]
		if g == nil {
			g = &group{p: p}
			groups[p.number] = g
		}
		g.of, g.raw = append(g.of, some[i]), append(g.raw, raw)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	free := make(chan struct{}, scripts)
	for _, g := range groups {
		all.Go(func() { // the scripts of a partition one after the other
			free <- struct{}{}
			defer func() { <-free }()
			for at := 0; at < len(g.of); {
				end := min(at+j.perScript(), len(g.of))
				n, err := j.writeSome(ctx, g.p, g.of[at:end], g.raw[at:end])
				if err != nil {
					mu.Lock()
					for _, b := range g.of[at : at+n] {
						failed[b.ID] = j.fail("put", b.Key, err)
					}
					mu.Unlock()
				}
				at += n
			}
		})
	}
	all.Wait()
}

// perScript is how many records a script may have.
func (j *Journal[K, V]) perScript() int {
	if most := j.cfg.MaxRecords / len(j.partitions); most > 0 {
		return min(perScript, most)
	}
	return perScript
}

// writeSome writes the first of some entries, and says how many.
func (j *Journal[K, V]) writeSome(ctx context.Context, p *partition, some []cache.By[K, V], raw []string) (n int, err error) {
	most := scriptBytes
	if bound := j.cfg.MaxBytes / int64(len(j.partitions)); bound > 0 {
		most = int(min(int64(most), bound))
	}
	n = len(some)
	w := newWriting(p, n)
	err = j.cache.SetManyBy(ctx, some, func(ctx context.Context, made []cache.By[K, V]) error {
		for i := range made {
			if i > 0 && w.bytes+record.Size(raw[i], made[i].Entry) > most {
				n = i
				break
			}
			w.add(raw[i], made[i].Key, made[i].Entry, made[i].TTL)
		}
		return j.append(ctx, w)
	})
	if w.len() == 0 && len(some) > 1 { // one of them cannot be made: each by itself
		return j.writeSome(ctx, p, some[:1], raw[:1])
	}
	if errors.Is(err, cache.ErrTooLarge) {
		err = ErrTooLarge
	}
	return n, err
}

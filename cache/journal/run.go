package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/room"
)

// Run brings what is pending to the sink until ctx ends; then it finishes the
// calls that are under way, gives its partitions back and returns nil. What is
// pending stays so, for others. All processes may run it: each takes its share
// of the partitions, hands some over when another comes, and takes those of one
// that is gone, which costs Config.Lease at most. Failures of the sink and of the
// server do not end it; a closed client does.
func (j *Journal[K, V]) Run(ctx context.Context) error {
	if j.cfg.Sink == nil {
		return j.refused("run", errors.New("Config.Sink is missing"))
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	r := &runner[K, V]{Journal: j, me: hex.EncodeToString(b[:]), writers: make(chan struct{}, j.cfg.Writers), owned: map[int]*owner{}}
	j.stats.runs.Add(1)
	defer j.stats.runs.Add(-1)
	err := r.run(ctx)
	r.leave()
	return err
}

// runner is a Run: a member of those who flush.
type runner[K comparable, V any] struct {
	*Journal[K, V]
	me      string
	writers chan struct{} // calls of the sink under way
	owned   map[int]*owner
	claims  int
	work    sync.WaitGroup
}

func (r *runner[K, V]) run(ctx context.Context) error {
	changed := make(chan struct{}, 1) // a partition was given up
	for {
		pause := r.cfg.Lease / 3
		members, err := r.enlist(ctx, r.cfg.Lease)
		if errors.Is(err, redstart.ErrClosed) {
			return r.fail("run", "", err)
		}
		if err == nil && len(members) > 0 && !r.balance(ctx, members, changed) {
			pause = r.cfg.Lease / 10
		}
		if room.Sleep(ctx, room.Jitter(pause), changed) != nil {
			return nil //nolint:nilerr // the end of ctx is how it is to end
		}
	}
}

// enlist says that this process flushes, and gives all who do.
func (r *runner[K, V]) enlist(ctx context.Context, lease time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, max(r.cfg.Lease/3, minLease))
	defer cancel()
	return r.exec(ctx, membersScript, []string{r.members}, []string{r.me, millis(lease)}).AsStrSlice()
}

// balance takes and gives back partitions until this process has its share. False:
// it has less, since others have not given theirs back yet.
func (r *runner[K, V]) balance(ctx context.Context, members []string, changed chan struct{}) bool {
	for n, o := range r.owned {
		select {
		case <-o.gone:
			delete(r.owned, n)
		default:
		}
	}
	place := max(slices.Index(members, r.me), 0)
	share := len(r.partitions) / len(members)
	if place < len(r.partitions)%len(members) {
		share++
	}
	keeps := 0
	for _, o := range r.owned {
		if keeps++; keeps > share {
			o.Stop()
		}
	}
	for i := 0; i < len(r.partitions) && len(r.owned) < share && ctx.Err() == nil; i++ {
		p := r.partitions[(place*len(r.partitions)/len(members)+i)%len(r.partitions)]
		if r.owned[p.number] != nil {
			continue
		}
		r.claims++
		o, err := r.take(ctx, p, r.me+"."+strconv.Itoa(r.claims))
		if err != nil {
			break
		}
		if o == nil {
			continue
		}
		r.owned[p.number] = o
		r.stats.partitions.Add(1)
		r.work.Go(func() {
			defer func() {
				r.stats.partitions.Add(-1)
				close(o.gone)
				select {
				case changed <- struct{}{}:
				default:
				}
			}()
			r.flushing(o)
		})
	}
	return len(r.owned) >= share
}

// flushing is what is done with a partition for as long as this process has it.
func (r *runner[K, V]) flushing(o *owner) {
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(o) })
	f := newFlusher(r.Journal, o, r.writers)
	f.run()
	o.End(errGivenUp)
	renewing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), r.client.Config().Timeout)
	defer cancel()
	_, _ = r.ask(ctx, ownScript, o.p.own, []string{o.name, "0", "0", "0"}) // else it runs out
}

// leave ends what is under way, and says that this process flushes no more.
func (r *runner[K, V]) leave() {
	for _, o := range r.owned {
		o.Stop()
	}
	r.work.Wait()
	_, _ = r.enlist(context.Background(), 0) // else it runs out
}

package journal

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/record"
	"github.com/redstart-go/redstart/internal/room"
)

// flusher brings a partition's changes to the sink. One goroutine has it.
type flusher[K comparable, V any] struct {
	*Journal[K, V]
	o       *owner
	p       *partition
	token   string
	writers chan struct{}

	cursor   int64               // the version up to which the log was read
	items    map[string]*item[V] // by id: what was read and is not settled
	ids      map[string]K
	fresh    int       // of items, those that may go at once
	waiting  int       // the others, that have failed
	gathered int       // records read since the last batch
	since    time.Time // when the first of these was read
	caught   bool      // the end of the log was reached
	stale    bool      // the log lacks what was read from it
	mark     int64     // a version that somebody waits for
	hurried  bool      // somebody in this process does
	failures int       // calls that failed as a whole, one after the other
	pause    time.Time // until which the sink has peace after them
}

// item is what is pending of a key.
type item[V any] struct {
	raw      string // the id's bytes
	value    V
	deleted  bool
	broken   error           // why the entry cannot be read
	records  []record.Record // all that were read, the last one is what counts
	failed   int             // calls that failed on it
	attempts int             // of these, those that count: others succeeded
	due      time.Time
	proven   uint64 // how often the sink had succeeded when it last failed
}

func (it *item[V]) last() record.Record { return it.records[len(it.records)-1] }
func (it *item[V]) version() int64      { return it.last().Version }

// readAtOnce is how many records a read asks for: more would make writers wait.
const readAtOnce = 100

// held is how many keys of a partition are in memory at most, most of them since
// they fail.
func (f *flusher[K, V]) held() int { return 10*f.cfg.BatchSize + 1000 }

func newFlusher[K comparable, V any](j *Journal[K, V], o *owner, writers chan struct{}) *flusher[K, V] {
	return &flusher[K, V]{
		Journal: j, o: o, p: o.p, token: strconv.FormatInt(o.token, 10), writers: writers,
		items: map[string]*item[V]{}, ids: map[string]K{},
	}
}

// errFenced: somebody else has the partition.
var errFenced = errors.New("somebody else has the partition")

// run works until the partition is lost or to be given back.
func (f *flusher[K, V]) run() {
	defer func() { f.stats.behind.Add(-int64(f.waiting)) }()
	for !f.o.Stopped() {
		more, err := f.read()
		if err == nil && f.ripe(more) {
			err = f.flush()
		}
		switch {
		case errors.Is(err, errFenced):
			f.stats.fenced.Add(1)
			return
		case more && err == nil:
			continue
		}
		f.wait()
	}
}

// wait sleeps until there may be something to do.
func (f *flusher[K, V]) wait() {
	d := max(min(f.cfg.BatchWait/10, 100*time.Millisecond), time.Millisecond)
	if f.fresh > 0 {
		d = min(d, max(time.Until(f.since.Add(f.cfg.BatchWait)), 0))
	}
	t := time.NewTimer(room.Jitter(d))
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.p.poke:
		f.hurried = true
	case <-f.o.Stopping():
	case <-f.o.Ctx.Done():
	}
}

// read takes the next records out of the log; more says that there may be others.
func (f *flusher[K, V]) read() (more bool, err error) {
	if f.stale {
		f.reset()
	}
	if len(f.items) >= f.held() || f.fresh >= f.cfg.BatchSize {
		return false, nil
	}
	if f.step != nil {
		if err := f.step("journal/read before"); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithTimeout(f.o.Ctx, f.client.Config().Timeout)
	defer cancel()
	b := f.client.B()
	results := f.client.DoMulti(ctx,
		b.Hmget().Key(f.p.state).Field("token", "flush").Build(),
		b.Xlen().Key(f.p.log).Build(),
		b.Xrange().Key(f.p.log).Start(strconv.FormatInt(f.cursor+1, 10)).End("+").Count(readAtOnce).Build())
	state, err := results[0].AsStrSlice()
	pending, err2 := results[1].AsInt64()
	entries, err3 := results[2].AsXRange()
	if err := errors.Join(err, err2, err3); err != nil {
		return false, err
	}
	n := len(entries)
	if len(state) != 2 || state[0] != f.token {
		return false, errFenced
	}
	f.mark, _ = strconv.ParseInt(state[1], 10, 64)
	if !f.caught && n > 0 {
		if entries, err = f.live(ctx, entries); err != nil {
			return false, err
		}
	}
	for i := range entries {
		f.gather(&entries[i])
	}
	f.caught = f.caught || n < readAtOnce
	if n < readAtOnce && int(pending) > f.records() {
		f.reset()
		return true, nil
	}
	return n == readAtOnce, f.thin()
}

// live gives those of the first records that are read which are the newest of
// their keys; the others are taken out. In one history the log needs no such look,
// since older records leave it first. But a flusher before, or this one before a
// reset, may have missed one that a failover gave a version below its cursor.
func (f *flusher[K, V]) live(ctx context.Context, entries []rueidis.XRangeEntry) ([]rueidis.XRangeEntry, error) {
	ids := make([]string, len(entries))
	for i := range entries {
		ids[i] = entries[i].FieldValues["k"]
	}
	newest, err := f.client.Do(ctx, f.client.B().Hmget().Key(f.p.newest).Field(ids...).Build()).AsStrSlice()
	if err != nil {
		return nil, err
	}
	left := entries[:0:0]
	var none []record.Record
	var later []over
	for i := range entries {
		e := &entries[i]
		r := record.Of(e.ID, ids[i], e.FieldValues["v"])
		f.cursor = r.Version
		switch {
		case newest[i] == "":
			none = append(none, r)
		case !r.Named(newest[i]):
			later = append(later, over{ids[i], record.Version(newest[i]), []record.Record{r}})
		default:
			left = append(left, *e)
		}
	}
	if len(none) > 0 {
		if err := f.remove(0, nil, none); err != nil {
			return nil, err
		}
	}
	return left, f.settleOver(later...)
}

// records is how many records of the log are in memory.
func (f *flusher[K, V]) records() (n int) {
	for _, it := range f.items {
		n += len(it.records)
	}
	return n
}

// reset forgets what was read. It is what the log does not bear out: the server
// has lost a tail of it in a failover, and what came since has versions below the
// cursor, by a clock that is behind. The log is read anew.
func (f *flusher[K, V]) reset() {
	clear(f.items)
	clear(f.ids)
	f.cursor, f.fresh, f.gathered, f.stale, f.caught = 0, 0, 0, false, false
}

// gather notes a record as the last of its key.
func (f *flusher[K, V]) gather(e *rueidis.XRangeEntry) {
	raw, entry := e.FieldValues["k"], e.FieldValues["v"]
	r := record.Of(e.ID, raw, entry)
	f.cursor = r.Version
	f.p.saw(r.Version)
	it := f.items[raw]
	if it == nil {
		it = &item[V]{raw: raw}
		f.items[raw] = it
		if f.fresh++; f.fresh == 1 {
			f.since = time.Now()
		}
	}
	f.gathered++
	it.records = append(it.records, r)
	var err error
	it.value, it.deleted, it.broken = *new(V), false, nil
	if _, known := f.ids[raw]; !known {
		if f.ids[raw], err = f.cfg.IDs.Decode([]byte(raw)); err != nil {
			delete(f.ids, raw)
			it.broken = errID
			return
		}
	}
	if it.value, it.deleted, it.broken = f.cache.Open([]byte(entry)); it.broken != nil {
		it.broken = errEntry
	}
}

var (
	errID    = errors.New("Config.IDs cannot read the id")
	errEntry = errors.New("the entry was written by another codec, or for another shape of the type")
)

// thin settles what later changes of keys that wait stand for, so that a key that
// fails does not fill the log.
func (f *flusher[K, V]) thin() error {
	var all []over
	for _, it := range f.items {
		if !it.due.IsZero() && len(it.records) > 1 {
			n := len(it.records) - 1
			all = append(all, over{it.raw, it.version(), it.records[:n]})
			it.records = append([]record.Record(nil), it.records[n:]...)
		}
	}
	return f.settleOver(all...)
}

// ripe reports whether a batch is to go; more says that there is more to read,
// which it had better have.
func (f *flusher[K, V]) ripe(more bool) bool {
	now := time.Now()
	if now.Before(f.pause) || f.o.Stopped() {
		return false
	}
	if more && f.fresh < f.cfg.BatchSize && f.gathered < 10*f.cfg.BatchSize && now.Sub(f.since) < f.cfg.BatchWait {
		return false
	}
	hurried := f.hurried
	f.hurried = false
	if f.fresh > 0 && (hurried || f.fresh >= f.cfg.BatchSize || now.Sub(f.since) >= f.cfg.BatchWait) {
		return true
	}
	for _, it := range f.items {
		if it.due.IsZero() && it.records[0].Version <= f.mark || !it.due.IsZero() && !now.Before(it.due) {
			return true
		}
	}
	return false
}

// flush applies what may go, a batch of it.
func (f *flusher[K, V]) flush() error {
	select {
	case f.writers <- struct{}{}:
		defer func() { <-f.writers }()
	case <-f.o.Stopping():
		return nil
	case <-f.o.Ctx.Done():
		return nil
	}
	defer f.count()
	now := time.Now()
	fresh, late := make([]*item[V], 0, min(len(f.items), f.cfg.BatchSize)), []*item[V](nil)
	for _, it := range f.items {
		switch {
		case it.due.IsZero():
			fresh = append(fresh, it)
		case !now.Before(it.due):
			late = append(late, it)
		}
	}
	slices.SortFunc(fresh, func(a, b *item[V]) int { return cmp.Compare(a.records[0].Version, b.records[0].Version) })
	fresh = fresh[:min(len(fresh), f.cfg.BatchSize)]
	slices.SortFunc(fresh, func(a, b *item[V]) int { return cmp.Compare(a.version(), b.version()) })
	fresh, err := f.unreadable(fresh)
	if err == nil && len(fresh) > 0 {
		err = f.deliver(fresh)
	}
	for _, it := range late { // what has failed before goes alone
		if err != nil || f.o.Stopped() {
			break
		}
		if _, there := f.items[it.raw]; there {
			err = f.deliver([]*item[V]{it})
		}
	}
	return err
}

// count notes how many items may go at once.
func (f *flusher[K, V]) count() {
	waiting := 0
	for _, it := range f.items {
		if !it.due.IsZero() {
			waiting++
		}
	}
	f.stats.behind.Add(int64(waiting - f.waiting))
	f.waiting = waiting
	f.fresh, f.gathered = len(f.items)-waiting, 0
	f.since = time.Now()
}

// drop forgets an item that has been settled.
func (f *flusher[K, V]) drop(it *item[V]) {
	delete(f.items, it.raw)
	delete(f.ids, it.raw)
}

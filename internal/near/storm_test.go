package near

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// storm has readers and writers at work on a few keys while a fault goes on.
type storm struct {
	seed    uint64
	keys    int
	reader  *reader
	foreign rueidis.Client // another client's writes, which no fault touches
	evicts  bool
	flushes bool
	moves   bool // slots do, all the time: a write may fail

	histories []*history
	locks     []sync.Mutex // the changes of a key follow one another
	all       sync.RWMutex // FLUSHALL against them
}

// ownWrite sets a value unless a later version was written: an attempt whose
// reply was lost may run late.
var ownWrite = rueidis.NewLuaScript(`
local n = tonumber(ARGV[1])
if n <= tonumber(redis.call('GET', KEYS[2]) or '0') then return 0 end
redis.call('SET', KEYS[2], n)
if ARGV[2] == 'del' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], n) end
return 1`)

func newStorm(seed uint64, keys int, r *reader, foreign rueidis.Client) *storm {
	s := &storm{seed: seed, keys: keys, reader: r, foreign: foreign, locks: make([]sync.Mutex, keys)}
	start := time.Now()
	for range keys {
		s.histories = append(s.histories, &history{start: start})
	}
	return s
}

func (s *storm) random(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, purpose)) }

// run goes on while the fault does, and gives the checker's verdict.
func (s *storm) run(ctx context.Context, t *testing.T, fault func(ctx context.Context)) (total verdict) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { s.read(ctx, i, s.random(uint64(i)), 0) })
	}
	work.Go(func() { s.read(ctx, 4, s.random(4), s.keys-1) }) // has hits while others wait for a silent session
	for i := range 2 {
		work.Go(func() { s.writeForeign(ctx, t, s.random(uint64(100+i))) })
		work.Go(func() { s.writeOwn(ctx, s.random(uint64(200+i))) })
	}
	fault(ctx)
	stop()
	work.Wait()
	for _, h := range s.histories {
		h.evicts = s.evicts
		total.add(h.check(maxStale))
	}
	return total
}

// read reads, from the id first on, as fast as it gets hits.
func (s *storm) read(ctx context.Context, me int, rnd *rand.Rand, first int) {
	for n := 0; ctx.Err() == nil; n++ {
		id := first + rnd.IntN(s.keys-first)
		h := s.histories[id]
		began := h.now()
		v, absent, err := s.reader.get(ctx, id)
		if err == nil {
			h.read(read{me, int(v), absent, began, h.now()})
		}
		if n%8 == 0 || err != nil {
			pause(ctx, upTo(rnd, time.Millisecond))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *storm) hwm(id int) string { return "v:{" + strconv.Itoa(id) + "}" }

// change does one change of a key, whatever becomes of ctx.
func (s *storm) change(id int, absent, own bool, do func(version string) (applied bool, after time.Duration)) {
	s.all.RLock()
	defer s.all.RUnlock()
	s.locks[id].Lock()
	defer s.locks[id].Unlock()
	h := s.histories[id]
	version := h.begin(absent, own)
	if applied, after := do(strconv.Itoa(version)); applied {
		h.done(version, after)
	}
}

// writeForeign sets, deletes and lets expire by raw commands.
func (s *storm) writeForeign(ctx context.Context, t *testing.T, rnd *rand.Rand) {
	f, b := s.foreign, s.foreign.B()
	must := func(rs []rueidis.RedisResult) bool {
		for _, r := range rs {
			if err := r.Error(); err != nil {
				if !s.evicts && !s.moves {
					t.Errorf("a foreign write: %v", err)
				}
				return false
			}
		}
		return true
	}
	background := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		id := rnd.IntN(rnd.IntN(rnd.IntN(s.keys)+1) + 1) // some often, some seldom: a later message may hide that one was lost
		key := s.reader.key(id)
		kind := rnd.IntN(20)
		switch {
		case kind == 0 && s.flushes:
			s.flush(background, must)
		case kind < 2:
			s.change(id, true, false, func(v string) (bool, time.Duration) {
				return must(f.DoMulti(background, b.Set().Key(s.hwm(id)).Value(v).Build(), b.Del().Key(key).Build())), 0
			})
		case kind < 4:
			s.change(id, true, false, func(v string) (bool, time.Duration) {
				rs := f.DoMulti(background, b.Set().Key(s.hwm(id)).Value(v).Build(), b.Pexpire().Key(key).Milliseconds(20).Build())
				return must(rs), 22 * time.Millisecond
			})
		default:
			s.change(id, false, false, func(v string) (bool, time.Duration) {
				return must(f.DoMulti(background, b.Set().Key(s.hwm(id)).Value(v).Build(), b.Set().Key(key).Value(v).Build())), 0
			})
		}
		pause(ctx, upTo(rnd, 8*time.Millisecond))
	}
}

// set is one foreign write.
func (s *storm) set(ctx context.Context, t *testing.T, id int) {
	t.Helper()
	s.change(id, false, false, func(v string) (bool, time.Duration) {
		b := s.foreign.B()
		for _, r := range s.foreign.DoMulti(ctx, b.Set().Key(s.hwm(id)).Value(v).Build(), b.Set().Key(s.reader.key(id)).Value(v).Build()) {
			if err := r.Error(); err != nil {
				t.Error(err)
			}
		}
		return true, 0
	})
}

// flush deletes every key by FLUSHALL.
func (s *storm) flush(ctx context.Context, must func([]rueidis.RedisResult) bool) {
	s.all.Lock()
	defer s.all.Unlock()
	versions := make([]int, s.keys)
	for id, h := range s.histories {
		versions[id] = h.begin(true, false)
	}
	if must([]rueidis.RedisResult{s.foreign.Do(ctx, s.foreign.B().Flushall().Build())}) {
		for id, h := range s.histories {
			h.done(versions[id], 0)
		}
	}
}

// writeOwn writes by the client whose tier is under test, as a cache does: the
// key is forgotten before the writer is answered.
func (s *storm) writeOwn(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil {
		id := rnd.IntN((s.keys+1)/2) * 2 // those between only foreigners write
		kind, absent := "set", rnd.IntN(5) == 0
		if absent {
			kind = "del"
		}
		s.change(id, absent, true, func(v string) (bool, time.Duration) {
			doing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 300*time.Millisecond)
			defer cancel()
			err := ownWrite.Exec(doing, s.reader.client, []string{s.reader.key(id), s.hwm(id)}, []string{v, kind}).Error()
			s.reader.wrote(doing, id)
			return err == nil, 0
		})
		pause(ctx, upTo(rnd, 8*time.Millisecond))
	}
}

// raw is a client of another kind, far from all faults.
func raw(t *testing.T, addr ...string) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: addr, DisableCache: true, AlwaysPipelining: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// alive waits until the reader's tier keeps a value.
func alive(t *testing.T, r *reader, ids ...int) {
	t.Helper()
	for _, id := range ids {
		eventually(t, "the tier keeps a value", func() bool {
			_, _, err := r.get(t.Context(), id)
			_, ok := r.Get(id)
			return err == nil && ok
		})
	}
}

var _ multi = (*redstart.Client)(nil)

func upTo(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }

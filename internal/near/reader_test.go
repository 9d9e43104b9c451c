package near

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/wake"
)

const maxStale = 250 * time.Millisecond

// recipe is how a reader goes about it: as a cache does, or with one of the
// rules left out.
type recipe int

const (
	whole       recipe = iota
	lateMark           // the mark is set after the GET
	deafToOwn          // own writes do not dirty marks and remove values
	twoGETs            // of a key at a time, stored without a mark
	undying            // served without asking whether the session is alive
	otherConn          // read over the client's connections
	naiveRecipe        // a map with a TTL beside the server
)

// reader does with a Tier what a cache does, for keys that are numbers and hold
// their version.
type reader struct {
	*Tier[int, int64]
	recipe recipe
	client *redstart.Client // for all but the sessions
	prefix string
	turns  [32]chan struct{} // one GET of a key at a time

	mu    sync.Mutex
	naive map[int]naiveEntry
	hits  int
}

type naiveEntry struct {
	v      int64
	absent bool
	until  time.Time
}

// newReader makes one whose sessions may take another way to the server than
// its other commands do.
func newReader(t *testing.T, how recipe, sessions, client *redstart.Client, byPrefix bool) *reader {
	t.Helper()
	cfg := Config[int, int64]{Client: sessions, Channel: "near", MaxStale: maxStale, Items: 1000}
	if byPrefix {
		cfg.Prefixes = []string{"n:"}
	}
	tier, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{Tier: tier, recipe: how, client: client, prefix: "n:", naive: map[int]naiveEntry{}}
	for i := range r.turns {
		r.turns[i] = make(chan struct{}, 1)
	}
	return r
}

func (r *reader) key(id int) string { return r.prefix + "{" + strconv.Itoa(id) + "}" }

// hit is what is in the process.
func (r *reader) hit(id int) (v int64, absent, ok bool) {
	switch r.recipe {
	case naiveRecipe:
		r.mu.Lock()
		defer r.mu.Unlock()
		e, ok := r.naive[id]
		return e.v, e.absent, ok && time.Now().Before(e.until)
	case undying:
		it, ok := r.entries.GetIfPresent(id)
		if !ok || r.Now() >= it.until {
			return 0, false, false
		}
		return it.Value, it.Absent, true
	}
	it, ok := r.Get(id)
	if !ok {
		return 0, false, false
	}
	return it.Value, it.Absent, true
}

func (r *reader) get(ctx context.Context, id int) (v int64, absent bool, err error) {
	if v, absent, ok := r.hit(id); ok {
		r.count()
		return v, absent, nil
	}
	if r.recipe != twoGETs {
		select {
		case r.turns[id] <- struct{}{}:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
		defer func() { <-r.turns[id] }()
		if v, absent, ok := r.hit(id); ok {
			r.count()
			return v, absent, nil
		}
	}
	key := r.key(id)
	switch r.recipe {
	case naiveRecipe:
		return r.getNaive(ctx, id, key)
	case twoGETs, lateMark:
		return r.getUnmarked(ctx, id, key)
	}
	m := r.Mark(id, key)
	var read multi = r.client
	if m != nil {
		defer m.Drop() // nothing after Keep
		if s := m.Session(); s != nil && r.recipe != otherConn {
			v, absent, ttl, err := fetch(ctx, session{s}, key)
			if err == nil {
				m.Keep(v, absent, ttl, 0)
				return v, absent, nil
			}
			m.Drop()
			m = nil
		}
	}
	v, absent, ttl, err := fetch(ctx, read, key)
	if err == nil && m != nil {
		m.Keep(v, absent, ttl, 0)
	}
	return v, absent, err
}

func (r *reader) getNaive(ctx context.Context, id int, key string) (v int64, absent bool, err error) {
	v, absent, _, err = fetch(ctx, r.client, key)
	if err == nil {
		r.mu.Lock()
		r.naive[id] = naiveEntry{v, absent, time.Now().Add(2 * maxStale)}
		r.mu.Unlock()
	}
	return v, absent, err
}

// getUnmarked reads over the session without, or before, a mark.
func (r *reader) getUnmarked(ctx context.Context, id int, key string) (v int64, absent bool, err error) {
	s, l := r.at(key)
	if s == nil {
		v, absent, _, err = fetch(ctx, r.client, key)
		return v, absent, err
	}
	v, absent, ttl, err := fetch(ctx, session{s}, key)
	switch {
	case err != nil:
	case r.recipe == lateMark:
		if m := r.Mark(id, key); m != nil {
			m.Keep(v, absent, ttl, 0)
		}
	default:
		it := &Item[int64]{Value: v, Absent: absent, key: key, born: r.Now(), until: never, life: l}
		sh := r.shard(key)
		sh.mu.Lock()
		r.entries.Set(id, it)
		sh.held[key] = held[int, int64]{id, it}
		sh.mu.Unlock()
	}
	return v, absent, err
}

func (r *reader) count() {
	r.mu.Lock()
	r.hits++
	r.mu.Unlock()
}

// wrote ends an own write.
func (r *reader) wrote(ctx context.Context, id int) {
	if r.recipe != deafToOwn && r.recipe != naiveRecipe {
		r.Forget(r.key(id))
		r.Tell(ctx, r.key(id))
	}
}

// session reads over a wake.Session as over a client.
type session struct{ s *wake.Session }

func (s session) B() rueidis.Builder { return s.s.B() }
func (s session) Do(ctx context.Context, c rueidis.Completed) rueidis.RedisResult {
	return s.s.Do(ctx, c)[0]
}

func (s session) DoMulti(ctx context.Context, c ...rueidis.Completed) []rueidis.RedisResult {
	return s.s.Do(ctx, c...)
}

type multi interface {
	B() rueidis.Builder
	DoMulti(ctx context.Context, c ...rueidis.Completed) []rueidis.RedisResult
}

var errGone = errors.New("the key went between the two commands")

func fetch(ctx context.Context, over multi, key string) (v int64, absent bool, ttl time.Duration, err error) {
	b := over.B()
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	rs := over.DoMulti(ctx, b.Get().Key(key).Build(), b.Pttl().Key(key).Build())
	v, err = rs[0].AsInt64()
	if rueidis.IsRedisNil(err) {
		return 0, true, 0, rs[1].Error()
	}
	if err != nil {
		return 0, false, 0, err
	}
	ms, err := rs[1].AsInt64()
	switch {
	case err != nil:
		return 0, false, 0, err
	case ms == -2:
		return 0, false, 0, errGone
	case ms >= 0:
		ttl = time.Duration(max(1, ms)) * time.Millisecond
	}
	return v, false, ttl, nil
}

package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/wake"
	"github.com/redstart-go/redstart/key"
)

// Cache reads through a cache in the server to the source of truth. It is
// shared by all goroutines. See the package's documentation for its promises.
type Cache[K comparable, V any] struct {
	client   *redstart.Client
	cfg      Config[K, V]
	template *key.Template
	waker    *wake.Waker
	outage   chan struct{} // a place for each load allowed while the server is away
	stats    counters

	key    func(K) (string, error) // builds an entry's key
	codec  byte
	schema uint32
	shares bool // decoded values share memory with the reply

	gets    *turns[struct{}, rueidis.RedisResult]
	directs *turns[job[K], V]

	mu      sync.Mutex // guards flights and what is inside them
	flights map[string]*flight[K, V]
}

type outageKey struct{}

// New makes a cache on the client. It sends nothing.
func New[K comparable, V any](client *redstart.Client, cfg Config[K, V]) (*Cache[K, V], error) {
	cfg, template, err := cfg.withDefaults(client)
	if err != nil {
		return nil, err
	}
	client = client.FailFast().OnPrimary() // there is the source to turn to; a replica may hold what was invalidated
	c := &Cache[K, V]{
		client:   client,
		cfg:      cfg,
		template: template,
		waker:    wake.Of(client),
		key:      keyOf(template, cfg.Args),
		codec:    codecID(cfg.Codec.Name()),
		schema:   schemaOf[V](cfg.Codec.Name(), cfg.Version),
		flights:  map[string]*flight[K, V]{},
	}
	c.outage = client.Attach(outageKey{}, func() any {
		return make(chan struct{}, max(client.Config().OutageLoads, 0))
	}).(chan struct{})
	if s, ok := cfg.Codec.(sharer); ok {
		c.shares = s.shares()
	}
	c.gets = newTurns(c.fetch, redstart.Away, client.Go)
	c.directs = newTurns(c.loadDirect, func(error) bool { return false }, client.Go)
	return c, nil
}

// Get gives the value of id: what is cached, else what Load gives, which is
// then cached. ErrNotFound says that there is none.
//
// A hit costs one GET; a miss two more commands, the load, and one script. Of
// all callers in all processes that miss at once one loads and the others are
// woken. A caller whose context ends gets its error, and no other is harmed.
// While the server is away Get loads from the source, up to
// redstart.Config.OutageLoads at once, and fails with redstart.ErrUnavailable
// beyond that.
func (c *Cache[K, V]) Get(ctx context.Context, id K) (V, error) {
	k, err := c.key(id)
	if err != nil {
		var none V
		return none, c.failRead("get", "", err)
	}
	for again := 0; ; again++ {
		reply, shared, err := c.gets.do(ctx, k, struct{}{})
		if err == nil {
			err = replyError(reply)
		}
		if err != nil {
			if ctx.Err() == nil && redstart.Away(err) {
				return c.duringOutage(ctx, k, id, err)
			}
			var none V
			return none, c.failRead("get", k, err)
		}
		seen, verdict := c.read(reply, shared)
		switch verdict {
		case hit:
			c.stats.hits.Add(1)
			return seen.value, nil
		case absent:
			c.stats.hits.Add(1)
			return seen.value, ErrNotFound
		case failed:
			c.stats.loadErrors.Add(1)
			return seen.value, c.failRead("get", k, ErrLoad)
		case bypass:
			return c.direct(ctx, k, id)
		}
		if again == 0 {
			c.stats.misses.Add(1)
		}
		if again == maxAgain {
			return c.direct(ctx, k, id)
		}
		v, ok, err := c.board(ctx, k, id, seen.replace)
		if ok {
			return v, err
		}
	}
}

// maxAgain bounds how often a caller looks again because what he waited for
// was invalidated; he then loads for himself.
const maxAgain = 3

// Peek gives what is cached for id, and never loads: ok says whether anything
// is. ErrNotFound says that "not found" is cached. One GET.
func (c *Cache[K, V]) Peek(ctx context.Context, id K) (v V, ok bool, err error) {
	k, err := c.key(id)
	if err != nil {
		return v, false, c.failRead("peek", "", err)
	}
	reply, err := c.fetch(ctx, k, struct{}{})
	if err == nil {
		err = replyError(reply)
	}
	if err != nil {
		return v, false, c.failRead("peek", k, err)
	}
	switch seen, verdict := c.read(reply, false); verdict {
	case hit:
		return seen.value, true, nil
	case absent:
		return v, true, ErrNotFound
	default:
		return v, false, nil
	}
}

// fetch is the GET of an entry, sent again over another connection when the
// first is lost. An error reply stays in the result.
func (c *Cache[K, V]) fetch(ctx context.Context, k string, _ struct{}) (rueidis.RedisResult, error) {
	r := c.client.Do(ctx, c.client.B().Get().Key(k).Build())
	err := r.NonRedisError()
	if err != nil && redstart.Away(err) && redstart.OutcomeOf(err) == redstart.Unknown && ctx.Err() == nil {
		r = c.client.Do(ctx, c.client.B().Get().Key(k).Build())
		err = r.NonRedisError()
	}
	return r, err
}

// replyError is an error reply; nil is none.
func replyError(r rueidis.RedisResult) error {
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return err
	}
	return nil
}

// verdict is what an entry means for a reader.
type verdict uint8

const (
	miss   verdict = iota // nothing that can be served: load
	hit                   // a value
	absent                // known not to exist
	failed                // a load failed a moment ago
	bypass                // not to be cached for now
	leased                // someone loads
)

// entry is what stands at a key.
type entry[V any] struct {
	value   V
	raw     []byte // all of it
	replace []byte // on a miss: what stands there and is to be replaced; nil for nothing
}

// read judges a reply to GET. shared says that others decode the same bytes.
func (c *Cache[K, V]) read(reply rueidis.RedisResult, shared bool) (entry[V], verdict) {
	raw, err := reply.AsBytes()
	if err != nil {
		return entry[V]{}, miss
	}
	return c.judge(raw, shared)
}

func (c *Cache[K, V]) judge(raw []byte, shared bool) (e entry[V], _ verdict) {
	e.raw = raw
	f, err := frame.Parse(raw)
	if err != nil {
		if c.cfg.Adopt != nil && errors.Is(err, frame.ErrForeign) {
			if v, err := c.adopt(raw, shared); err == nil {
				c.stats.adopted.Add(1)
				e.value = v
				return e, hit
			}
		}
		c.unreadable("corrupt", err)
		e.replace = raw
		return e, miss
	}
	switch f.Kind {
	case frame.Value:
		if f.Schema != c.schema || f.Codec != c.codec {
			c.stats.otherSchema.Add(1)
			break
		}
		payload := f.Payload
		if shared && c.shares {
			payload = append([]byte(nil), payload...)
		}
		if e.value, err = c.decode(payload); err == nil {
			return e, hit
		}
		c.unreadable("corrupt", errPayload)
	case frame.Absent:
		return e, absent
	case frame.Failed:
		return e, failed
	case frame.Bypass:
		return e, bypass
	case frame.Lease:
		return e, leased
	default:
		c.unreadable("corrupt", frame.ErrVersion)
	}
	var none V
	e.value, e.replace = none, raw
	return e, miss
}

func (c *Cache[K, V]) unreadable(event string, err error) {
	c.stats.corrupt.Add(1)
	c.notify(event, 0, err)
}

// adopt is Config.Adopt on bytes of the caller's own; its panic is an error.
func (c *Cache[K, V]) adopt(raw []byte, shared bool) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	if shared {
		raw = append([]byte(nil), raw...)
	}
	return c.cfg.Adopt(raw)
}

// decode is the codec's Decode; bytes that make it panic are corrupt.
func (c *Cache[K, V]) decode(payload []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	return c.cfg.Codec.Decode(payload)
}

// encode is the frame of a value.
func (c *Cache[K, V]) encode(v V) (raw []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	raw, err = c.cfg.Codec.Append(frame.Begin(make([]byte, 0, 256), frame.Value, c.codec, c.schema), v)
	if err != nil {
		return nil, err
	}
	if c.cfg.MaxBytes > 0 && len(raw)-frame.Size > c.cfg.MaxBytes {
		return nil, ErrTooLarge
	}
	return frame.Seal(raw), nil
}

// jittered takes a random part off a TTL; zero stays zero.
func (c *Cache[K, V]) jittered(ttl time.Duration) time.Duration {
	if ttl == 0 || c.cfg.Jitter == 0 {
		return ttl
	}
	return max(ttl-time.Duration(rand.Float64()*c.cfg.Jitter*float64(ttl)), time.Millisecond)
}

func (c *Cache[K, V]) notify(event string, took time.Duration, err error) {
	c.client.Notify(redstart.PatternInfo{Pattern: "cache", Template: c.template.String(), Event: event, Took: took, Err: err})
}

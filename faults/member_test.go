package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/internal/wake"
)

// The recipes that a member may follow.
const (
	redstarts  = "redstart"
	cacheAside = "GET/SETEX"
	lockRetry  = "lock and retry"
	bare       = "bare pub/sub" // the control: a hand-over by hand
	cacheFirst = "cache, then database"
)

// memberArg sets up a member: a process that reads rows through a cache.
type memberArg struct {
	Recipe  string
	URL     string // of the server, or of a proxy before it
	Process int

	Source string // address of the source of truth

	TTL, Lease, LoadTimeout, ErrorTTL time.Duration
	Lock                              time.Duration // of lock and retry

	Through bool // writers write through the cache

	// For traffic.
	Direct  string // URL of the server itself: "anyone" who deletes keys
	Clock   string
	History string // folder
	Life    int    // how many processes had this number before
}

// row is what is cached: a version of a key, and some weight.
type row struct {
	Version uint64
	Pad     string
}

// reader is a cache of rows, ours or naive.
type reader interface {
	Get(ctx context.Context, key string) (uint64, error)
	Invalidate(ctx context.Context, key string) error
}

// keyOf is the Redis key of a row.
func keyOf(key string) string { return "row:" + key }

// process is a member at work.
type process struct {
	arg    memberArg
	store  *harness.Store
	client *redstart.Client // nil for a naive recipe
	rows   *cache.Cache[string, row]
	reader reader
	loaded atomic.Int64 // when a load returned last, in ns
	asked  atomic.Uint64
	waits  func() uint64 // how many callers have waited for another's load, or for a naive recipe: have asked
	end    []func()

	traffic *traffic
}

// member is the role.
func member(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	p := &process{}
	if err := json.Unmarshal(raw, &p.arg); err != nil {
		return nil, nil, err
	}
	p.store = harness.Dial(p.arg.Source, p.arg.Process)
	p.end = append(p.end, p.store.Close)
	if err := p.open(); err != nil {
		return nil, nil, err
	}
	verbs := map[string]harness.Verb{
		"get":      harness.On(p.get),
		"die":      harness.On(p.dieWriting),
		"stats":    harness.On(p.stats),
		"waiting":  harness.On(p.waiting),
		"tracking": harness.On(func(context.Context, int) (bool, error) { return wake.Of(p.client).Tracking(), nil }),
		"start":    harness.On(p.start),
		"reads":    harness.On(func(context.Context, int) (int64, error) { return p.traffic.reads.Load(), nil }),
		"stop":     harness.On(func(context.Context, int) (int, error) { return 0, p.traffic.stop() }),
	}
	return verbs, p.close, nil
}

func (p *process) close() {
	for _, end := range slices.Backward(p.end) {
		end()
	}
}

func (p *process) load(ctx context.Context, key string) (row, error) {
	defer func() { p.loaded.Store(time.Now().UnixNano()) }()
	version, err := p.store.Load(ctx, key)
	return row{Version: version, Pad: "some weight for a row"}, err
}

func (p *process) open() error {
	if p.arg.Recipe == redstarts {
		var err error
		p.client, p.rows, err = openRows(p.arg, p.load)
		if err != nil {
			return err
		}
		p.reader = ours{p.rows}
		p.waits = func() uint64 { s := p.rows.Stats(); return s.Waits + s.Joined }
		p.end = append(p.end, p.client.Close)
		return nil
	}
	client, err := plain(p.arg.URL)
	if err != nil {
		return err
	}
	p.end = append(p.end, client.Close)
	if p.arg.Recipe == bare {
		h := newHandOver(client, p.load)
		p.end = append(p.end, h.close)
		p.reader, p.waits = h, h.waits.Load
		return h.ready()
	}
	aside := naive.CacheAside{Client: client, TTL: p.arg.TTL, Load: func(ctx context.Context, key string) (string, error) {
		r, err := p.load(ctx, key[len(keyOf("")):])
		return strconv.FormatUint(r.Version, 10), err
	}}
	p.reader = theirs{aside.Get, aside.Invalidate}
	p.waits = p.asked.Load
	if p.arg.Recipe == lockRetry {
		locked := naive.LockRetry{CacheAside: aside, Lock: p.arg.Lock, Pause: 100 * time.Millisecond}
		p.reader = theirs{locked.Get, locked.Invalidate}
	}
	return nil
}

// openRows opens a client and a cache of rows on it.
func openRows(arg memberArg, load func(context.Context, string) (row, error)) (*redstart.Client, *cache.Cache[string, row], error) {
	client, err := redstart.Open(context.Background(), arg.URL, redstart.Config{Pipelines: 4})
	if err != nil {
		return nil, nil, err
	}
	rows, err := cache.New(client, cache.Config[string, row]{
		Key: keyOf("<id>"), Load: load,
		TTL: arg.TTL, Lease: arg.Lease, LoadTimeout: arg.LoadTimeout, ErrorTTL: arg.ErrorTTL,
	})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, rows, nil
}

// plain gives a rueidis client as one would open it by hand.
func plain(url string) (rueidis.Client, error) {
	opt, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opt.DisableCache = true
	return rueidis.NewClient(opt)
}

// plainOnce is plain, without sending anything again.
func plainOnce(url string) (rueidis.Client, error) {
	opt, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opt.DisableCache, opt.DisableRetry = true, true
	return rueidis.NewClient(opt)
}

type ours struct{ rows *cache.Cache[string, row] }

func (o ours) Get(ctx context.Context, key string) (uint64, error) {
	r, err := o.rows.Get(ctx, key)
	return r.Version, err
}

func (o ours) Invalidate(ctx context.Context, key string) error { return o.rows.Invalidate(ctx, key) }

type theirs struct {
	get    naive.Load
	delete func(context.Context, string) error
}

func (t theirs) Get(ctx context.Context, key string) (uint64, error) {
	text, err := t.get(ctx, keyOf(key))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

func (t theirs) Invalidate(ctx context.Context, key string) error { return t.delete(ctx, keyOf(key)) }

// getArg asks for one key by several callers at once.
type getArg struct {
	Key     string
	Callers int
	Within  time.Duration
}

// getResult is what they got.
type getResult struct {
	Versions map[uint64]int
	Errors   map[string]int // by their texts
	Last     int64          // when the last returned, in ns
	Loaded   int64          // when a load of this process returned last
}

func (p *process) waiting(context.Context, int) (uint64, error) { return p.waits(), nil }

func (p *process) get(ctx context.Context, arg getArg) (getResult, error) {
	p.asked.Add(uint64(arg.Callers))
	return getAll(ctx, p.reader, arg, &p.loaded)
}

func getAll(ctx context.Context, from reader, arg getArg, loaded *atomic.Int64) (getResult, error) {
	ctx, cancel := context.WithTimeout(ctx, arg.Within)
	defer cancel()
	result := getResult{Versions: map[uint64]int{}, Errors: map[string]int{}}
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range arg.Callers {
		callers.Go(func() {
			version, err := survive(func() (uint64, error) { return from.Get(ctx, arg.Key) })
			now := time.Now().UnixNano()
			mu.Lock()
			defer mu.Unlock()
			result.Last = max(result.Last, now)
			if err != nil {
				result.Errors[err.Error()]++
			} else {
				result.Versions[version]++
			}
		})
	}
	callers.Wait()
	result.Loaded = loaded.Load()
	return result, nil
}

// survive turns a panic into an error, as a web server does.
func survive(call func() (uint64, error)) (version uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errPanicked
		}
	}()
	return call()
}

var errPanicked = errors.New("panicked")

func (p *process) stats(context.Context, int) (cache.Stats, error) {
	if p.rows == nil {
		return cache.Stats{}, nil
	}
	return p.rows.Stats(), nil
}

func (p *process) start(_ context.Context, arg trafficArg) (int, error) {
	if p.traffic != nil {
		return 0, errors.New("there is traffic already")
	}
	var err error
	if p.traffic, err = startTraffic(p, arg); err != nil {
		return 0, fmt.Errorf("start the traffic: %w", err)
	}
	return 0, nil
}

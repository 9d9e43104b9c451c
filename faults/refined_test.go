package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/internal/frame"
)

// The recipes in the place of a refinement.
const (
	mapWithTTL  = "a map with a TTL"
	aThread     = "a thread at 20 %"
	lastInMap   = "the last value in a map"
	setOfKeys   = "a set of the tag's keys"
	fallThrough = "GET/SETEX, else the source"
)

// refinedArg sets up a refined member: a process that reads rows through a
// cache with refinements, or through a recipe in their place.
type refinedArg struct {
	memberArg

	Processes int

	Near        bool
	Broadcast   bool
	MaxStale    time.Duration
	Refresh     cache.Refresh
	StaleFor    time.Duration
	SoftTimeout time.Duration
	Tagged      bool // each key has the tag of the process that writes it, and the cache can be cleared
	Written     int  // how many keys are written; those behind them have a tag of their own
	ResultTags  bool // each load gives a tag of that kind as well
	OutageLoads int
}

// refined is a process at work.
type refined struct {
	arg    refinedArg
	store  *harness.Store
	client *redstart.Client
	rows   *cache.Cache[string, row] // nil for a recipe
	theirs recipe
	anyone *redstart.Client // who knows nothing of the cache
	back   chan uint64      // when the server was seen to be back
	end    []func()

	bustle *bustle
}

// recipe is what a naive cache can do.
type recipe interface {
	Get(ctx context.Context, key string) (string, error)
	Invalidate(ctx context.Context, key string) error
}

// tagger is a recipe with tags.
type tagger interface {
	InvalidateTag(ctx context.Context, tag string) error
}

// refinedMember is the role.
func refinedMember(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	p := &refined{back: make(chan uint64, 100)}
	if err := json.Unmarshal(raw, &p.arg); err != nil {
		return nil, nil, err
	}
	p.store = harness.Dial(p.arg.Source, p.arg.Process)
	p.end = append(p.end, p.store.Close)
	if err := p.open(); err != nil {
		p.close()
		return nil, nil, err
	}
	verbs := map[string]harness.Verb{
		"start":  harness.On(p.start),
		"counts": harness.On(func(context.Context, int) (counts, error) { return p.bustle.counts(), nil }),
		"stop":   harness.On(func(context.Context, int) (int, error) { return 0, p.bustle.stop() }),
		"stats":  harness.On(p.stats),
		"read":   harness.On(p.readOne),
		"write":  harness.On(p.writeOne),
		"back":   harness.On(p.wasBack),
	}
	return verbs, p.close, nil
}

func (p *refined) close() {
	for _, end := range slices.Backward(p.end) {
		end()
	}
}

func (p *refined) open() error {
	client, err := redstart.Open(context.Background(), p.arg.URL, redstart.Config{
		Pipelines: 4, OutageLoads: p.arg.OutageLoads,
		Events: redstart.Events{Back: func(redstart.BackInfo) {
			select {
			case p.back <- harness.Monotonic():
			default: // nobody asks
			}
		}},
	})
	if err != nil {
		return err
	}
	p.client = client
	p.end = append(p.end, client.Close)
	if p.arg.Direct != "" {
		if p.anyone, err = redstart.Open(context.Background(), p.arg.Direct, redstart.Config{}); err != nil {
			return err
		}
		p.end = append(p.end, p.anyone.Close)
	}
	if p.arg.Recipe == redstarts {
		p.rows, err = cache.New(client, p.config())
		return err
	}
	inner, err := plainOnce(p.arg.URL)
	if err != nil {
		return err
	}
	p.end = append(p.end, inner.Close)
	aside := naive.CacheAside{Client: inner, TTL: p.arg.TTL, Load: p.loadText}
	switch p.arg.Recipe {
	case mapWithTTL:
		p.theirs = &naive.Map{Behind: aside, TTL: p.arg.TTL}
	case aThread:
		p.theirs = naive.RefreshAhead{CacheAside: aside, Reload: p.reloadText}
	case lastInMap:
		p.theirs = &naive.LastValue{CacheAside: aside}
	case setOfKeys:
		p.theirs = naive.TagSet{CacheAside: aside, Tag: func(key string) string { return p.tagOf(key[len(keyOf("")):]) }}
	case fallThrough:
		p.theirs = naive.FallThrough{CacheAside: aside}
	default:
		return fmt.Errorf("no recipe %q", p.arg.Recipe)
	}
	return nil
}

func (p *refined) config() cache.Config[string, row] {
	a := p.arg
	cfg := cache.Config[string, row]{
		Key: keyOf("<id>"), TTL: a.TTL, Jitter: -1, Lease: a.Lease, LoadTimeout: a.LoadTimeout, ErrorTTL: a.ErrorTTL,
		Refresh: a.Refresh, StaleFor: a.StaleFor, SoftTimeout: a.SoftTimeout,
		Adopt: func(raw []byte) (row, error) {
			version, err := strconv.ParseUint(string(raw), 10, 64)
			return row{Version: version}, err
		},
		LoadResult: func(ctx context.Context, key string, old cache.Old[row]) (r cache.Result[row], err error) {
			r.Value.Version, err = p.store.LoadOver(ctx, key, old.Value.Version)
			r.Value.Pad = "some weight for a row"
			if a.ResultTags {
				r.Tags = []string{"result of " + p.tagOf(key)}
			}
			return r, err
		},
	}
	if a.Near {
		cfg.Near = cache.Near[string, row]{Items: 1000, MaxStale: a.MaxStale, Broadcast: a.Broadcast}
	}
	if a.Tagged {
		cfg.Tags = func(key string) []string { return []string{p.tagOf(key)} }
		cfg.Clearable = true
	}
	cfg.ResultTags = a.ResultTags
	return cfg
}

// tagOf is the tag of all keys that one process writes.
func (p *refined) tagOf(key string) string {
	if p.arg.Written > 0 && int(rowNumber(key)) >= p.arg.Written {
		return "written by nobody"
	}
	return fmt.Sprint("written by ", int(rowNumber(key))%p.arg.Processes)
}

func (p *refined) loadText(ctx context.Context, key string) (string, error) {
	return p.reloadText(ctx, key, "")
}

func (p *refined) reloadText(ctx context.Context, key, old string) (string, error) {
	was, _ := strconv.ParseUint(old, 10, 64) // 0: none
	version, err := p.store.LoadOver(ctx, key[len(keyOf("")):], was)
	return strconv.FormatUint(version, 10), err
}

// read gives the version of a row, and where it was.
func (p *refined) read(ctx context.Context, key string) (version uint64, mark uint8, err error) {
	if p.rows == nil {
		text, err := p.theirs.Get(ctx, keyOf(key))
		if err != nil {
			return 0, 0, err
		}
		version, err = strconv.ParseUint(text, 10, 64)
		return version, history.Redis, err
	}
	e, err := p.rows.GetEntry(ctx, key)
	switch e.Tier {
	case cache.TierNear:
		mark = history.Near
	case cache.TierRedis:
		mark = history.Redis
	case cache.TierSource:
		mark = history.Source
	}
	if e.Stale {
		mark |= history.Old
	}
	return e.Value.Version, mark, err
}

// The ways to write.
const (
	byInvalidate = "Invalidate"
	bySet        = "Set"
	byTag        = "InvalidateTag"
	byResultTag  = "InvalidateTag of a result's"
	byClear      = "Clear"
	foreignDel   = "DEL"
	foreignSet   = "SET"
	foreignTTL   = "PEXPIRE"
)

// expireSoon lets a value expire in 20 ms; 0 where something else stands, such
// as a lease, whose holder would go on with it.
var expireSoon = redstart.NewScript("expire soon", fmt.Sprintf(
	`local v = redis.call('GET', KEYS[1])
if not v or (string.byte(v, 1) == 0xF5 and string.byte(v, 4) ~= %d) then return 0 end
return redis.call('PEXPIRE', KEYS[1], 20)`, frame.Value))

// soon is by when such a value is surely gone.
const soon = 25 * time.Millisecond

// write ends what is cached of a row, or of all rows that this process writes.
// It takes effect by after from now.
func (p *refined) write(ctx context.Context, how, key string, version uint64) (after time.Duration, err error) {
	k := keyOf(key)
	switch how {
	case foreignDel:
		return 0, p.anyone.Do(ctx, p.anyone.B().Del().Key(k).Build()).Error()
	case foreignSet:
		return 0, p.anyone.Do(ctx, p.anyone.B().Set().Key(k).Value(strconv.FormatUint(version, 10)).Build()).Error()
	case foreignTTL:
		n, err := expireSoon.Exec(ctx, p.anyone, []string{k}, nil).AsInt64()
		if n == 1 || err != nil {
			return soon, err
		}
		return 0, p.anyone.Do(ctx, p.anyone.B().Del().Key(k).Build()).Error()
	}
	if p.rows == nil {
		if t, ok := p.theirs.(tagger); ok && how == byTag {
			return 0, t.InvalidateTag(ctx, p.tagOf(key))
		}
		return 0, p.theirs.Invalidate(ctx, k)
	}
	switch how {
	case bySet:
		return 0, p.rows.Set(ctx, key, row{Version: version})
	case byTag:
		return 0, p.rows.InvalidateTag(ctx, p.tagOf(key))
	case byResultTag:
		return 0, p.rows.InvalidateTag(ctx, "result of "+p.tagOf(key))
	case byClear:
		return 0, p.rows.Clear(ctx)
	default:
		return 0, p.rows.Invalidate(ctx, key)
	}
}

func (p *refined) stats(context.Context, int) (cache.Stats, error) {
	if p.rows == nil {
		return cache.Stats{}, nil
	}
	return p.rows.Stats(), nil
}

func (p *refined) start(_ context.Context, arg bustleArg) (int, error) {
	if p.bustle != nil {
		return 0, errors.New("there is traffic already")
	}
	var err error
	p.bustle, err = startBustle(p, arg)
	return 0, err
}

// oneArg is one call, decided by the test.
type oneArg struct {
	How, Key string
	Version  uint64
}

func (p *refined) readOne(ctx context.Context, arg oneArg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	version, _, err := p.read(ctx, arg.Key)
	return version, err
}

func (p *refined) writeOne(ctx context.Context, arg oneArg) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	_, err := p.write(ctx, arg.How, arg.Key, arg.Version)
	return 0, err
}

// wasBack waits until the server was seen to be back, and then until who asked
// before that has been answered.
func (p *refined) wasBack(ctx context.Context, _ int) (uint64, error) {
	select {
	case at := <-p.back:
		return at, p.bustle.answered(ctx)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

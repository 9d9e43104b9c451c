package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
)

// manyThenSet is the recipe in the place of GetMany.
const manyThenSet = "MGET, a query, SETEX"

// truthOf is what the source has for a key.
func truthOf(key uint32) history.Truth {
	switch key % 10 {
	case 7:
		return history.Missing
	case 8:
		return history.Failing
	default:
		return history.Present
	}
}

// manyKeys is a process that asks for many keys at once.
type manyKeys struct {
	arg    memberArg
	store  *harness.Store
	log    *history.Log
	rows   *cache.Cache[string, row] // nil for the recipe
	naive  naive.Many
	end    []func()
	loads  atomic.Uint64
	failed atomic.Pointer[error] // to note what happened
}

// manyMember is the role.
func manyMember(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	p := &manyKeys{}
	if err := json.Unmarshal(raw, &p.arg); err != nil {
		return nil, nil, err
	}
	if err := p.open(); err != nil {
		p.close()
		return nil, nil, err
	}
	return map[string]harness.Verb{
		"call":  harness.On(p.call),
		"write": harness.On(p.write),
		"stats": harness.On(func(context.Context, int) (cache.Stats, error) { return p.rows.Stats(), nil }),
	}, p.close, nil
}

func (p *manyKeys) close() {
	for _, end := range slices.Backward(p.end) {
		end()
	}
}

func (p *manyKeys) open() (err error) {
	p.store = harness.Dial(p.arg.Source, p.arg.Process)
	p.end = append(p.end, p.store.Close)
	if p.log, err = history.Create(p.arg.History, fmt.Sprint(p.arg.Process)); err != nil {
		return err
	}
	p.end = append(p.end, func() { _ = p.log.Close() })
	if p.arg.Recipe == manyThenSet {
		client, err := plain(p.arg.URL)
		if err != nil {
			return err
		}
		p.end = append(p.end, client.Close)
		p.naive = naive.Many{Client: client, TTL: p.arg.TTL, Load: p.query}
		return nil
	}
	client, err := redstart.Open(context.Background(), p.arg.URL, redstart.Config{OutageLoads: 1})
	if err != nil {
		return err
	}
	p.end = append(p.end, client.Close)
	p.rows, err = cache.New(client, cache.Config[string, row]{
		Key: keyOf("<id>"), LoadMany: p.loadMany,
		TTL: p.arg.TTL, Lease: p.arg.Lease, LoadTimeout: p.arg.LoadTimeout, ErrorTTL: p.arg.ErrorTTL,
	})
	return err
}

func (p *manyKeys) note(e history.Event) {
	e.Process = uint16(p.arg.Process)
	if err := p.log.Add(e); err != nil {
		p.failed.CompareAndSwap(nil, &err)
	}
}

// callerKey is how a load knows the call that began it.
type callerKey struct{}

// gateOf is what a process asks the source for once it has read what it loads:
// where its loads can be held.
func gateOf(process int) string { return fmt.Sprint("gate", process) }

// loadMany is one call of the loader.
func (p *manyKeys) loadMany(ctx context.Context, names []string) (map[string]row, error) {
	number := p.loads.Add(1)
	caller, _ := ctx.Value(callerKey{}).(uint16)
	for _, name := range names {
		at := harness.Monotonic()
		p.note(history.Event{Kind: history.LoadBegan, Caller: caller, Version: number, Key: rowNumber(name), Begin: at, End: at})
	}
	rows, failed := map[string]row{}, cache.Errors[string]{}
	for _, name := range names {
		switch truthOf(rowNumber(name)) {
		case history.Missing:
		case history.Failing:
			failed[name] = errors.New("the source has no answer for it")
		default:
			version, err := p.store.Load(ctx, name)
			if err != nil {
				return nil, err
			}
			rows[name] = row{version, name}
		}
	}
	if _, err := p.store.Load(ctx, gateOf(p.arg.Process)); err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		return rows, failed
	}
	return rows, nil
}

// query is the loader of the recipe: it has rows, or none.
func (p *manyKeys) query(ctx context.Context, keys []string) (map[string]string, error) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k[len(keyOf("")):]
	}
	rows, err := p.loadMany(ctx, names)
	if _, partial := errors.AsType[cache.Errors[string]](err); err != nil && !partial {
		return nil, err
	}
	texts := map[string]string{}
	for name, r := range rows {
		texts[keyOf(name)] = fmt.Sprint(r.Version, " ", name)
	}
	return texts, nil
}

// manyCall is one call on many keys.
type manyCall struct {
	How    string
	Caller uint16
	Keys   []uint32
	Within time.Duration
}

// The ways to ask, and to write.
const (
	byGetMany        = "GetMany"
	byGet            = "Get" // of the first key
	byWarm           = "Warm"
	bySetMany        = "SetMany"
	byInvalidateMany = "InvalidateMany"
)

// call asks, and notes what it got for each key.
func (p *manyKeys) call(ctx context.Context, arg manyCall) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callerKey{}, arg.Caller), arg.Within)
	defer cancel()
	begin := harness.Monotonic()
	names := make([]string, len(arg.Keys))
	for i, k := range arg.Keys {
		names[i] = rowName(int(k))
		p.note(history.Event{Kind: history.Asked, Caller: arg.Caller, Key: k, Begin: begin, End: begin})
	}
	got, err := p.ask(ctx, arg.How, names)
	if err != nil {
		return 0, err
	}
	for i, g := range got {
		e := history.Event{Kind: history.Read, Caller: arg.Caller, Key: arg.Keys[i], Version: g.Value.Version, Begin: begin, End: harness.Monotonic()}
		switch {
		case errors.Is(g.Err, cache.ErrNotFound):
			e.Kind = history.Absence
		case g.Err != nil:
			e.Kind = history.ReadFailed
		case g.Value.Pad != names[i]:
			e.Kind, e.Version = history.Alien, uint64(rowNumber(g.Value.Pad))
		}
		p.note(e)
	}
	if err := p.failed.Load(); err != nil {
		return 0, *err
	}
	return len(got), nil
}

func (p *manyKeys) ask(ctx context.Context, how string, names []string) ([]cache.Got[row], error) {
	got := make([]cache.Got[row], len(names))
	switch {
	case p.rows == nil:
		keys := make([]string, len(names))
		for i, name := range names {
			keys[i] = keyOf(name)
		}
		values, err := p.naive.GetMany(ctx, keys)
		for i, k := range keys {
			text, ok := values[k]
			switch {
			case err != nil:
				got[i].Err = err
			case !ok:
				got[i].Err = cache.ErrNotFound
			default:
				if _, bad := fmt.Sscan(text, &got[i].Value.Version, &got[i].Value.Pad); bad != nil {
					return nil, bad
				}
			}
		}
		return got, nil
	case how == byGet:
		for i, name := range names {
			got[i].Value, got[i].Err = p.rows.Get(ctx, name)
		}
		return got, nil
	case how == byWarm: // it gives nothing: what it has cached is then read
		if _, err := p.rows.Warm(ctx, slices.Values(names), nil); redstart.Away(err) {
			return nil, err
		}
	}
	got, err := p.rows.GetMany(ctx, names)
	failed := cache.Errors[string]{}
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	for i, name := range names { // the two must say the same
		if whole, single := failed[name], got[i].Err; (whole != nil) != (single != nil && !errors.Is(single, cache.ErrNotFound)) {
			return nil, fmt.Errorf("%s: %w beside %w", name, whole, single)
		}
	}
	return got, nil
}

// manyWrite commits a version of each key and ends what is cached of it.
type manyWrite struct {
	How  string
	Keys []uint32
}

func (p *manyKeys) write(ctx context.Context, arg manyWrite) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	names, versions := make([]string, len(arg.Keys)), make([]uint64, len(arg.Keys))
	for i, k := range arg.Keys {
		var err error
		names[i] = rowName(int(k))
		if versions[i], err = p.store.Commit(ctx, names[i]); err != nil {
			return 0, err
		}
	}
	begin := harness.Monotonic()
	err := p.finish(ctx, arg.How, names, versions)
	for i, k := range arg.Keys {
		e := history.Event{Kind: history.Invalidated, Key: k, Version: versions[i], Begin: begin, End: harness.Monotonic()}
		if err != nil {
			e.Kind = history.InvalidateFailed
		}
		p.note(e)
	}
	return len(names), err
}

func (p *manyKeys) finish(ctx context.Context, how string, names []string, versions []uint64) error {
	switch {
	case p.rows == nil:
		for _, name := range names {
			if err := p.naive.Invalidate(ctx, keyOf(name)); err != nil {
				return err
			}
		}
		return nil
	case how == bySetMany:
		return p.rows.SetMany(ctx, rowsOf(names, versions))
	default:
		return p.rows.InvalidateMany(ctx, names...)
	}
}

func rowsOf(names []string, versions []uint64) iter.Seq2[string, row] {
	return func(yield func(string, row) bool) {
		for i, name := range names {
			if !yield(name, row{versions[i], name}) {
				return
			}
		}
	}
}

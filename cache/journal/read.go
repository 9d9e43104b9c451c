package journal

import (
	"context"
	"errors"
	"maps"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cache"
)

// reads puts a look at what is pending in front of the cache's loads. A load
// holds the lease of its key, which every Put ends: what it stores is no older
// than the newest change.
func (j *Journal[K, V]) reads(cfg *cache.Config[K, V]) {
	if load := cfg.Load; load != nil {
		cfg.Load = func(ctx context.Context, id K) (V, error) {
			if v, found, err := j.find(ctx, id); found || err != nil {
				return v, err
			}
			return load(ctx, id)
		}
	}
	if load := cfg.LoadResult; load != nil {
		cfg.LoadResult = func(ctx context.Context, id K, old cache.Old[V]) (cache.Result[V], error) {
			if v, found, err := j.find(ctx, id); found || err != nil {
				return cache.Result[V]{Value: v}, err
			}
			return load(ctx, id, old)
		}
	}
	if load := cfg.LoadMany; load != nil {
		cfg.LoadMany = func(ctx context.Context, ids []K) (map[K]V, error) { return j.loadMany(ctx, ids, load) }
	}
}

// find gives what is pending for an id.
func (j *Journal[K, V]) find(ctx context.Context, id K) (v V, found bool, err error) {
	p, raw, err := j.place(id)
	if err != nil {
		return v, false, err
	}
	return j.found(findScript.Exec(ctx, j.client.FailFast(), p.find, []string{raw}))
}

func (j *Journal[K, V]) found(r rueidis.RedisResult) (v V, found bool, err error) {
	entry, err := r.AsBytes()
	if rueidis.IsRedisNil(err) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	v, absent, err := j.cache.Open(entry)
	if absent {
		err = cache.ErrNotFound
	}
	return v, true, err
}

// loadMany gives what is pending for ids, and loads the others.
func (j *Journal[K, V]) loadMany(ctx context.Context, ids []K, load func(context.Context, []K) (map[K]V, error)) (map[K]V, error) {
	commands := make(rueidis.Commands, 0, len(ids))
	for _, id := range ids {
		p, raw, err := j.place(id)
		if err != nil {
			return nil, err
		}
		commands = append(commands, findScript.Command(j.client, p.find, []string{raw}))
	}
	known, rest := map[K]V{}, make([]K, 0, len(ids))
	for i, r := range j.client.FailFast().DoMulti(ctx, commands...) {
		v, found, err := j.found(r)
		switch {
		case err != nil && !errors.Is(err, cache.ErrNotFound):
			return nil, err
		case !found:
			rest = append(rest, ids[i])
		case err == nil:
			known[ids[i]] = v
		}
	}
	if len(rest) == 0 {
		return known, nil
	}
	loaded, err := load(ctx, rest)
	maps.Copy(known, loaded)
	some, bare := err.(cache.Errors[K]) //nolint:errorlint // bare, as it is documented
	if err != nil && !bare {
		some = cache.Errors[K]{}
		for _, id := range rest {
			some[id] = err
		}
	}
	return known, some.OrNil()
}

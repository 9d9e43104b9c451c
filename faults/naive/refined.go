package naive

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Map is a map with a TTL in the process, in front of CacheAside.
type Map struct {
	Behind CacheAside
	TTL    time.Duration

	mu   sync.Mutex
	kept map[string]mapped
}

type mapped struct {
	value string
	until time.Time
}

// Get is the recipe.
func (m *Map) Get(ctx context.Context, key string) (string, error) {
	m.mu.Lock()
	k, ok := m.kept[key]
	m.mu.Unlock()
	if ok && time.Now().Before(k.until) {
		return k.value, nil
	}
	v, err := m.Behind.Get(ctx, key)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string]mapped{}
	}
	m.kept[key] = mapped{v, time.Now().Add(m.TTL)}
	return v, nil
}

// Invalidate deletes the key, here and in the server.
func (m *Map) Invalidate(ctx context.Context, key string) error {
	m.mu.Lock()
	delete(m.kept, key)
	m.mu.Unlock()
	return m.Behind.Invalidate(ctx, key)
}

// RefreshAhead is CacheAside whose every reader starts a thread that loads anew
// when 20 % of the TTL is left.
type RefreshAhead struct {
	CacheAside

	Reload func(ctx context.Context, key, old string) (string, error)
}

// Get is the recipe.
func (r RefreshAhead) Get(ctx context.Context, key string) (string, error) {
	v, err := r.CacheAside.Get(ctx, key)
	if err != nil {
		return "", err
	}
	left, err := r.Client.Do(ctx, r.Client.B().Pttl().Key(key).Build()).AsInt64()
	if err == nil && left > 0 && time.Duration(left)*time.Millisecond < r.TTL/5 {
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			fresh, err := r.Reload(ctx, key, v)
			if err != nil {
				return
			}
			r.Client.Do(ctx, r.Client.B().Set().Key(key).Value(fresh).Px(r.TTL).Build())
		}()
	}
	return v, nil
}

// LastValue is CacheAside that keeps every value in a map, and gives that when
// the source fails.
type LastValue struct {
	CacheAside

	mu   sync.Mutex
	last map[string]string
}

// Get is the recipe.
func (l *LastValue) Get(ctx context.Context, key string) (string, error) {
	v, err := l.CacheAside.Get(ctx, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		if l.last == nil {
			l.last = map[string]string{}
		}
		l.last[key] = v
		return v, nil
	}
	if old, ok := l.last[key]; ok {
		return old, nil
	}
	return "", err
}

// FallThrough is CacheAside that asks the source when the server does not
// answer.
type FallThrough struct{ CacheAside }

// Get is the recipe.
func (f FallThrough) Get(ctx context.Context, key string) (string, error) {
	v, err := f.Client.Do(ctx, f.Client.B().Get().Key(key).Build()).ToString()
	if err == nil && v != "" {
		return v, nil
	}
	if v, err = f.Load(ctx, key); err != nil {
		return "", err
	}
	f.Client.Do(ctx, f.Client.B().Setex().Key(key).Seconds(max(int64(f.TTL/time.Second), 1)).Value(v).Build())
	return v, nil
}

// TagSet is CacheAside with a set of the keys of each tag: SADD beside SETEX, and
// SMEMBERS and a DEL for each to invalidate.
type TagSet struct {
	CacheAside

	Tag func(key string) string
}

// Get is the recipe.
func (t TagSet) Get(ctx context.Context, key string) (string, error) {
	v, err := t.Client.Do(ctx, t.Client.B().Get().Key(key).Build()).ToString()
	if err == nil && v != "" {
		return v, nil
	}
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", err
	}
	if v, err = t.query(ctx, key); err != nil {
		return "", err
	}
	return v, t.Client.Do(ctx, t.Client.B().Sadd().Key("tag:"+t.Tag(key)).Member(key).Build()).Error()
}

// InvalidateTag is the recipe.
func (t TagSet) InvalidateTag(ctx context.Context, tag string) error {
	members, err := t.Client.Do(ctx, t.Client.B().Smembers().Key("tag:"+tag).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	for _, key := range members {
		if err := t.Invalidate(ctx, key); err != nil {
			return err
		}
	}
	return t.Client.Do(ctx, t.Client.B().Del().Key("tag:"+tag).Build()).Error()
}

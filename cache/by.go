package cache

import (
	"context"
	"time"
	"unsafe"

	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// By is an entry that something else than the cache writes: see [Cache.SetBy].
type By[K comparable, V any] struct {
	ID     K
	Result Result[V]
	Absent bool // cached as "not found"; of Result only the TTL counts

	// Key, Entry and TTL are what is to be stored where, and for how long: zero
	// is for good.
	Key, Entry string
	TTL        time.Duration
}

// SetBy is SetResult by a command of the caller's own, such as a script that
// writes more in the same step: write stores the entry at the key for ttl (zero:
// for good) and does it on the primary. What this process keeps, and who waits
// for a load in it, are told as after Set. Its error is write's, as it is.
func (c *Cache[K, V]) SetBy(ctx context.Context, id K, r Result[V], write func(ctx context.Context, key, entry string, ttl time.Duration) error) error {
	b := By[K, V]{ID: id, Result: r}
	if err := c.make(ctx, &b); err != nil {
		return err
	}
	err := write(ctx, b.Key, b.Entry, b.TTL)
	c.wrote(ctx, b.Key, err)
	return err
}

// SetManyBy is SetBy for several entries, "not found" among them: write finds
// Key, Entry and TTL of each filled in. An entry that cannot be made fails the
// call before anything is written.
func (c *Cache[K, V]) SetManyBy(ctx context.Context, entries []By[K, V], write func(ctx context.Context, entries []By[K, V]) error) error {
	for i := range entries {
		if err := c.make(ctx, &entries[i]); err != nil {
			return err
		}
	}
	err := write(ctx, entries)
	for i := range entries {
		c.wrote(ctx, entries[i].Key, err)
	}
	return err
}

// make fills in what is to be stored.
func (c *Cache[K, V]) make(ctx context.Context, b *By[K, V]) error {
	k, err := c.key.One(b.ID)
	if err != nil {
		return c.failRead("set", "", err)
	}
	if b.Result.NotModified {
		return c.failRead("set", k, source.ErrNotModified)
	}
	var s stamp.Sampling
	err = c.pauses().Insist(ctx, func() error {
		s, err = c.terms.Sample(ctx, b.ID, false)
		return err
	})
	if err != nil {
		return c.failRead("set", k, err)
	}
	var raw []byte
	var ttl time.Duration
	if b.Absent {
		raw, ttl = c.terms.SetAbsent(b.Result.TTL, &s)
	} else {
		r := source.Result[V](b.Result)
		raw, ttl, err = c.terms.Set(ctx, &r, &s)
	}
	if err != nil {
		return c.failRead("set", k, err)
	}
	b.Key, b.Entry, b.TTL = k, unsafe.String(unsafe.SliceData(raw), len(raw)), ttl
	return nil
}

// Open reads an entry that SetBy gave to be stored elsewhere too. absent says
// that it is one of "not found". The error says that it is none, or one that
// another codec, or another shape of the type, wrote.
func (c *Cache[K, V]) Open(raw []byte) (v V, absent bool, err error) {
	f, err := frame.Parse(raw)
	switch {
	case err != nil:
		return v, false, c.failRead("open", "", err)
	case f.Kind == frame.Absent:
		return v, true, nil
	case f.Kind != frame.Value || f.Schema != c.form.Schema || f.Codec != c.form.ID:
		return v, false, c.failRead("open", "", errOther)
	}
	if v, err = c.form.Open(&f, true); err != nil {
		return v, false, c.failRead("open", "", errOther)
	}
	return v, false, nil
}

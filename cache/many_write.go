package cache

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/redstart-go/redstart/batch"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// writing is how writes of many ids travel: package batch sends again, for so
// long, those whose connection was lost, and fails the rest of an outage fast.
var writing = batch.Config{Wait: 250 * time.Millisecond}

// SetMany is Set for each pair, of which there may be any number: they are
// read as they are sent, a hundred to a round trip and at most 800 ahead. One
// SET each; with tags a round trip more for every hundred, which samples each
// stamp once. The error is an [Errors] with those that failed, each with its own
// Outcome; when ctx ends before values does, another error beside it says so. An
// id that occurs twice has its last value.
func (c *Cache[K, V]) SetMany(ctx context.Context, values iter.Seq2[K, V]) error {
	w := &writes[K, V]{Cache: c, op: "set"}
	w.all(ctx, batch.Set(ctx, c.client, func(yield func(batch.Entry) bool) {
		group := make([]setting[K, V], 0, sampledTogether)
		for id, v := range values {
			s := setting[K, V]{id: id, value: v}
			var err error
			if s.key, err = c.key.One(id); err == nil {
				s.labels, err = c.terms.Known(id)
			}
			if err != nil {
				w.failed(id, c.failRead(w.op, s.key, err))
				continue
			}
			if group = append(group, s); s.labels != nil && len(group) < cap(group) {
				continue
			}
			if !w.set(ctx, group, yield) {
				return
			}
			group = group[:0]
		}
		w.set(ctx, group, yield)
	}, writing))
	if w.cut != nil && w.errors != nil {
		return errors.Join(w.errors, w.cut)
	}
	return cmp.Or(w.cut, w.errors.OrNil())
}

// sampledTogether is how many values a SetMany reads before it asks for their
// tags' stamps.
const sampledTogether = 100

// setting is a pair to be set.
type setting[K comparable, V any] struct {
	id     K
	key    string
	value  V
	labels []stamp.Label
}

// set hands a group on, with the stamps that stand now, and reports whether more
// is wanted.
func (w *writes[K, V]) set(ctx context.Context, group []setting[K, V], yield func(batch.Entry) bool) bool {
	labels := make([][]stamp.Label, len(group))
	for i := range group {
		labels[i] = group[i].labels
	}
	samplings, err := w.terms.SampleMany(ctx, labels)
	for i := range group {
		s := &group[i]
		var raw []byte
		var ttl time.Duration
		failure := err
		if failure == nil {
			raw, ttl, failure = w.terms.Set(ctx, &source.Result[V]{Value: s.value}, &samplings[i])
		}
		if failure != nil {
			w.failed(s.id, w.failRead(w.op, s.key, failure))
			continue
		}
		w.sent = append(w.sent, s.id)
		if ttl > 0 {
			ttl = max(ttl, time.Millisecond)
		}
		if !yield(batch.Entry{Key: s.key, Value: string(raw), TTL: ttl}) {
			for _, s := range group[i+1:] {
				w.unsent = append(w.unsent, s.id)
			}
			return false
		}
	}
	return true
}

// InvalidateMany is Invalidate for each id: when it has returned nil, no read
// that begins later returns a value that any of them had before. One DEL each,
// a hundred to a round trip. The error is an [Errors] with those that are not
// known to be gone, each with its own Outcome; the others are gone.
func (c *Cache[K, V]) InvalidateMany(ctx context.Context, ids ...K) error {
	w := &writes[K, V]{Cache: c, op: "invalidate", unsent: ids}
	w.all(ctx, batch.Del(ctx, c.client, func(yield func(string) bool) {
		for i, id := range ids {
			w.unsent = ids[i+1:]
			k, err := c.key.One(id)
			if err != nil {
				w.failed(id, c.failRead(w.op, "", err))
				continue
			}
			w.sent = append(w.sent, id)
			if !yield(k) {
				return
			}
		}
	}, writing))
	return w.errors.OrNil()
}

// writes follows a batch of writes.
type writes[K comparable, V any] struct {
	*Cache[K, V]
	op     string
	sent   []K // whose results are to come, in order
	unsent []K // that were read
	errors Errors[K]
	cut    error // why the input was not read to its end
}

func (w *writes[K, V]) failed(id K, err error) {
	if w.errors == nil {
		w.errors = Errors[K]{}
	}
	w.errors[id] = err
}

// all takes the results of a batch.
func (w *writes[K, V]) all(ctx context.Context, results iter.Seq[batch.Result]) {
	var tell []string
	for r := range results {
		if w.near != nil && r.Key != "" {
			w.near.Forget(r.Key)
			tell = append(tell, r.Key)
		}
		switch {
		case r.Key == "":
			w.cut = w.fail(w.op, "", r.Err)
			continue
		case r.Err != nil:
			w.failed(w.sent[0], w.fail(w.op, r.Key, r.Err))
		default:
			w.forget(r.Key)
		}
		w.sent = w.sent[1:]
	}
	if w.near != nil {
		w.near.Tell(ctx, tell...)
	}
	if w.cut != nil {
		for _, id := range w.unsent {
			w.failed(id, w.cut)
		}
	}
}

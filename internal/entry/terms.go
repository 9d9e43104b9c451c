package entry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Terms are those on which a cache stores entries: for how long, and with which
// tags.
type Terms[K comparable, V any] struct {
	*Form[V]
	Tags             *stamp.Tags
	TagsOf           func(K) []string // the tags that an id tells; nil for none
	Clearable        bool
	ResultTags       bool
	TTL, NegativeTTL time.Duration // zero is for good
	Jitter           float64
	LoadTimeout      time.Duration
	Within           time.Duration // for asking about the tags of a result
	NotStored        func(error)   // hears why a result's tags could not be asked about
}

// ErrResultTags is the error of a result with tags in a cache that is not made
// for them.
var ErrResultTags = errors.New("the result has tags; set Config.ResultTags wherever the cache is made")

// Known are the tags of an entry that its id tells: Clear's and Config.Tags'.
func (t *Terms[K, V]) Known(id K) ([]stamp.Label, error) {
	if t.TagsOf == nil && !t.Clearable {
		return nil, nil
	}
	var labels []stamp.Label
	if t.Clearable {
		labels = append(labels, t.Tags.All())
	}
	if t.TagsOf == nil {
		return labels, nil
	}
	return t.Tags.Labels(labels, t.TagsOf(id))
}

// StampLife is how long a stamp must live that an entry stored by now, or soon,
// carries; zero for good.
func (t *Terms[K, V]) StampLife(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return t.LoadTimeout + max(ttl, t.NegativeTTL) + t.StaleFor
}

// Sample takes the stamps of the tags that the id tells, before a load or a
// Set.
func (t *Terms[K, V]) Sample(ctx context.Context, id K, load bool) (stamp.Sampling, error) {
	labels, err := t.Known(id)
	open := load && t.ResultTags
	if err != nil || len(labels) == 0 && !open {
		return stamp.Sampling{}, err
	}
	return t.Tags.Sample(ctx, labels, t.StampLife(t.TTL), open)
}

// SampleMany takes those of several ids that tell these labels.
func (t *Terms[K, V]) SampleMany(ctx context.Context, labels [][]stamp.Label) ([]stamp.Sampling, error) {
	return t.Tags.SampleMany(ctx, labels, t.StampLife(t.TTL))
}

// jittered takes a random part off a TTL; zero stays zero.
func (t *Terms[K, V]) jittered(ttl time.Duration) time.Duration {
	if ttl == 0 || t.Jitter == 0 {
		return ttl
	}
	return max(ttl-time.Duration(rand.Float64()*t.Jitter*float64(ttl)), time.Millisecond)
}

// lives is how long a result lives, which may say so itself.
func lives(said, configured time.Duration) time.Duration {
	if said == 0 {
		return configured
	}
	return max(said, 0)
}

// Set makes the entry of a value that nobody loaded, and says how long it is to
// stand.
func (t *Terms[K, V]) Set(ctx context.Context, r *source.Result[V], s *stamp.Sampling) (raw []byte, ttl time.Duration, err error) {
	ttl = t.jittered(lives(r.TTL, t.TTL))
	labels, err := t.labels(r.Tags)
	if err == nil && (len(labels) > 0 || r.TTL != 0) {
		_, err = t.Tags.Extend(ctx, s, labels, t.StampLife(ttl), false)
	}
	if err != nil {
		return nil, 0, err
	}
	raw, err = t.Encode(r.Value, About{TTL: ttl, Tags: s.Tags}, false)
	return raw, ttl + t.Beyond(ttl), err
}

// SetAbsent makes the entry that says that there is nothing, and says how long
// it is to stand.
func (t *Terms[K, V]) SetAbsent(said time.Duration, s *stamp.Sampling) (raw []byte, ttl time.Duration) {
	ttl = lives(said, t.NegativeTTL)
	return t.EncodeAbsent(About{TTL: ttl, Tags: s.Tags}), ttl
}

// Product makes the entry of what a load gave, a value or "not found", and says
// how long it is to stand. old is what the load was given. quiet is false when
// a tag of the result was, or may have been, invalidated meanwhile: the entry
// is for nobody who asks later. A value that can be stored can be read again:
// what the first caller gets is what the next ones will.
func (t *Terms[K, V]) Product(ctx context.Context, r *source.Loaded[V], old *frame.Frame, s *stamp.Sampling) (raw []byte, ttl time.Duration, quiet bool, err error) {
	found := r.Err == nil
	if ttl = lives(r.Result.TTL, t.NegativeTTL); found {
		ttl = t.jittered(lives(r.Result.TTL, t.TTL))
	}
	labels, err := t.labels(r.Result.Tags)
	if err != nil {
		return nil, 0, false, source.NewFailure(err)
	}
	quiet = true
	if len(labels) > 0 || r.Result.TTL != 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Within)
		defer cancel()
		if quiet, err = t.Tags.Extend(ctx, s, labels, t.StampLife(ttl), true); err != nil {
			t.NotStored(err)
			quiet = false
		}
	}
	a := About{TTL: ttl, Cost: r.Took, Tags: s.Tags}
	switch {
	case !found:
		return t.EncodeAbsent(a), ttl, quiet, nil
	case r.Result.NotModified:
		raw = t.EncodeAgain(old, a)
	default:
		if raw, err = t.Encode(r.Result.Value, a, true); err != nil && !errors.Is(err, ErrTooLarge) {
			return nil, 0, quiet, &codecError{err}
		} else if err != nil {
			return nil, 0, quiet, err
		}
	}
	return raw, ttl + t.Beyond(ttl), quiet, nil
}

// labels are the keys of a result's tags.
func (t *Terms[K, V]) labels(names []string) ([]stamp.Label, error) {
	if len(names) > 0 && !t.ResultTags {
		return nil, ErrResultTags
	}
	return t.Tags.Labels(nil, names)
}

// codecError: Load gave a value that the codec cannot write, or not read again.
type codecError struct{ err error }

func (e *codecError) Error() string {
	return "the codec cannot store the value; give Config.Codec another one"
}
func (e *codecError) Unwrap() error             { return e.err }
func (e *codecError) Outcome() redstart.Outcome { return redstart.NotApplied }

package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/key"
)

// Config says what a Cache holds and for how long. Key and Load (or LoadResult,
// or LoadMany) are needed; a zero field is the documented default, a negative one
// switches the thing off where the field says so; every invalid field is reported
// at once by [New].
type Config[K comparable, V any] struct {
	// Key is the template of the entries' keys, such as "user:<id>"; the
	// client's Namespace is put in front. A plain id gives the key one would
	// have written by hand.
	Key string

	// Args gives the values of the template's placeholders, in order. Default:
	// K itself, which must then be a string, an integer or an
	// encoding.TextMarshaler, for the only placeholder.
	Args func(K) []string

	// Load fetches a value from the source of truth. Its context outlives the
	// caller that began it, as long as anyone waits, up to LoadTimeout.
	// ErrNotFound says that there is no such thing, which is cached too.
	Load func(ctx context.Context, id K) (V, error)

	// LoadResult is a Load that says more: how long the value lives, its tags,
	// or that what was cached still holds. Only one of both is set.
	LoadResult func(ctx context.Context, id K, old Old[V]) (Result[V], error)

	// LoadMany fetches several values for GetMany and Warm in one call, for
	// exactly the ids that are missing and that nobody else loads, in no
	// order, each once. An id that is not in the map does not exist, as with
	// ErrNotFound. An error is that of every id of the call, whatever it says,
	// unless it is an [Errors]. LoadTimeout is for the whole call. With it Load
	// may be left out; then it also loads one id alone. Default: none; Load or
	// LoadResult is called for each id, Loads at a time.
	LoadMany func(ctx context.Context, ids []K) (map[K]V, error)

	// Loads is how many calls of Load one call of GetMany or Warm has under
	// way at once, where LoadMany cannot serve. Default: 8.
	Loads int

	// TTL is how long a value lives. Negative: for good. Default: 10 minutes.
	TTL time.Duration

	// Jitter is the fraction of a TTL that is taken off at random, so that
	// what was cached together does not expire together: from 0 to 1.
	// Negative: none. Default: 0.1.
	Jitter float64

	// NegativeTTL is how long "not found" is remembered. Negative: only as
	// long as ErrorTTL, for those who waited. Default: 10 seconds, at most TTL.
	NegativeTTL time.Duration

	// ErrorTTL is how long a failed load is remembered, so that those who
	// waited for it in other processes share the failure instead of loading
	// one after the other. It is also the pause between attempts at a source
	// that is down. Default: 1 second.
	ErrorTTL time.Duration

	// Lease is what the death of a process in the middle of a load costs those
	// who wait for it, and for how long one that dies in the middle of a Write may
	// leave the old value; a living one extends it. Default: 3 seconds.
	Lease time.Duration

	// LoadTimeout ends a load that takes longer. Default: 10 seconds.
	LoadTimeout time.Duration

	// Store writes a value to the source of truth, for Put. What it refuses is to
	// be told apart from what may have been written: see ErrRefused and Refused.
	Store func(ctx context.Context, id K, v V) error

	// Refused says of an error of Store, or of a Write, that the source surely
	// changed nothing. PostgreSQL's own codes and ErrRefused are known without it.
	// Default: none; the entry goes after any other error.
	Refused func(err error) bool

	// FloorFor is for how long the Version of a Write is a floor: a LoadResult that
	// gives an older one, because it reads from a replica that lags, is asked again
	// until LoadTimeout, with Old.Floor, and nothing older is cached or served. Each
	// load then costs a GET more, a Write a script; versions are for LoadResult, not
	// for Load and LoadMany. A floor that is evicted is lost. Negative or default:
	// off.
	FloorFor time.Duration

	// StoreTimeout ends a write that takes longer. Default: 10 seconds.
	StoreTimeout time.Duration

	// MaxBytes bounds an encoded value. A larger one is served, counted and
	// not cached; Set refuses it. Large values block the server and everyone
	// behind them in the pipeline. Negative: none. Default: 1 MiB.
	MaxBytes int

	// Refresh loads a value that is read again before its TTL ends, once for
	// all processes, while readers have the old one. Default: off.
	Refresh Refresh

	// StaleFor keeps a value beyond its TTL, for the case that a load fails:
	// readers then have it, until ErrorTTL later the next load is tried. Never
	// after an invalidation. Negative or default: off.
	StaleFor time.Duration

	// SoftTimeout is how long a reader waits for a load while StaleFor keeps an
	// old value for him, which he then has; the load goes on, and ends by
	// LoadTimeout. Needs StaleFor. Negative or default: off.
	SoftTimeout time.Duration

	// Ages keeps each entry's age for GetEntry where neither Refresh nor
	// StaleFor does. Default: off.
	Ages bool

	// Tags gives the tags of an entry that its id tells, for InvalidateTag. Every
	// reader asks for their stamps in the round trip of the entry. Default: none.
	Tags func(K) []string

	// ResultTags lets LoadResult and SetResult give tags. Set it wherever the
	// cache is made, also where it only invalidates: a load then opens a page
	// of a ledger, in which InvalidateTag notes what it ends. Default: off.
	ResultTags bool

	// Clearable makes Clear work: every reader asks for one more stamp.
	// Default: off.
	Clearable bool

	// ReadFrom lets replicas answer the first look at an entry. What is promised
	// of invalidations then holds from MaxLag on (without one: as soon as the
	// replicas have caught up), for reads under redstart.ReadYourWrites for one's
	// own at once; loads, waits and writes are the primary's as ever. Entries
	// with tags that the id tells, and what Near keeps, are read from the
	// primary. Default: the primary.
	ReadFrom redstart.ReadFrom

	// Near keeps values in the process, in front of the server. Default: off.
	Near Near[K, V]

	// Compress packs payloads above CompressAbove. Entries packed in either way
	// are read whatever it says. Default: NoCompression.
	Compress Compression

	// CompressAbove is from how many bytes on a payload is packed. Default: 1 KiB.
	CompressAbove int

	// Codec turns values into bytes. Default: [Raw] for bytes and text, a
	// type's generated methods where it has them, else [Msgpack], the fastest
	// that needs no generated code. The default is refused for a type that
	// would come back different (fields not exported, interfaces, types that
	// only know JSON); a Codec given here is taken at its word.
	Codec Codec[V]

	// Version is part of every entry's schema: raise it when the meaning of a
	// value changes and its shape does not. (A changed shape is noticed.)
	// Default: 0.
	Version int

	// Adopt decodes a string that is not one of our entries, such as one that
	// the cache before this one wrote; its error means a miss. Default: such a
	// string is a miss and is replaced.
	Adopt func(raw []byte) (V, error)
}

const (
	defaultTTL          = 10 * time.Minute
	defaultJitter       = 0.1
	defaultNegativeTTL  = 10 * time.Second
	defaultErrorTTL     = time.Second
	defaultLease        = 3 * time.Second
	defaultLoadTimeout  = 10 * time.Second
	defaultStoreTimeout = 10 * time.Second
	defaultMaxBytes     = 1 << 20
	defaultAbove        = 1 << 10
	minLease            = 100 * time.Millisecond
	defaultLoads        = 8
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config[K, V]) withDefaults(c *redstart.Client) (Config[K, V], *key.Template, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/cache: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	var template *key.Template
	if cfg.Key == "" {
		bad("Key", `is missing; give the template of the entries' keys, such as "user:<id>"`)
	} else {
		full := cfg.Key
		if ns := c.Config().Namespace; ns != "" {
			full = ns + ":" + full
		}
		var err error
		if template, err = key.Parse(full); err != nil {
			bad("Key", "%v", err)
		}
	}
	if template != nil && cfg.Args == nil {
		if n := len(template.Names()); n != 1 {
			bad("Args", "is missing; the template has %d placeholders", n)
		} else if ids.Of[K](template, nil).One == nil {
			bad("Args", "is missing; a %s does not say how it is written as text", reflect.TypeFor[K]())
		}
	}
	switch {
	case cfg.Load == nil && cfg.LoadResult == nil && cfg.LoadMany == nil:
		bad("Load", "is missing, and so are LoadResult and LoadMany; one of them fetches what is not cached")
	case cfg.Load != nil && cfg.LoadResult != nil:
		bad("Load", "and LoadResult are both set; leave one out")
	}
	if cfg.FloorFor > 0 && (cfg.LoadResult == nil || cfg.LoadMany != nil) {
		bad("FloorFor", "needs versions of what is loaded, which only LoadResult gives, and no LoadMany")
	}
	switch {
	case cfg.Loads < 0:
		bad("Loads", "is negative; it cannot be switched off")
	case cfg.Loads == 0:
		cfg.Loads = defaultLoads
	}
	if cfg.TTL == 0 {
		cfg.TTL = defaultTTL
	}
	cfg.TTL = max(cfg.TTL, 0)
	switch {
	case cfg.Jitter == 0:
		cfg.Jitter = defaultJitter
	case cfg.Jitter > 1:
		bad("Jitter", "%v is not a fraction between 0 and 1", cfg.Jitter)
	}
	cfg.Jitter = max(cfg.Jitter, 0)
	cfg.ErrorTTL = cfg.duration("ErrorTTL", cfg.ErrorTTL, defaultErrorTTL, bad)
	cfg.Lease = cfg.duration("Lease", cfg.Lease, defaultLease, bad)
	if cfg.Lease < minLease {
		bad("Lease", "%v is below %v; a pause of the process would lose it", cfg.Lease, minLease)
	}
	cfg.LoadTimeout = cfg.duration("LoadTimeout", cfg.LoadTimeout, defaultLoadTimeout, bad)
	cfg.StoreTimeout = cfg.duration("StoreTimeout", cfg.StoreTimeout, defaultStoreTimeout, bad)
	switch {
	case cfg.NegativeTTL < 0:
		cfg.NegativeTTL = cfg.ErrorTTL
	case cfg.NegativeTTL == 0:
		cfg.NegativeTTL = defaultNegativeTTL
		if cfg.TTL > 0 {
			cfg.NegativeTTL = min(cfg.NegativeTTL, cfg.TTL)
		}
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	cfg.Refresh.check(bad)
	cfg.Near.complete(template, bad)
	cfg.StaleFor, cfg.SoftTimeout = max(cfg.StaleFor, 0), max(cfg.SoftTimeout, 0)
	if cfg.SoftTimeout > 0 && cfg.StaleFor == 0 {
		bad("SoftTimeout", "needs StaleFor; without an old value there is nothing to serve")
	}
	if cfg.Compress > Zstd {
		bad("Compress", "%d is none of NoCompression, S2 and Zstd", cfg.Compress)
	}
	if cfg.CompressAbove == 0 {
		cfg.CompressAbove = defaultAbove
	}
	if cfg.Codec == nil {
		var err error
		if cfg.Codec, err = codec.Default[V](); err != nil {
			bad("Codec", "%v; tag the field msgpack:\"-\" to leave it out, or give a Codec such as cache.JSON", err)
		}
	}
	return cfg, template, errors.Join(wrong...)
}

func (cfg Config[K, V]) duration(field string, v, def time.Duration, bad func(string, string, ...any)) time.Duration {
	switch {
	case v < 0:
		bad(field, "is negative; it cannot be switched off")
		return def
	case v == 0:
		return def
	default:
		return v
	}
}

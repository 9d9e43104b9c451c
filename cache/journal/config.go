package journal

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/codec"
)

// AtBound is what a write does when the journal is at a bound.
type AtBound uint8

const (
	// Block waits until there is room or the context ends.
	Block AtBound = iota
	// Refuse gives ErrFull.
	Refuse
	// WriteDirectly writes beyond the bound and waits until the sink has the
	// change, so that a writer goes no faster than the sink. The change goes the
	// way of all others, behind what is pending for its key: applied from here it
	// could be overtaken by what is older, or overtake what deletes it. How much
	// may be beyond the bound is bounded too (an eighth, at least 1,000 records
	// and 1 MiB a partition); there it blocks.
	WriteDirectly
)

// Config says what a Journal holds, where it goes and how much may be pending.
// Name, Cache and Sink are needed; a zero field is the documented default, a
// negative one switches the thing off where the field says so; every invalid
// field is reported at once by [New]. All processes must use the same Name,
// Cache.Key and Partitions.
type Config[K comparable, V any] struct {
	// Name is the journal's, such as "orders", and begins all its keys:
	// "{orders:<partition>}:" stands before those of the cache, which so lie in the
	// slot of their partition. It is literal text without white space, ':', '%',
	// '<', '>', '{' and '}'.
	Name string

	// Cache says how entries look and how long they live, and has the Load for
	// what is neither cached nor pending. Its Key is a template without a hash tag.
	Cache cache.Config[K, V]

	// Sink is where changes go. In a process that never calls Run it may be left
	// out.
	Sink Sink[K, V]

	// IDs turns ids into bytes and back. Two ids must not give the same bytes.
	// Default: the bytes of text, else MessagePack.
	IDs cache.Codec[K]

	// Partitions is into how many streams the journal is divided, by the hash of
	// an id's bytes; each has one flusher at a time, and a slot in a cluster. It
	// cannot change while anything is pending. From 1 to 1,024. Default: 16.
	Partitions int

	// BatchSize is how many keys a call of Sink.Apply gets at most, up to 10,000,
	// BatchWait how long the first of them waits for others (and a remote flusher
	// looks a tenth of it apart, at most every 100 ms). Default: 1,000 and 1 s.
	BatchSize int
	BatchWait time.Duration

	// Writers is how many calls of Sink.Apply a Run has under way at once. Default: 4.
	Writers int

	// ApplyTimeout ends the context of a call of Sink.Apply. Default: 30 s.
	ApplyTimeout time.Duration

	// Lease is what the death of a process costs its partitions until another takes
	// them; a living one renews it. From 100 ms to 1 hour. Default: 5 s.
	Lease time.Duration

	// MaxRecords bounds the records that are pending, MaxBytes their size and MaxAge
	// that of the oldest. Records and bytes are divided evenly among the partitions.
	// Negative: no bound. Default: 200,000, 256 MiB and none.
	MaxRecords int
	MaxBytes   int64
	MaxAge     time.Duration

	// AtBound says what a write does then. Default: Block.
	AtBound AtBound

	// Attempts is how often a change that fails alone, while others succeed, is
	// tried before it goes to the dead letters. Default: 8.
	Attempts int

	// Backoff is the pause after the first failure, of a key or of the sink as a
	// whole; each is twice the one before, up to MaxBackoff, less a random part of
	// up to a half. Default: 100 ms and 30 s.
	Backoff, MaxBackoff time.Duration

	// MaxDead bounds the dead letters of a partition. Beyond it what cannot be
	// written stays pending, and is tried every MaxBackoff. Default: 1,000.
	MaxDead int

	// Durability is what a write waits for before it is acknowledged. Default: Memory.
	Durability Durability

	// AllowEviction accepts a server that may evict the journal, UnknownEviction one
	// that does not say whether it may. Default: both are refused.
	AllowEviction   bool
	UnknownEviction bool
}

const (
	defaultPartitions   = 16
	maxPartitions       = 1024
	defaultBatchSize    = 1000
	maxBatchSize        = 10_000
	defaultBatchWait    = time.Second
	defaultWriters      = 4
	defaultApplyTimeout = 30 * time.Second
	defaultLease        = 5 * time.Second
	minLease            = 100 * time.Millisecond
	maxLease            = time.Hour
	defaultMaxRecords   = 200_000
	defaultMaxBytes     = 256 << 20
	defaultAttempts     = 8
	defaultBackoff      = 100 * time.Millisecond
	defaultMaxBackoff   = 30 * time.Second
	defaultMaxDead      = 1000
)

// withDefaults checks every field but Cache, which the cache checks, and fills
// in what is zero.
func (cfg Config[K, V]) withDefaults() (Config[K, V], error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/journal: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Name == "" {
		bad("Name", `is missing; give the journal one, such as "orders"`)
	} else if i := strings.IndexFunc(cfg.Name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(":%<>{}\x7f", r) }); i >= 0 {
		bad("Name", "%q is not for a name; take letters, digits, '-', '_' and '.'", cfg.Name[i:i+1])
	}
	if strings.ContainsAny(cfg.Cache.Key, "{}") {
		bad("Cache.Key", "has a hash tag; the journal puts its partition's in front")
	}
	if cfg.IDs == nil {
		ids, err := codec.Default[K]()
		if cfg.IDs = ids; err != nil {
			bad("IDs", "%v; give a codec", err)
		}
	}
	number := func(field string, v *int, def, most int) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			bad(field, "is negative; it cannot be switched off")
		case most > 0 && *v > most:
			bad(field, "%d is above %d", *v, most)
		}
	}
	lasts := func(field string, v *time.Duration, def, least, most time.Duration) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			bad(field, "is negative; it cannot be switched off")
		case *v < least:
			bad(field, "%v is below %v", *v, least)
		case most > 0 && *v > most:
			bad(field, "%v is above %v", *v, most)
		}
	}
	number("Partitions", &cfg.Partitions, defaultPartitions, maxPartitions)
	number("BatchSize", &cfg.BatchSize, defaultBatchSize, maxBatchSize)
	number("Writers", &cfg.Writers, defaultWriters, 0)
	number("Attempts", &cfg.Attempts, defaultAttempts, 0)
	number("MaxDead", &cfg.MaxDead, defaultMaxDead, 0)
	lasts("BatchWait", &cfg.BatchWait, defaultBatchWait, time.Millisecond, maxLease)
	lasts("ApplyTimeout", &cfg.ApplyTimeout, defaultApplyTimeout, time.Millisecond, 0)
	lasts("Lease", &cfg.Lease, defaultLease, minLease, maxLease)
	lasts("Backoff", &cfg.Backoff, defaultBackoff, time.Millisecond, 0)
	lasts("MaxBackoff", &cfg.MaxBackoff, max(defaultMaxBackoff, cfg.Backoff), cfg.Backoff, 0)
	if cfg.MaxRecords == 0 {
		cfg.MaxRecords = defaultMaxRecords
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.MaxRecords > 0 && cfg.MaxRecords < cfg.Partitions {
		bad("MaxRecords", "%d is less than one for each of %d partitions", cfg.MaxRecords, cfg.Partitions)
	}
	if cfg.AtBound > WriteDirectly {
		bad("AtBound", "%d is none of Block, Refuse and WriteDirectly", cfg.AtBound)
	}
	cfg.Durability.check(bad)
	return cfg, errors.Join(wrong...)
}

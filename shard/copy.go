package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// CopyConfig says how [Copy] moves keys. A zero field is the documented default;
// every invalid one is reported at once.
type CopyConfig struct {
	// Shards are the servers by the names that the plan uses: those of
	// [Client.Shards], for one. Required.
	Shards map[string]*redstart.Client

	// Conflict says what happens with a key that is on the target already, with
	// other contents. Default: ReportConflict.
	Conflict Conflict

	// Keep leaves the keys on the source too. Without it a key is deleted there
	// once the target has confirmed it.
	Keep bool

	// Progress is called after every page of keys with what has been done so far,
	// by one goroutine at a time; it holds up the copying while it runs. Default:
	// none.
	Progress func(Copied)

	// Count is how many keys one SCAN looks at. Default: 512.
	Count int
	// Batch bounds the keys that travel in one pipeline. Default: 100.
	Batch int
	// BatchBytes bounds what their values take, as MEMORY USAGE estimates it; a
	// larger value travels alone. Each source holds as much in memory. Default:
	// 8 MiB.
	BatchBytes int64
}

// Conflict is what happens with a key that is on both shards with contents that
// differ.
type Conflict uint8

const (
	// ReportConflict leaves both as they are, and Copy ends with [ErrConflict].
	ReportConflict Conflict = iota
	// TargetWins takes the target's for the newer: the source's is deleted,
	// unless Keep is set. For caches whose readers and writers have moved on.
	TargetWins
	// SourceWins overwrites what the target has.
	SourceWins
)

// Copied counts what Copy has done.
type Copied struct {
	Scanned   int64 // keys looked at on the sources
	Moved     int64 // that the target took
	Found     int64 // that the target had already, alike: those of an earlier run
	Conflicts int64 // that it had with other contents
	Gone      int64 // that ended between SCAN and DUMP
	Bytes     int64 // of the values sent
}

// ErrConflict says that keys are on the target already, with other contents.
var ErrConflict = errors.New("keys are on the target already, with other contents")

// Copy moves the keys of the plan's slots from the shard that had them to the one
// that has them now, with what is left of their TTL: page by page SCAN, DUMP and
// PTTL, RESTORE, and UNLINK on the source once the target has the key. At the end
// it scans the sources again: anything left is an error.
//
// Nothing may write to these slots meanwhile, by either layout: stop the writers,
// run Copy, start them with the new layout. Only where lost writes and stale
// reads do no harm (a cache with short TTLs) may they go on, with TargetWins.
//
// When it fails, or its process dies, or a server does, run it again with the
// same plan: it finds what was done and loses nothing that the target's disk
// keeps (appendfsync always; with everysec a crash of the target may take the
// last second with it: use Keep, and delete afterwards by a run with TargetWins).
// A key that DUMP cannot serialise, or a target that refuses the form (an older
// server), ends it with that error.
//
// Cost: five commands a key in pipelines, and two scans of each source. Sources
// are worked on at once.
func Copy(ctx context.Context, plan []Move, cfg CopyConfig) (Copied, error) {
	cfg, err := cfg.withDefaults(plan)
	if err != nil {
		return Copied{}, err
	}
	c := &copier{cfg: cfg}
	if err := c.apart(ctx, plan); err != nil {
		return Copied{}, err
	}
	sources := map[string]map[uint16]string{} // from -> slot -> to
	for _, m := range plan {
		if sources[m.From] == nil {
			sources[m.From] = map[uint16]string{}
		}
		sources[m.From][m.Slot] = m.To
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for from, targets := range sources {
		wg.Go(func() {
			if err := c.source(ctx, from, targets); err != nil {
				cancel(err) // the first ends the others
			}
		})
	}
	wg.Wait()
	err = context.Cause(ctx)
	if known := (*redstart.Error)(nil); err != nil && !errors.As(err, &known) {
		err = copyError("", err)
	}
	if err == nil && c.done.Conflicts > 0 && cfg.Conflict == ReportConflict {
		err = &redstart.Error{Op: copyOp, Err: &conflictError{c.done.Conflicts}}
	}
	return c.done, err
}

const copyOp = "redstart/shard: copy"

type conflictError struct{ n int64 }

func (e *conflictError) Error() string {
	return fmt.Sprintf("%d %v; both were left as they are: choose TargetWins or SourceWins", e.n, ErrConflict)
}
func (e *conflictError) Unwrap() error { return ErrConflict }

// copyError says where it failed. What had been done by then is not undone.
func copyError(where string, err error) error {
	wrapped := redstart.NewError(copyOp, where, "", err)
	if e := (*redstart.Error)(nil); errors.As(wrapped, &e) {
		e.Outcome = redstart.Unknown
	}
	return wrapped
}

func (cfg CopyConfig) withDefaults(plan []Move) (CopyConfig, error) {
	var wrong []error
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/shard: copy: config: "+format, args...))
	}
	missing := map[string]bool{}
	for _, m := range plan {
		for _, name := range []string{m.From, m.To} {
			if cfg.Shards[name] == nil && !missing[name] {
				missing[name] = true
				bad("Shards has no client for %q, which the plan names", name)
			}
		}
		if m.Slot >= Slots || m.From == m.To {
			bad("the plan moves slot %d from %q to %q; make it by Plan", m.Slot, m.From, m.To)
		}
	}
	if cfg.Count < 0 || cfg.Batch < 0 || cfg.BatchBytes < 0 {
		bad("Count, Batch and BatchBytes are bounds, and not negative")
	}
	if cfg.Conflict > SourceWins {
		bad("Conflict is %d, which is none of its values", cfg.Conflict)
	}
	if cfg.Count == 0 {
		cfg.Count = 512
	}
	if cfg.Batch == 0 {
		cfg.Batch = 100
	}
	if cfg.BatchBytes == 0 {
		cfg.BatchBytes = 8 << 20
	}
	return cfg, errors.Join(wrong...)
}

type copier struct {
	cfg  CopyConfig
	mu   sync.Mutex
	done Copied
}

// add counts, and reports if it is the end of a page.
func (c *copier) add(more Copied, report bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done.Scanned += more.Scanned
	c.done.Moved += more.Moved
	c.done.Found += more.Found
	c.done.Conflicts += more.Conflicts
	c.done.Gone += more.Gone
	c.done.Bytes += more.Bytes
	if report && c.cfg.Progress != nil {
		c.cfg.Progress(c.done)
	}
}

// apart refuses two names for one data set: a key that is there already would be
// taken for moved, and deleted.
func (c *copier) apart(ctx context.Context, plan []Move) error {
	names := map[string]bool{}
	for _, m := range plan {
		names[m.From], names[m.To] = true, true
	}
	seen := map[string]string{}
	for name := range names {
		client := c.cfg.Shards[name]
		info, err := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
		if err != nil {
			return copyError(name, err)
		}
		id := ""
		for line := range strings.Lines(info) {
			if run, ok := strings.CutPrefix(line, "run_id:"); ok {
				id = strings.TrimSpace(run)
			}
		}
		if id == "" {
			return copyError(name, errors.New("INFO gives no run_id, so it cannot be told from the other shards"))
		}
		id = fmt.Sprintf("%s/%d", id, client.Config().Database)
		if other := seen[id]; other != "" {
			return &redstart.Error{Op: copyOp, Template: name, Outcome: redstart.NotApplied, Err: fmt.Errorf("it is the same database of the same server as %s", other)}
		}
		seen[id] = name
	}
	return nil
}

// source moves what is to move from one shard, then looks whether anything is
// left.
func (c *copier) source(ctx context.Context, from string, targets map[uint16]string) error {
	conflicts := int64(0)
	err := c.pages(ctx, from, targets, func(scanned int, byTarget map[string][]string) error {
		c.add(Copied{Scanned: int64(scanned)}, false)
		for to, keys := range byTarget {
			for batch := range slices.Chunk(keys, c.cfg.Batch) {
				n, err := c.batch(ctx, from, to, batch)
				if err != nil {
					return err
				}
				conflicts += n
			}
		}
		c.add(Copied{}, true)
		return nil
	})
	if err != nil {
		return err
	}
	left := int64(0)
	err = c.pages(ctx, from, targets, func(_ int, byTarget map[string][]string) error {
		for to, keys := range byTarget {
			n, err := c.left(ctx, from, to, keys)
			if err != nil {
				return err
			}
			left += n
		}
		return nil
	})
	if c.cfg.Keep || c.cfg.Conflict != ReportConflict {
		conflicts = 0 // none was left behind
	}
	if err == nil && left > conflicts {
		err = copyError(from, fmt.Errorf("%d keys appeared on it meanwhile; stop what writes to it, and run Copy again", left-conflicts))
	}
	return err
}

// left counts those of a page that have not moved: all that are still there, or
// with Keep those that only the source has.
func (c *copier) left(ctx context.Context, from, to string, keys []string) (int64, error) {
	if !c.cfg.Keep {
		return int64(len(keys)), nil
	}
	missing, err := c.absent(ctx, to, keys)
	if err != nil || len(missing) == 0 {
		return 0, err
	}
	ended, err := c.absent(ctx, from, missing)
	return int64(len(missing) - len(ended)), err
}

// absent gives those keys that a shard does not have.
func (c *copier) absent(ctx context.Context, name string, keys []string) ([]string, error) {
	client := c.cfg.Shards[name]
	var none []string
	for batch := range slices.Chunk(keys, c.cfg.Batch) {
		cmds := make([]rueidis.Completed, len(batch))
		for i, k := range batch {
			cmds[i] = client.B().Exists().Key(k).Build()
		}
		for i, r := range client.DoMulti(ctx, cmds...) {
			n, err := r.AsInt64()
			if err != nil {
				return nil, copyError(name, err)
			}
			if n == 0 {
				none = append(none, batch[i])
			}
		}
	}
	return none, nil
}

// pages gives each page of a shard's keys in the slots, by their targets.
func (c *copier) pages(ctx context.Context, from string, targets map[uint16]string, page func(scanned int, byTarget map[string][]string) error) error {
	client := c.cfg.Shards[from]
	for cursor := uint64(0); ; {
		entry, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Count(int64(c.cfg.Count)).Build()).AsScanEntry()
		if err != nil {
			return copyError(from, err)
		}
		byTarget := map[string][]string{}
		for _, k := range entry.Elements {
			if to := targets[key.Slot(k)]; to != "" {
				byTarget[to] = append(byTarget[to], k)
			}
		}
		if err := page(len(entry.Elements), byTarget); err != nil {
			return err
		}
		if cursor = entry.Cursor; cursor == 0 {
			return nil
		}
	}
}

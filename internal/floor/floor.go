// Package floor remembers for a while below which version nothing that is loaded
// is to be believed: a database's replica may not have the last write yet, and no
// lease on the cache's key can see that.
package floor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/source"
)

var (
	//go:embed lua/raise.lua
	raiseText string
	raise     = redstart.NewScript("floor/raise", raiseText)
)

// ErrBehind says that every answer of the source was older than the last write.
var ErrBehind = errors.New("the source is behind the last write")

// errFloor: something else stands at the key.
var errFloor = errors.New("what stands at the floor's key is none")

// Floor is the least that may be believed of a key.
type Floor struct {
	Version uint64 // zero: anything
	Absent  bool   // the last write left nothing there
}

// Floors are those of a family of keys.
type Floors struct {
	Client *redstart.Client
	For    time.Duration // longer than the source's replicas lag
}

// keyOf is the key of a floor. No id gives such a name: it would have its percent
// sign escaped.
func keyOf(k string) string { return k + ":%floor" }

// Raise sets a floor. One script; it may be sent twice.
func (f *Floors) Raise(ctx context.Context, k string, to Floor) error {
	text := fmt.Sprintf("%020d", to.Version)
	if to.Absent {
		text += "-"
	}
	var err error
	for range 2 {
		err = raise.Exec(ctx, f.Client, []string{keyOf(k)}, []string{text, strconv.FormatInt(max(f.For.Milliseconds(), 1), 10)}).Error()
		if err == nil || ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			break
		}
	}
	return err
}

// Of is the floor of a key. One GET.
func (f *Floors) Of(ctx context.Context, k string) (Floor, error) {
	text, err := f.Client.Do(ctx, f.Client.B().Get().Key(keyOf(k)).Build()).ToString()
	if err != nil {
		if rueidis.IsRedisNil(err) {
			err = nil
		}
		return Floor{}, err
	}
	if len(text) < 20 {
		return Floor{}, errFloor
	}
	n, err := strconv.ParseUint(text[:20], 10, 64)
	if err != nil {
		return Floor{}, errFloor
	}
	return Floor{n, text[20:] == "-"}, nil
}

// holds reports whether a load that gave this may be believed.
func (f Floor) holds(version uint64, found bool) bool {
	switch {
	case f.Version == 0 || version >= f.Version:
		return true
	case !found:
		return f.Absent
	default:
		return false
	}
}

// pauses are between answers that were too old.
const (
	pauseFirst = 5 * time.Millisecond
	pauseMost  = 250 * time.Millisecond
)

// Load calls load until it gives what is not below the floor, which it is told
// once it was. When the server is away there is no floor: what is loaded then is
// not cached.
func Load[V any](ctx context.Context, f *Floors, k string, load func(ctx context.Context, floor uint64) (source.Result[V], error)) (source.Result[V], error) {
	told := uint64(0)
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		r, err := load(ctx, told)
		found := err == nil
		if !found && !errors.Is(err, source.ErrNotFound) {
			return r, err
		}
		least, bad := f.Of(ctx, k) // after the load: a write that comes later ends its lease
		if bad != nil && !redstart.Away(bad) {
			return r, bad
		}
		if bad != nil || least.holds(r.Version, found) {
			return r, err
		}
		told = least.Version
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return r, errors.Join(ErrBehind, context.Cause(ctx))
		}
	}
}

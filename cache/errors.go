package cache

import (
	"errors"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/floor"
	"github.com/redstart-go/redstart/internal/source"
)

// What a call may say, for errors.Is.
var (
	// ErrNotFound: there is no such thing. A Load returns it to say so, and
	// Get returns it as it is.
	ErrNotFound = source.ErrNotFound
	// ErrLoad: the load failed, in another process or within the last
	// Config.ErrorTTL; its error went to those who waited where it ran.
	ErrLoad = source.ErrLoad
	// ErrPanic: the Load panicked, or ended its goroutine.
	ErrPanic = source.ErrPanic
	// ErrLoadTimeout: the Load took longer than Config.LoadTimeout.
	ErrLoadTimeout = errors.New("the load took longer than Config.LoadTimeout")
	// ErrTooLarge: the value exceeds Config.MaxBytes.
	ErrTooLarge = entry.ErrTooLarge
	// ErrRefused: the source refused a write and changed nothing. A Store or a
	// write returns it, wrapped or alone, so that the cache stays as it was.
	ErrRefused = entry.ErrRefused
	// ErrBehind: what Load gave was older than the last Write, until LoadTimeout.
	ErrBehind = floor.ErrBehind
	// ErrStoreTimeout: the write took longer than Config.StoreTimeout.
	ErrStoreTimeout = errors.New("the write took longer than Config.StoreTimeout")
)

// fail wraps what went wrong in a call on a key.
func (c *Cache[K, V]) fail(op, key string, err error) error {
	return redstart.NewError("redstart/cache: "+op, c.template.String(), key, err)
}

// failRead is fail for a call that changes nothing, whatever went wrong.
func (c *Cache[K, V]) failRead(op, key string, err error) error {
	return withOutcome(c.fail(op, key, err), redstart.NotApplied)
}

func withOutcome(wrapped error, o redstart.Outcome) error {
	var e *redstart.Error
	if errors.As(wrapped, &e) {
		e.Outcome = o
	}
	return wrapped
}

var errTTL = errors.New("the TTL must be positive; an entry without an end is made by Config.TTL")

// What a call on a cache that is not configured for it says.
var (
	errNoTags  = errors.New("the cache has no tags; set Config.Tags, or Config.ResultTags with LoadResult")
	errNoStore = errors.New("there is no Config.Store; set it, or use Write")
	errNoClear = errors.New("the cache cannot be cleared; set Config.Clearable wherever it is made")
)

// errStands: the source has taken a write.
var errStands = errors.New("the write stands, and the cache may serve the old value for another Config.Lease")

// errSoft is the end of a reader's patience; he looks for the old value.
var errSoft = errors.New("the load takes longer than Config.SoftTimeout")

// errOther: an entry that this cache cannot read.
var errOther = errors.New("the entry was written by another codec, or for another shape of the type")

// errDisturbed: a tag of a result was invalidated while it was being loaded.
var errDisturbed = errors.New("a tag was invalidated during the load")

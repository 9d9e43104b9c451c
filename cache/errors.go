package cache

import (
	"errors"
	"fmt"

	"github.com/redstart-go/redstart"
)

// What a call may say, for errors.Is.
var (
	// ErrNotFound: there is no such thing. A Load returns it to say so, and
	// Get returns it as it is.
	ErrNotFound error = notFound{}
	// ErrLoad: the load failed, in another process or within the last
	// Config.ErrorTTL; its error went to those who waited where it ran.
	ErrLoad error = loadFailed{}
	// ErrPanic: the Load panicked, or ended its goroutine.
	ErrPanic = errors.New("the load panicked")
	// ErrLoadTimeout: the Load took longer than Config.LoadTimeout.
	ErrLoadTimeout = errors.New("the load took longer than Config.LoadTimeout")
	// ErrTooLarge: the value exceeds Config.MaxBytes.
	ErrTooLarge = errors.New("the value exceeds Config.MaxBytes")
)

// notFound and loadFailed are errors that say of themselves that nothing
// was changed.
type (
	notFound   struct{}
	loadFailed struct{}
)

func (notFound) Error() string             { return "redstart/cache: not found" }
func (notFound) Outcome() redstart.Outcome { return redstart.NotApplied }
func (loadFailed) Error() string {
	return "the load failed a moment ago; its error went to those who waited for it where it ran"
}
func (loadFailed) Outcome() redstart.Outcome { return redstart.NotApplied }

// fail wraps what went wrong in a call on a key.
func (c *Cache[K, V]) fail(op, key string, err error) error {
	return redstart.NewError("redstart/cache: "+op, c.template.String(), key, err)
}

// failRead is fail for a call that changes nothing, whatever went wrong.
func (c *Cache[K, V]) failRead(op, key string, err error) error {
	wrapped := c.fail(op, key, err)
	var e *redstart.Error
	if errors.As(wrapped, &e) {
		e.Outcome = redstart.NotApplied
	}
	return wrapped
}

// unavailable is ErrUnavailable with its reason.
type unavailable struct {
	cause  error
	places int
}

func (u *unavailable) Error() string {
	if u.places == 0 {
		return fmt.Sprintf("the server is not available (%v), and Config.OutageLoads allows no load without it", u.cause)
	}
	return fmt.Sprintf("the server is not available (%v), and %d loads without it are under way already (Config.OutageLoads)", u.cause, u.places)
}
func (u *unavailable) Is(target error) bool      { return target == redstart.ErrUnavailable }
func (u *unavailable) Outcome() redstart.Outcome { return redstart.NotApplied }

// sourceError is what Load said: a failure of the source, not of the server,
// whatever it looks like.
type sourceError struct{ err error }

func (e *sourceError) Error() string             { return e.err.Error() }
func (e *sourceError) Unwrap() error             { return e.err }
func (e *sourceError) Outcome() redstart.Outcome { return redstart.NotApplied }
func (e *sourceError) FromSource()               {}

// loadPanic is a panic of a Load on its way to the caller that began it.
type loadPanic struct {
	value any
	stack []byte
}

func (p *loadPanic) Error() string {
	return fmt.Sprintf("redstart/cache: load: panic: %v\n\n%s", p.value, p.stack)
}
func (p *loadPanic) Unwrap() error { return ErrPanic }

// errPayload is all that an event says of bytes that the codec refuses: its own
// error may repeat them.
var errPayload = errors.New("the codec cannot read the payload")

var errTTL = errors.New("the TTL must be positive; an entry without an end is made by Config.TTL")

// What a call on a cache that is not configured for it says.
var (
	errNoTags      = errors.New("the cache has no tags; set Config.Tags, or Config.ResultTags with LoadResult")
	errNoClear     = errors.New("the cache cannot be cleared; set Config.Clearable wherever it is made")
	errResultTags  = errors.New("the result has tags; set Config.ResultTags wherever the cache is made")
	errNotModified = errors.New("the load says \"not modified\", but it was given no old value")
)

// errSoft is the end of a reader's patience; he looks for the old value.
var errSoft = errors.New("the load takes longer than Config.SoftTimeout")

// errDisturbed: a tag of a result was invalidated while it was being loaded.
var errDisturbed = errors.New("a tag was invalidated during the load")

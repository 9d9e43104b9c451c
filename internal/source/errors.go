package source

import (
	"errors"
	"fmt"

	"github.com/redstart-go/redstart"
)

// What a load may come to, in the words of package cache.
var (
	// ErrNotFound is cache.ErrNotFound.
	ErrNotFound error = notFound{}
	// ErrLoad is cache.ErrLoad.
	ErrLoad error = loadFailed{}
	// ErrPanic is cache.ErrPanic.
	ErrPanic = errors.New("the load panicked")
	// ErrNotModified: a load that had no old value says "not modified".
	ErrNotModified = errors.New("the load says \"not modified\", but it was given no old value")
	// ErrForget: a load has to say what there is.
	ErrForget = errors.New("a load gave a Result with Forget, which is for a Write")
)

// These say of themselves that nothing was changed.
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

// Failure is what a load said: a failure of the source, not of the server,
// whatever it looks like.
type Failure struct{ err error }

func (e *Failure) Error() string { return e.err.Error() }
func (e *Failure) Unwrap() error { return e.err }

// Outcome says that nothing was changed.
func (e *Failure) Outcome() redstart.Outcome { return redstart.NotApplied }

// FromSource tells it from the failures of a server.
func (e *Failure) FromSource() {}

// NewFailure is a Failure.
func NewFailure(err error) error { return &Failure{err} }

// Panic is a panic of a load on its way to the caller that began it.
type Panic struct {
	value any
	stack []byte
}

func (p *Panic) Error() string {
	return fmt.Sprintf("redstart/cache: load: panic: %v\n\n%s", p.value, p.stack)
}
func (p *Panic) Unwrap() error { return ErrPanic }

// wholeError is a failure of a Many that calls itself ErrNotFound: it does not
// say of which id.
type wholeError struct{ err error }

func (e *wholeError) Error() string {
	return "LoadMany failed as a whole (leave what does not exist out of its map): " + e.err.Error()
}

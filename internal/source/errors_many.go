package source

import (
	"fmt"
	"maps"
	"slices"

	"github.com/redstart-go/redstart"
)

// Errors is cache.Errors: which of many ids have failed, and how.
type Errors[K comparable] map[K]error

func (e Errors[K]) Error() string {
	for _, err := range e {
		if len(e) == 1 {
			return err.Error()
		}
		return fmt.Sprintf("redstart/cache: %d ids failed, one of them: %v", len(e), err)
	}
	return "redstart/cache: no id failed"
}

// Unwrap gives them all.
func (e Errors[K]) Unwrap() []error { return slices.Collect(maps.Values(e)) }

// OrNil is an error only if there are any.
func (e Errors[K]) OrNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Outcome is that of the ids that failed: NotApplied or Applied when all of
// them are, else Unknown.
func (e Errors[K]) Outcome() redstart.Outcome {
	n, outcome := 0, redstart.Unknown
	for _, err := range e {
		o := redstart.OutcomeOf(err)
		if n++; n > 1 && o != outcome {
			return redstart.Unknown
		}
		outcome = o
	}
	return outcome
}

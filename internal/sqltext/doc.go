// Package sqltext tells from a statement's text what it reads, writes and does to
// its transaction and session, as far as a cache must know: what it cannot tell it
// takes for the worst.
package sqltext

import "errors"

// errTwoNotes: one of them may be a mistake.
var errTwoNotes = errors.New("the statement has two comments to the cache")

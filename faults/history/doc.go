// Package history is what the callers of all processes saw, written so that
// the death of a process loses nothing, and the checkers that judge it.
package history

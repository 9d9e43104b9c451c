// Package limit says how much of something each id may have, across all
// processes.
//
// # What
//
// # When not
//
// # Guarantees
//
// # Keys and cost
//
// # Example
package limit

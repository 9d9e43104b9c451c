// Package journal writes behind: a value is stored in the cache and noted in a
// journal by one step at the server, and brought to the database later, so that
// nothing acknowledged is lost.
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
package journal

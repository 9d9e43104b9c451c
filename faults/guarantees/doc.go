// Package guarantees keeps GUARANTEES.md: one table per area, a row a promise,
// each row's figure written by the test that holds the promise.
package guarantees

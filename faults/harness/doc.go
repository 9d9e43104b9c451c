// Package harness runs the fault matrix: child processes made of the test
// binary itself, a clock that all of them share, the source of truth that
// caches load from, seeds, and the judgement of a bound in time.
package harness

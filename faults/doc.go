// Package faults is the fault matrix: every promise of the library as a test
// over real processes and real faults, the checker that judges it, and the
// recipe that everyone copies beside it, on which the same checker must fail.
//
// Set REDSTART_FAULTS=short for seconds a row, long for the figures that
// GUARANTEES.md carries (make faults, make guarantees); without it only the
// checkers' own tests run. A run prints its seed and the command that replays
// it with REDSTART_SEED. With REDSTART_GUARANTEES set to the absolute path of
// GUARANTEES.md each test writes its own row there.
//
// The parts: harness starts child processes and holds the source of truth they
// load from; history records what callers saw, and has the checkers; naive has
// the recipes; guarantees writes the rows. Counts (0 stale, 1 load) are held
// strictly, bounds in time beside a control of the same run. Every row proves
// that its fault took place, or fails.
package faults

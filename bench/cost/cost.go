// Package cost measures what a call costs that waits for nothing.
package cost

// Call is what one call comes to.
type Call struct {
	Alone  float64 // ns, with one caller
	Shared float64 // ns that a caller waits while one on every core calls
	Allocs float64
}

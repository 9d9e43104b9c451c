package harness

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Form is how long the matrix may take.
type Form string

// The forms of REDSTART_FAULTS.
const (
	Short Form = "short" // seconds a row
	Long  Form = "long"  // the figures of GUARANTEES.md
)

// Run gives the form that was chosen, and skips the test when none was.
func Run(t testing.TB) Form {
	t.Helper()
	switch f := Form(os.Getenv("REDSTART_FAULTS")); f {
	case Short, Long:
		return f
	case "":
		t.Skip("needs REDSTART_FAULTS=short or long: the fault matrix runs by make faults")
	default:
		t.Fatalf("REDSTART_FAULTS is %q: want short or long", f)
	}
	return ""
}

// Choose gives short's or long's value.
func Choose[T any](f Form, short, long T) T {
	if f == Long {
		return long
	}
	return short
}

// Seed is the one number that drives a test's choices: REDSTART_SEED, or a
// random one. It is printed with the command that runs the test again.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv("REDSTART_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("REDSTART_SEED: %v", err)
		}
	}
	t.Logf("seed %d; again: REDSTART_SEED=%d REDSTART_FAULTS=%s go test ./faults/ -count=1 -run '^%s$'",
		seed, seed, os.Getenv("REDSTART_FAULTS"), t.Name())
	return seed
}

// Rand gives the random numbers of a seed for one purpose.
func Rand(seed uint64, purpose string, n int) *rand.Rand {
	h := seed
	for _, c := range fmt.Sprint(purpose, n) {
		h = h*1099511628211 ^ uint64(c)
	}
	return rand.New(rand.NewPCG(seed, h))
}

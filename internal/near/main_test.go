package near

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
)

// The inner client leaves goroutines behind that only sleep, for five seconds at
// most: they close connections to nodes that left a cluster, and ask for its
// slots after a pause.
func TestMain(m *testing.M) {
	if os.Getenv(childOf) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// seeded gives the one number that drives a test's choices, and prints it.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv("REDSTART_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("REDSTART_SEED: %v", err)
		}
	}
	t.Logf("seed %d; again: REDSTART_SEED=%d go test ./internal/near/ -count=1 -run '^%s$'", seed, seed, t.Name())
	return seed
}

// long reports whether the longer form was asked for.
func long() bool { return os.Getenv("REDSTART_FAULTS") == "long" }

func open(t *testing.T, url string) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(t.Context(), url, redstart.Config{Timeout: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.FailFast()
}

package webcache

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"

	"github.com/redstart-go/redstart/cmd/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needServer skips a test that the embedded server cannot serve, or fails it where everything is required.
func needServer(t *testing.T) {
	t.Helper()
	if _, err := redstarttest.Find(); err == nil {
		return
	} else if os.Getenv("REDSTART_TEST_REQUIRE") == "1" {
		t.Fatalf("needs redis-server: %v", err)
	}
	t.Skip("needs redis-server")
}

// quiet is a lab.Progress that only counts.
type quiet struct{ started, steps, todo int }

func (q *quiet) Start(_ string, n int) { q.started++; q.todo += n }
func (q *quiet) Step()                 { q.steps++ }
func (q *quiet) Done()                 {}

func newSource(t *testing.T, keys ...string) *source.Source {
	t.Helper()
	s, err := source.Open(t.Context(), source.Config{Dir: t.TempDir(), Body: bodySize}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

package behind

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest/database"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is written directly is all there, which the contestants themselves look at.
func TestDirectly(t *testing.T) {
	for name, open := range map[string]func(context.Context) (*Store, error){"postgres": Postgres, "sqlite": SQLite} {
		t.Run(name, func(t *testing.T) {
			if name == "postgres" {
				database.RunPostgres(t, database.Config{Unix: true, NoSync: true}) // skips without one
			}
			s, err := open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for _, write := range []func() (float64, error){
				func() (float64, error) { return s.Writers(t.Context(), 1, 20*time.Millisecond) },
				func() (float64, error) { return s.Batches(t.Context(), 2*BatchRows+34) },
			} {
				if rate, err := write(); err != nil || !(rate > 0) {
					t.Errorf("%v rows/s, %v", rate, err)
				}
				if err := s.Clear(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Holds(t.Context(), 1); err == nil {
				t.Error("an empty table holds a row")
			}
		})
	}
}

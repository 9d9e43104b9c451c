package limit

import (
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

func TestTake(t *testing.T) {
	for _, algorithm := range []Algorithm{GCRA, SlidingLog, SlidingCounter, FixedWindow} {
		t.Run(algorithm.String(), func(t *testing.T) {
			onServers(t, func(t *testing.T, url string) {
				l := limiter(t, open(t, url, redstart.Config{Namespace: "shop"}), Config{
					Limits: []Limit{{Algorithm: algorithm, Rate: 7, Per: 24 * time.Hour}},
				})
				for i := range int64(7) {
					d := take(t, l, "a", 1)
					if !d.Allowed || d.Granted != 1 || d.Remaining != 6-i || d.Limit != 7 || d.Policy != "default" {
						t.Fatalf("take %d: %+v", i, d)
					}
				}
				d := take(t, l, "a", 1)
				if d.Allowed || d.Granted != 0 || d.Remaining != 0 || d.RetryAfter <= 0 {
					t.Errorf("one too many: %+v", d)
				}
				t.Logf("%+v", d)
			})
		})
	}
}

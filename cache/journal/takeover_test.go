package journal

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/redstart-go/redstart"
)

// Who takes a partition over does not apply what a change stands for that the one
// before may have applied: a row that was deleted would be back for a while.
func TestBacklogIsReadBeforeTheFirstBatch(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		c, d := open(t, url, redstart.Config{}), newTable()
		var back atomic.Int64
		d.fails(func(b Batch[string, string]) error {
			for _, change := range b.Changes {
				if change.ID == "a" && !change.Deleted {
					back.Add(1)
				}
			}
			return nil
		})
		cfg := usual(d)
		cfg.Partitions, cfg.BatchSize = 1, 50
		j := journalOn(t, c, cfg)
		put(t, j, "a", "1")
		for i := range 3 * readAtOnce {
			put(t, j, "k"+strconv.Itoa(i), "v")
		}
		if err := j.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		running(t, j)
		flush(t, j)
		if n := back.Load(); n > 0 {
			t.Errorf("the sink was told %d times of a value whose delete was in the journal", n)
		}
		if l := lag(t, j); l.Records != 0 || l.Applied != 3*readAtOnce+1 || l.Superseded != 1 {
			t.Errorf("%+v", l)
		}
	})
}

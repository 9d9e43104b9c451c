package journal

import (
	"errors"
	"io"
	"testing"

	"github.com/redstart-go/redstart"
)

// TestLostReplyThenNoServer: a put that was written and whose reply was lost is
// not reported as not written when the server cannot be reached the second time.
func TestLostReplyThenNoServer(t *testing.T) {
	for name, write := range map[string]func(j *Journal[string, string]) error{
		"Put":    func(j *Journal[string, string]) error { return j.Put(t.Context(), "a", "1") },
		"Delete": func(j *Journal[string, string]) error { return j.Delete(t.Context(), "a") },
		"PutMany": func(j *Journal[string, string]) error {
			return j.PutMany(t.Context(), func(yield func(string, string) bool) { yield("a", "1") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := journalOn(t, open(t, mini(t), redstart.Config{}), usual(newTable()))
			puts := 0
			j.step = func(point string) error {
				switch point {
				case "journal/put before":
					if puts++; puts > 1 {
						return &redstart.Error{Outcome: redstart.NotApplied, Err: errors.New("connection refused")}
					}
				case "journal/put after":
					return &redstart.Error{Outcome: redstart.Unknown, Err: io.EOF}
				}
				return nil
			}
			err := write(j)
			j.step = nil
			if puts != 2 || err == nil {
				t.Fatalf("%d attempts, %v; want two, and an error", puts, err)
			}
			if l := lag(t, j); l.Records != 1 {
				t.Fatalf("%+v, want one record", l)
			}
			if o := redstart.OutcomeOf(err); o != redstart.Unknown {
				t.Errorf("outcome %v of %v, want Unknown", o, err)
			}
		})
	}
}

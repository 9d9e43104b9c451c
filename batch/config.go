package batch

import (
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
)

// Config says how many commands travel together and how patient a run is. The
// zero value works. A zero field is the documented default, a negative one is
// off where the field says so; every invalid field is reported at once, by the
// run's only result.
type Config struct {
	// Size is how many commands a batch has at most. The gain flattens beyond
	// some hundreds, while the memory for a batch's replies, on the server too,
	// grows with it. Lower it for large values. From 2,000 on, a batch takes a
	// connection of the client's BlockingPool for itself. Default: 100.
	Size int

	// Bytes bounds a batch's commands, as they travel; a larger command travels
	// alone. The size of replies is not known beforehand: that of Get is
	// bounded by Size alone. Default: 1 MiB.
	Bytes int

	// InFlight is how many batches are under way at once. As many again may
	// have been taken from the input and wait for their turn, so that at most
	// 2·InFlight·Size items are held. Default: 4.
	InFlight int

	// Wait is how long a server that is away is waited for, counted from its
	// first refusal, and never past the context's deadline. While it lasts,
	// items that may be repeated are; afterwards each batch gets one attempt
	// until the server is back. Negative: not at all; an item's failure is then
	// final, once the client has done what it does by itself (it sends a SET
	// again whose connection was lost). Default: 10 s.
	Wait time.Duration

	// Unordered gives up the order of items on one key: batches of a key that
	// occurs often then travel side by side, and an item that was refused for
	// now is repeated even past a later one on its key, where it would fail
	// otherwise. Good for counters and sets; with writes that replace each
	// other, an old one may be the last. Get is always so. Default: ordered.
	Unordered bool

	// Progress is called after every batch and at the end, in the goroutine of
	// the loop: what takes long there holds up the run. Default: none.
	Progress func(Progress)
}

// Progress of a run.
type Progress struct {
	Taken   int           // items taken from the input
	Done    int           // items whose result is final, the failed ones included
	Failed  int           // items whose result is an error
	Repeats int           // times that an item was sent again
	Elapsed time.Duration // since the run began
}

const (
	defaultSize     = 100     // the catalogue's; it recommends 50 to 500
	defaultBytes    = 1 << 20 // what a socket and the server's query buffer take in their stride
	defaultInFlight = 4
	defaultWait     = 10 * time.Second
	maxInFlight     = 1024
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults() (Config, error) {
	var wrong []error
	size := func(field string, v *int, def, limit int) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			wrong = append(wrong, fmt.Errorf("%s: %d is negative; a run without that bound would hold the whole input", field, *v))
		case *v > limit:
			wrong = append(wrong, fmt.Errorf("%s: %d is more than %d", field, *v, limit))
		}
	}
	size("Size", &cfg.Size, defaultSize, 1<<20)
	size("Bytes", &cfg.Bytes, defaultBytes, 1<<30)
	size("InFlight", &cfg.InFlight, defaultInFlight, maxInFlight)
	if cfg.Wait == 0 {
		cfg.Wait = defaultWait
	}
	return cfg, invalid(wrong)
}

// invalid makes one error of what is wrong with a Config.
func invalid(wrong []error) error {
	if len(wrong) == 0 {
		return nil
	}
	return &redstart.Error{Op: "redstart/batch: config", Outcome: redstart.NotApplied, Err: errors.Join(wrong...)}
}

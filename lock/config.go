package lock

import (
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Config says what a Lock's keys are and how long its leases last. The zero
// value works; a zero field is the documented default, every invalid field is
// reported at once by [New]. All processes must use the same.
type Config struct {
	// Key is the template of the keys, with one placeholder for the id; the
	// client's Namespace is put in front. Default: "lock:{<id>}".
	Key string

	// Lease is how long a holder that is frozen or cut off keeps the lock; a
	// living one renews it three times in that time. Longer survives longer
	// pauses of the holder and of the server, and costs those who wait as much
	// when a holder dies. From 100 ms to 1 hour. Default: 10 seconds.
	//
	// Every lease begins with at most a second, which the first renewal
	// lengthens: what dies as it gets the lock, or gets it by a command whose
	// reply was lost, holds it no longer than that.
	Lease time.Duration

	// Permits is how many may hold the lock at once: with more than one it is
	// a counting semaphore. Default: 1.
	Permits int
}

const (
	defaultKey   = "lock:{<id>}"
	defaultLease = 10 * time.Second
	minLease     = 100 * time.Millisecond
	maxLease     = time.Hour
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults(c *redstart.Client) (Config, *key.Template, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/lock: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Key == "" {
		cfg.Key = defaultKey
	}
	full := cfg.Key
	if ns := c.Config().Namespace; ns != "" {
		full = ns + ":" + full
	}
	template, err := key.Parse(full)
	if err != nil {
		bad("Key", "%v", err)
	} else if n := len(template.Names()); n != 1 {
		bad("Key", "has %d placeholders; give it one, for the id", n)
	}
	switch {
	case cfg.Lease == 0:
		cfg.Lease = defaultLease
	case cfg.Lease < minLease:
		bad("Lease", "%v is below %v; a pause of the process would lose it", cfg.Lease, minLease)
	case cfg.Lease > maxLease:
		bad("Lease", "%v is above %v; a living holder renews it, a dead one would block the others that long", cfg.Lease, maxLease)
	}
	switch {
	case cfg.Permits == 0:
		cfg.Permits = 1
	case cfg.Permits < 0:
		bad("Permits", "is negative; it cannot be switched off")
	}
	return cfg, template, errors.Join(wrong...)
}

// Package stamp ends many entries by one write: each carries the random stamps
// that stood at its tags' keys when it was loaded, and is dead once another
// stands there, or none.
//
// Stamps are random and not counted or dated, so that none ever comes back: one
// that was evicted, expired or deleted is followed by another, and what carried
// it is dead. No command that writes a stamp runs twice with the same one, for
// a copy that the network held back could bring it back.
package stamp

import (
	"context"
	"crypto/rand"
	_ "embed"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/sample.lua
	sampleText string
	sample     = redstart.NewScript("stamp/sample", heldText+sampleText)
)

// attempts bounds how often a call whose reply was lost is sent.
const attempts = 2

// Sample gives the stamps at the keys, fresh ones where there are none, and
// makes them live for at least life (zero: for good). One script a key, one
// round trip.
func Sample(ctx context.Context, c *redstart.Client, keys []string, life time.Duration) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var err error
	for range attempts {
		commands := make([]rueidis.Completed, len(keys))
		for i, k := range keys {
			commands[i] = sample.Command(c, []string{k}, []string{token(), millis(life), millis(2 * life)})
		}
		var stamps []string
		if stamps, err = texts(c.DoMulti(ctx, commands...)); err == nil {
			return stamps, nil
		}
		if ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return nil, err
		}
	}
	return nil, err
}

func texts(replies []rueidis.RedisResult) ([]string, error) {
	stamps := make([]string, len(replies))
	for i, r := range replies {
		var err error
		if stamps[i], err = r.ToString(); err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
	}
	return stamps, nil
}

// Replace puts a fresh stamp at the key, for at least life (zero: for good):
// whatever carries another is dead. Who holds the tag goes on holding it. One
// script.
func Replace(ctx context.Context, c *redstart.Client, key string, life time.Duration) error {
	var err error
	for range attempts {
		err = release.Exec(ctx, c, []string{key}, []string{token()[:8], token(), millis(life), "1"}).Error()
		if err == nil || ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return err
		}
	}
	return err
}

// token is 16 random bytes.
func token() string {
	var t [16]byte
	_, _ = rand.Read(t[:]) // never fails (crypto/rand)
	return string(t[:])
}

func millis(d time.Duration) string {
	if d > 0 && d < time.Millisecond {
		d = time.Millisecond
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

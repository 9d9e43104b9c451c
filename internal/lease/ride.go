package lease

import (
	"context"
	_ "embed"
	"time"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/ride.lua
	rideText string
	//go:embed lua/ride_extend.lua
	rideExtendText string
	//go:embed lua/ride_put.lua
	ridePutText string
	//go:embed lua/ride_rest.lua
	rideRestText string

	ride       = redstart.NewScript("lease/ride", rideText)
	rideExtend = redstart.NewScript("lease/ride_extend", rideExtendText)
	ridePut    = redstart.NewScript("lease/ride_put", ridePutText)
	rideRest   = redstart.NewScript("lease/ride_rest", rideRestText)
)

// Ride is one attempt's claim on a key whose value stays there: it rides in
// front of the value, with its TTL. Whoever deletes or overwrites the key ends
// it, as with a Lease. Only a value that expires can be ridden: the claim's end
// is told by the key's countdown.
type Ride struct {
	Client *redstart.Client
	Key    string
	Mark   string        // what stands in front of the value while held; all marks of a key have one length and one beginning
	Time   time.Duration // how long it lasts unless extended
}

// Seen says what stands at a key that was not taken.
type Seen uint8

const (
	Taken Seen = iota
	Busy       // another's claim, or the pause after one
	Other      // another value
	Nothing
)

// Take claims the value that begins with head, and had so much to live when it
// was read. Busy comes with the time until
// the other claim ends, if it is not extended. One script, one round trip; it is
// not sent twice, as with [Lease.Take].
func (r Ride) Take(ctx context.Context, head []byte, left time.Duration) (Seen, time.Duration, error) {
	n, err := ride.Exec(ctx, r.Client, []string{r.Key}, []string{r.Mark, string(head), millis(r.Time), millis(left)}).AsInt64()
	switch {
	case err != nil:
		return Nothing, 0, err
	case n == 0:
		return Taken, 0, nil
	case n == -1:
		return Other, 0, nil
	case n == -2:
		return Nothing, 0, nil
	default:
		return Busy, time.Duration(n) * time.Millisecond, nil
	}
}

// Extend makes the claim last its whole time again. False means that it is lost.
func (r Ride) Extend(ctx context.Context) (bool, error) {
	return run(ctx, r.Client, rideExtend, r.Key, r.Mark, millis(r.Time))
}

// Keep is that of a Lease.
func (r Ride) Keep() (lost <-chan struct{}, stop func()) { return keep(r.Client, r.Time, r.Extend) }

// Put ends the claim by putting a new value in the place of the old one for ttl
// (zero: for good). False means that the claim was lost and nothing was written.
func (r Ride) Put(ctx context.Context, value string, ttl time.Duration) (bool, error) {
	return run(ctx, r.Client, ridePut, r.Key, r.Mark, value, millis(ttl))
}

// Rest ends the claim and leaves the value with a pause, in which nobody may
// claim it; mark says so to readers. False means that the claim was lost.
func (r Ride) Rest(ctx context.Context, mark string, pause time.Duration) (bool, error) {
	return run(ctx, r.Client, rideRest, r.Key, r.Mark, mark, millis(pause))
}

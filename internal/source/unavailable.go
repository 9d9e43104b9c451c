package source

import (
	"fmt"

	"github.com/redstart-go/redstart"
)

// Places are those for loads while the server is away, a client's.
type Places chan struct{}

type placesKey struct{}

// PlacesOf gives the client's, which its Config.OutageLoads counts.
func PlacesOf(c *redstart.Client) Places {
	return c.Attach(placesKey{}, func() any { return make(Places, max(c.Config().OutageLoads, 0)) }).(Places)
}

// Take takes one, if one is free.
func (p Places) Take(cause error) (release func(), err error) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	default:
		return nil, p.None(cause)
	}
}

// None is what is said where there is none.
func (p Places) None(cause error) error { return &Unavailable{cause, cap(p)} }

// Unavailable is redstart.ErrUnavailable with its reason: the places for loads
// without the server are taken.
type Unavailable struct {
	Cause  error
	Places int
}

func (u *Unavailable) Error() string {
	if u.Places == 0 {
		return fmt.Sprintf("the server is not available (%v), and Config.OutageLoads allows no load without it", u.Cause)
	}
	return fmt.Sprintf("the server is not available (%v), and %d loads without it are under way already (Config.OutageLoads)", u.Cause, u.Places)
}

// Is is for errors.Is.
func (u *Unavailable) Is(target error) bool { return target == redstart.ErrUnavailable }

// Outcome is NotApplied.
func (u *Unavailable) Outcome() redstart.Outcome { return redstart.NotApplied }

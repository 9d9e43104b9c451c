package source

import (
	"fmt"

	"github.com/redstart-go/redstart"
)

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

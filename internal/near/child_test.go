package near

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redstart-go/redstart"
)

// childOf holds the URL of the server, for the process that is stopped.
const childOf = "REDSTART_NEAR_CHILD"

// child keeps a value and reads it without a pause until a newer one is there.
// Then it tells how long it did nothing at the most, and when it last began to
// read the older value.
func child() {
	ctx := context.Background()
	c, err := redstart.Open(ctx, os.Getenv(childOf), redstart.Config{})
	if err != nil {
		panic(err)
	}
	tier, err := New(Config[int, int64]{Client: c, MaxStale: maxStale, Items: 10})
	if err != nil {
		panic(err)
	}
	said := false
	var gap, old int64
	for last := time.Now().UnixNano(); ; {
		began := time.Now().UnixNano()
		gap, last = max(gap, began-last), began
		if it, ok := tier.Get(0); ok {
			if it.Value != 1 {
				fmt.Println(gap, old)
				c.Close()
				return
			}
			old = began
			if !said {
				said = true
				fmt.Println("ready")
			}
			continue
		}
		if m := tier.Mark(0, "k"); m != nil {
			if v, absent, ttl, err := fetch(ctx, session{m.Session()}, "k"); err == nil {
				m.Keep(v, absent, ttl, 0)
			}
			m.Drop()
		}
	}
}

package lock

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"sync/atomic"

	"github.com/redstart-go/redstart"
)

// inbox is where a client hears that what it waits for was granted.
type inbox struct {
	client  *redstart.Client
	address string
	claims  atomic.Uint64
}

type inboxKey struct{}

func inboxOf(c *redstart.Client) *inbox {
	return c.Attach(inboxKey{}, func() any {
		var b [12]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		return &inbox{client: c, address: base64.RawURLEncoding.EncodeToString(b[:])}
	}).(*inbox)
}

// owner gives a name that no claim had before.
func (b *inbox) owner(m mode) string {
	return string(m) + b.address + "." + strconv.FormatUint(b.claims.Add(1), 36)
}

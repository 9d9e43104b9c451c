// Package shop is what the services with limits have in common: the limits, how
// a service starts, and a visitor who tries it.
package shop

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/limit/httplimit"
)

// Limits are those of the shop, each for a part of it.
type Limits struct {
	Browse *httplimit.Middleware // 5 an hour, and many more a day
	Login  *httplimit.Middleware // 2 an hour, and none while nobody counts
}

// patience is within what time a decision is there: long, since whoever tries an
// example may have a busy machine.
const patience = time.Second

// NewLimits makes them on a client.
func NewLimits(c *redstart.Client) (*Limits, error) {
	browse, err := limit.New(c, limit.Config{
		Key:     "browse:{<address>}",
		Timeout: patience,
		Limits: []limit.Limit{
			{Name: "hour", Rate: 5, Per: time.Hour},
			{Name: "day", Rate: 1000, Per: 24 * time.Hour},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("limits for browsing: %w", err)
	}
	login, err := limit.New(c, limit.Config{
		Key:      "login:{<address>}",
		Timeout:  patience,
		Limits:   []limit.Limit{{Name: "login", Rate: 2, Per: time.Hour}},
		OnOutage: limit.Deny, // better nobody signs in than somebody tries all passwords
	})
	if err != nil {
		return nil, fmt.Errorf("limits for signing in: %w", err)
	}
	key, err := Key()
	if err != nil {
		return nil, err
	}
	var l Limits
	if l.Browse, err = httplimit.New(browse, httplimit.Config{Key: key}); err != nil {
		return nil, err
	}
	if l.Login, err = httplimit.New(login, httplimit.Config{Key: key}); err != nil {
		return nil, err
	}
	return &l, nil
}

// Key is the client's address, behind proxies in a network of the shop's own.
func Key() (httplimit.KeyFunc, error) {
	return httplimit.ByAddress(httplimit.Addresses{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
}

package redstart

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/topology"
)

// How often a sentinel and a data node are asked, and how long each may take:
// a frozen one delays no other.
const (
	watchEvery   = 100 * time.Millisecond
	watchTimeout = 250 * time.Millisecond
)

// follow starts the watch over a primary by Sentinel and waits until one is
// known.
func (c *Client) follow(ctx context.Context, d *conn.Dialer) error {
	core := c.core
	d.Watcher = topology.NewWatcher(topology.Config{
		Sentinels:    d.Target.Sentinels,
		Name:         d.Target.Addr,
		DialSentinel: d.Plain,
		DialNode:     d.Plain,
		SentinelAuth: func(context.Context) (string, string, error) {
			return core.cfg.SentinelUsername, core.cfg.SentinelPassword, nil
		},
		NodeAuth: d.Auth,
		Every:    watchEvery,
		Timeout:  watchTimeout,
		Switched: func(from, to string) {
			if to == "" {
				core.wentAway("", &topology.NoPrimaryError{Name: d.Target.Addr, Heard: true}, false)
			}
			core.probeNow()
			if r := core.replicas.Load(); r != nil {
				r.Look()
			}
			call(core.cfg.Events.Primary, PrimaryInfo{From: from, To: to})
		},
		Blind: func(blind bool) {
			if blind && core.cfg.WithoutSentinel == RefuseWrites {
				core.wentAway("", errBlind, true)
			}
			core.probeNow()
			call(core.cfg.Events.Sentinel, SentinelInfo{Reachable: !blind})
		},
	})
	if err := c.Go(d.Watcher.Run); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, core.cfg.Timeout)
	defer cancel()
	_, err := d.Watcher.Await(ctx)
	return err
}

// errBlind is why writes wait while no sentinel answers.
var errBlind = errors.New("no sentinel answers, and Config.WithoutSentinel refuses writes")

// blind reports whether writes are to wait for a sentinel.
func (c *core) blind() bool {
	return c.dialer.Watcher != nil && c.cfg.WithoutSentinel == RefuseWrites && c.dialer.Watcher.Blind()
}

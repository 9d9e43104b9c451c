package topology

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Migration is a slot on its way from one primary to another. The source answers ASK for keys that it does not have,
// and TRYAGAIN to a command on several of which it has some.
type Migration struct {
	Slot     int
	From, To *Node

	c *Cluster
}

// BeginMigration sets out with a slot: importing at to, migrating at the primary that has it. No key is moved.
func (c *Cluster) BeginMigration(ctx context.Context, slot int, to *Node) (*Migration, error) {
	from, err := c.PrimaryOf(ctx, slot)
	if err != nil {
		return nil, err
	}
	if from == to {
		return nil, fmt.Errorf("redstart/redstarttest/topology: slot %d is at %s already", slot, to.name)
	}
	m := &Migration{Slot: slot, From: from, To: to, c: c}
	if err := m.set(ctx, to, "IMPORTING", from.id); err != nil {
		return nil, err
	}
	if err := m.set(ctx, from, "MIGRATING", to.id); err != nil {
		return nil, errors.Join(err, m.Abandon(ctx))
	}
	return m, nil
}

// MoveKeys moves up to n keys, and says how many it moved: fewer than n when there are no more.
func (m *Migration) MoveKeys(ctx context.Context, n int) (moved int, err error) {
	reply, err := m.From.ask(ctx, "CLUSTER", "GETKEYSINSLOT", strconv.Itoa(m.Slot), strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	keys := words(reply)
	if len(keys) == 0 {
		return 0, nil
	}
	// 5 s without progress end it, and the key stays.
	args := []string{"MIGRATE", "127.0.0.1", port(m.To.Addr()), "", "0", "5000"}
	if p := m.c.cfg.Password; p != "" {
		args = append(args, "AUTH", p)
	}
	if _, err := m.From.Do(ctx, append(append(args, "KEYS"), keys...)...); err != nil {
		return 0, fmt.Errorf("move %d keys of slot %d: %w", len(keys), m.Slot, err)
	}
	return len(keys), nil
}

// End gives the slot to its new primary: first there, then at the old one and at the other primaries that answer. It
// is refused as long as the old one has keys of the slot.
func (m *Migration) End(ctx context.Context) error {
	left, err := m.From.ask(ctx, "CLUSTER", "COUNTKEYSINSLOT", strconv.Itoa(m.Slot))
	if err != nil {
		return err
	}
	if left != int64(0) {
		return fmt.Errorf("redstart/redstarttest/topology: %v keys of slot %d are still at %s: call MoveKeys until it moves none",
			left, m.Slot, m.From.name)
	}
	if err := m.set(ctx, m.To, "NODE", m.To.id); err != nil {
		return err
	}
	if err := m.set(ctx, m.From, "NODE", m.To.id); err != nil {
		return err
	}
	selves, _ := m.c.selves(ctx, nil) // those that do not answer will hear of it from the others
	return each(m.c.nodes, func(_ int, n *Node) error {
		if n == m.From || n == m.To || !selves[n].is("master") {
			return nil
		}
		return m.set(ctx, n, "NODE", m.To.id)
	})
}

// Abandon leaves the slot where it was. Keys that have been moved stay at the other primary, where nobody finds them.
func (m *Migration) Abandon(ctx context.Context) error {
	return errors.Join(m.set(ctx, m.From, "STABLE"), m.set(ctx, m.To, "STABLE"))
}

func (m *Migration) set(ctx context.Context, n *Node, args ...string) error {
	return n.order(ctx, append([]string{"CLUSTER", "SETSLOT", strconv.Itoa(m.Slot)}, args...)...)
}

// Migrate moves a slot with all its keys, a hundred at a time.
func (c *Cluster) Migrate(ctx context.Context, slot int, to *Node) error {
	m, err := c.BeginMigration(ctx, slot, to)
	if err != nil {
		return err
	}
	for {
		moved, err := m.MoveKeys(ctx, 100)
		if err != nil {
			return err
		}
		if moved == 0 { // nobody can add one: the old primary sends new keys on with ASK
			return m.End(ctx)
		}
	}
}

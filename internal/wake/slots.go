package wake

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Slots says which primary has which slot of a cluster, as one of its nodes saw
// it. It does not change: ask again.
type Slots struct{ ranges []slotRange } // by their first slots

type slotRange struct {
	from, to uint16
	primary  string // as Client.Nodes has it
}

// AskSlots asks the nodes one after the other, in no order, until one answers.
// Each may take as long as redstart.Config.Timeout.
func AskSlots(ctx context.Context, c *redstart.Client) (*Slots, error) {
	err := errors.New("redstart/wake: the client knows no node")
	for addr, n := range c.Nodes() {
		var s *Slots
		if s, err = askSlots(ctx, c, addr, n); err == nil || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

func askSlots(ctx context.Context, c *redstart.Client, addr string, n rueidis.Client) (*Slots, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Config().Timeout)
	defer cancel()
	list, err := n.Do(ctx, n.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return nil, err
	}
	asked, _, _ := net.SplitHostPort(addr)
	s := &Slots{}
	for _, item := range list {
		if r, ok := parseRange(item, asked); ok {
			s.ranges = append(s.ranges, r)
		}
	}
	slices.SortFunc(s.ranges, func(a, b slotRange) int { return cmp.Compare(a.from, b.from) })
	return s, nil
}

// parseRange reads one item of the answer: first slot, last slot, the primary's
// host, port and more, the replicas. A host that the node does not know is the
// one by which it was asked; "?" is none.
func parseRange(item rueidis.RedisMessage, asked string) (slotRange, bool) {
	parts, err := item.ToArray()
	if err != nil || len(parts) < 3 {
		return slotRange{}, false
	}
	from, err1 := parts[0].AsInt64()
	to, err2 := parts[1].AsInt64()
	node, err3 := parts[2].ToArray()
	if errors.Join(err1, err2, err3) != nil || from < 0 || to < from || to >= 1<<14 || len(node) < 2 {
		return slotRange{}, false
	}
	host, _ := node[0].ToString() // none: ""
	port, err := node[1].AsInt64()
	if err != nil || host == "?" {
		return slotRange{}, false
	}
	if host == "" {
		host = asked
	}
	return slotRange{uint16(from), uint16(to), net.JoinHostPort(host, strconv.FormatInt(port, 10))}, true
}

// Primary is the address of the primary that has the key's slot; ok is false
// when none was known.
func (s *Slots) Primary(k string) (addr string, ok bool) {
	slot := key.Slot(k)
	i, found := slices.BinarySearchFunc(s.ranges, slot, func(r slotRange, slot uint16) int { return cmp.Compare(r.from, slot) })
	if !found {
		i-- // the range that begins before the slot
	}
	if i < 0 || slot > s.ranges[i].to {
		return "", false
	}
	return s.ranges[i].primary, true
}

// Primaries are the addresses of all primaries that have slots.
func (s *Slots) Primaries() []string {
	all := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		all[i] = r.primary
	}
	slices.Sort(all)
	return slices.Compact(all)
}

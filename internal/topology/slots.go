package topology

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
)

// slotCount is how many there are in a cluster.
const slotCount = 16384

// Members are the nodes that hold the same data.
type Members struct {
	Primary  string // host:port; "" while there is none
	Replicas []string
}

// Slots says who serves each slot of a cluster.
type Slots struct {
	Members []Members
	of      [slotCount]uint16 // an index into Members plus one; 0: nobody
}

// Of gives the nodes of a slot; false while nobody serves it.
func (s *Slots) Of(slot uint16) (Members, bool) {
	i := s.index(slot)
	if i < 0 {
		return Members{}, false
	}
	return s.Members[i], true
}

func (s *Slots) index(slot uint16) int {
	if int(slot) >= slotCount {
		return -1
	}
	return int(s.of[slot]) - 1
}

// AskSlots asks the node at addr which node serves which slot (CLUSTER SLOTS).
// A node that calls itself by no name is called addr.
func AskSlots(ctx context.Context, dial Dialer, auth Auth, addr string) (*Slots, error) {
	answer, err := Ask(ctx, dial, auth, addr, "CLUSTER", "SLOTS")
	if err != nil {
		return nil, err
	}
	return readSlots(answer, addr)
}

func readSlots(answer any, asked string) (*Slots, error) {
	ranges, ok := answer.([]any)
	if !ok {
		return nil, errReply
	}
	s := &Slots{}
	known := map[string]int{} // a primary -> its place in Members
	for _, r := range ranges {
		entry, ok := r.([]any)
		if !ok || len(entry) < 3 {
			return nil, errReply
		}
		from, okFrom := entry[0].(int64)
		to, okTo := entry[1].(int64)
		if !okFrom || !okTo || from < 0 || to >= slotCount || from > to {
			return nil, errReply
		}
		addr := endpoint(entry[2], asked)
		if addr == "" {
			continue
		}
		at, ok := known[addr]
		if !ok {
			m := Members{Primary: addr}
			for _, e := range entry[3:] {
				if replica := endpoint(e, asked); replica != "" {
					m.Replicas = append(m.Replicas, replica)
				}
			}
			at = len(s.Members)
			known[addr] = at
			s.Members = append(s.Members, m)
		}
		for slot := from; slot <= to; slot++ {
			s.of[slot] = uint16(at + 1)
		}
	}
	return s.sorted(), nil
}

// sorted puts the members in the order of their addresses: nodes list them in
// any.
func (s *Slots) sorted() *Slots {
	order := make([]int, len(s.Members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(s.Members[a].Primary, s.Members[b].Primary) })
	t := &Slots{Members: make([]Members, len(order))}
	place := make([]uint16, len(order)+1)
	for to, from := range order {
		t.Members[to] = s.Members[from]
		place[from+1] = uint16(to + 1)
	}
	for slot, i := range s.of {
		t.of[slot] = place[i]
	}
	return t
}

// endpoint is a node of CLUSTER SLOTS: its preferred endpoint and port. None
// (NULL) means the address that was asked; "?" that the node knows no name.
func endpoint(v any, asked string) string {
	node, ok := v.([]any)
	if !ok || len(node) < 2 {
		return ""
	}
	host, _ := node[0].(string)
	port, ok := node[1].(int64)
	if !ok || host == "?" || port < 1 || port > 65535 {
		return ""
	}
	if host == "" {
		host, _, _ = net.SplitHostPort(asked)
	}
	return net.JoinHostPort(host, strconv.FormatInt(port, 10))
}

// Has reports whether the node serves slots, as their primary.
func (s *Slots) Has(primary string) bool {
	for _, m := range s.Members {
		if m.Primary == primary {
			return true
		}
	}
	return false
}

// SameAs reports whether both say the same of every slot's primary.
func (s *Slots) SameAs(t *Slots) bool {
	if s.of != t.of || len(s.Members) != len(t.Members) {
		return false
	}
	for i, m := range s.Members {
		if m.Primary != t.Members[i].Primary {
			return false
		}
	}
	return true
}

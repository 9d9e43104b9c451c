package shard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// route is where a command goes.
type route struct {
	to   int // an index into nodes; -1: to several, or to whom it does not matter
	spec *spec
	err  error // it goes nowhere: nothing may be sent
}

// What place gives instead of a slot.
const (
	noSlot    = -1 // it names no key
	manySlots = -2 // its keys lie in several slots, and its answers can be merged
)

// place finds the slot of a command's keys.
func (c *Client) place(words []string) (int, *spec, error) {
	s := lookup(words)
	switch s.kind {
	case refuse:
		return noSlot, s, refusal(s, s.why)
	case keyed, split, channel:
	default:
		return noSlot, s, nil
	}
	keys := s.keys(words)
	if len(keys) == 0 {
		return noSlot, s, refusal(s, s.why)
	}
	slot := key.Slot(keys[0])
	for _, k := range keys[1:] {
		if key.Slot(k) == slot {
			continue
		}
		if s.kind == split {
			return manySlots, s, nil
		}
		return noSlot, s, c.crossSlot(s, keys)
	}
	return int(slot), s, nil
}

// route finds where a command goes by itself.
func (c *Client) route(words []string) route {
	slot, s, err := c.place(words)
	switch {
	case err != nil:
		return route{to: -1, spec: s, err: err}
	case slot >= 0:
		return route{to: int(c.layout.owner[slot]), spec: s}
	case slot == manySlots:
		keys := s.keys(words)
		to := c.ownerOf(keys[0])
		for _, k := range keys[1:] {
			if c.ownerOf(k) != to {
				return route{to: -1, spec: s}
			}
		}
		return route{to: to, spec: s}
	}
	switch s.kind {
	case all, anyone:
		return route{to: -1, spec: s}
	case bound:
		return route{to: -1, spec: s, err: refusal(s, "it changes its connection, which all share; use Dedicated, or one of Nodes")}
	default:
		return route{to: -1, spec: s, err: refusal(s, "alone it belongs to no shard; send it by DoMulti with the commands around it, or on a dedicated connection")}
	}
}

// routes finds where the commands of a batch go: each by itself, but for
// transactions and what follows the command before it.
func (c *Client) routes(multi []rueidis.Completed) []route {
	routes := make([]route, len(multi))
	for i := 0; i < len(multi); i++ {
		words := multi[i].Commands()
		routes[i] = c.route(words)
		s := routes[i].spec
		switch {
		case s.kind != follow:
		case s.name == "MULTI":
			n := transaction(multi[i:])
			r := c.whole(s, multi[i:i+n])
			for range n {
				routes[i] = r
				i++
			}
			i--
		case strings.HasPrefix(s.name, "WAIT") && i > 0 && routes[i-1].to >= 0:
			routes[i] = route{to: routes[i-1].to, spec: s}
		}
	}
	return routes
}

// transaction is the length of the transaction that begins the batch; all of it,
// if it has no end.
func transaction(multi []rueidis.Completed) int {
	for i := range multi {
		switch lookup(multi[i].Commands()).name {
		case "EXEC", "DISCARD":
			return i + 1
		}
	}
	return len(multi)
}

// whole finds the one shard of a transaction.
func (c *Client) whole(s *spec, block []rueidis.Completed) route {
	if last := lookup(block[len(block)-1].Commands()); last.name != "EXEC" && last.name != "DISCARD" {
		return route{to: -1, spec: s, err: refusal(s, "the batch holds no EXEC for it, and connections are shared; send the transaction whole, or on a dedicated connection")}
	}
	to, _, err := c.together(block, noSlot)
	return route{to: to, spec: s, err: err}
}

// together finds the one shard of commands that must stay together: all keys in
// one slot, which is the given one unless that is noSlot.
func (c *Client) together(multi []rueidis.Completed, slot int) (to, at int, err error) {
	var keys []string
	var last *spec
	wandering := false // nothing but commands that any server answers
	for i := range multi {
		words := multi[i].Commands()
		where, s, err := c.place(words)
		last = s
		switch {
		case err != nil:
			return -1, slot, err
		case s.kind == all && s.name != "PING":
			return -1, slot, refusal(s, "it is for every shard, and this goes to one")
		case where == manySlots || where >= 0 && slot >= 0 && where != slot:
			return -1, slot, c.crossSlot(s, append(keys, s.keys(words)...))
		case where >= 0:
			slot = where
			keys = append(keys, s.keys(words)...)
		default:
			wandering = wandering || s.kind == anyone || s.kind == all
		}
	}
	switch {
	case slot >= 0:
		return int(c.layout.owner[slot]), slot, nil
	case wandering && len(multi) == 1:
		return 0, slot, nil
	default:
		return -1, slot, refusal(last, "nothing before it names a key, which would say to which shard it goes")
	}
}

// sole gives the shard to which all routes go, or -1.
func sole(routes []route) int {
	to := routes[0].to
	for _, r := range routes {
		if r.err != nil || r.to != to {
			return -1
		}
	}
	return to
}

// op is what errors of a command begin with.
const op = "redstart/shard: do"

var errClosed = &redstart.Error{Op: op, Outcome: redstart.NotApplied, Err: redstart.ErrClosed}

func refusal(s *spec, why string) error {
	if why == "" {
		why = nameless
	}
	return &redstart.Error{Op: op, Template: s.name, Outcome: redstart.NotApplied, Err: &refusedError{why}}
}

// crossSlot refuses a command whose keys lie in several slots.
func (c *Client) crossSlot(s *spec, keys []string) error {
	shards := make([]string, 0, len(keys))
	for _, k := range keys {
		shards = append(shards, c.Shard(k))
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	where := "different slots of the shard " + shards[0] + ", which another shard may part"
	if len(shards) > 1 {
		where = "slots of the shards " + strings.Join(shards, ", ")
	}
	return &redstart.Error{
		Op: op, Template: s.name, Code: "CROSSSLOT", Outcome: redstart.NotApplied,
		Err: &refusedError{fmt.Sprintf("its %d keys lie in %s; give them one hash tag, or send a command for each", len(keys), where)},
	}
}

type refusedError struct{ why string }

func (e *refusedError) Error() string        { return "refused: " + e.why }
func (e *refusedError) Is(target error) bool { return target == redstart.ErrRefused }

// Package keeps asks whether servers keep what they are given: whether they may
// evict it, and whether they write it to a disk.
package keeps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// What Check may say, for errors.Is.
var (
	// ErrEviction: a server may evict keys without a TTL, or does not say whether
	// it may.
	ErrEviction error = evicts{}
)

type evicts struct{}

func (evicts) Error() string             { return "the server may evict what must be kept" }
func (evicts) Outcome() redstart.Outcome { return redstart.NotApplied }

// Terms are what is accepted, and what is needed.
type Terms struct {
	Eviction bool // a server that may evict is accepted
	Unknown  bool // one that does not say is accepted
	AOF      bool // must be on
}

// Check asks every node, by INFO, which few users are denied. Only a policy of
// all keys evicts what has no TTL.
func Check(ctx context.Context, c *redstart.Client, t Terms) error {
	nodes := c.Nodes()
	if len(nodes) == 0 {
		nodes = map[string]rueidis.Client{"the server": c}
	}
	var wrong []error
	for addr, node := range nodes {
		text, err := node.Do(ctx, node.B().Info().Build()).ToString()
		if err != nil && (redstart.Away(err) || ctx.Err() != nil) {
			return fmt.Errorf("ask %s for its maxmemory-policy: %w", addr, err)
		}
		wrong = append(wrong, t.judge(addr, fields(text)))
	}
	return errors.Join(wrong...)
}

// judge says what is wrong with a node.
func (t Terms) judge(addr string, info map[string]string) error {
	policy, most := info["maxmemory_policy"], info["maxmemory"]
	var wrong []error
	switch {
	case policy == "" || most == "":
		if !t.Unknown {
			wrong = append(wrong, fmt.Errorf("%w: %s does not tell its maxmemory-policy (INFO memory); allow INFO, or set Config.UnknownEviction", ErrEviction, addr))
		}
	case strings.HasPrefix(policy, "allkeys") && most != "0" && !t.Eviction:
		wrong = append(wrong, fmt.Errorf("%w: %s has maxmemory-policy %s; set it to noeviction, or to one that begins with volatile", ErrEviction, addr, policy))
	}
	switch on := info["aof_enabled"]; {
	case !t.AOF || on == "1":
	case on == "0":
		wrong = append(wrong, fmt.Errorf("%s has appendonly no, and Config.Durability needs an AOF; set it to yes", addr))
	default:
		wrong = append(wrong, fmt.Errorf("%s does not say whether appendonly is on (INFO persistence), which Config.Durability needs", addr))
	}
	return errors.Join(wrong...)
}

// fields are the lines of an INFO.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

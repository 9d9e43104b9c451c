package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// admit refuses servers that may drop the journal, or that have not what its
// durability needs. INFO tells it, which few are denied.
func (j *Journal[K, V]) admit() error {
	ctx, cancel := context.WithTimeout(context.Background(), j.client.Config().Timeout)
	defer cancel()
	var wrong []error
	d := j.cfg.Durability
	if d.level == waitAOF {
		s, err := j.client.Server(ctx)
		if err == nil {
			err = s.Require("redstart/journal: Durability", redstart.WaitAOF)
		}
		if err != nil {
			return err
		}
	}
	nodes := j.client.Nodes()
	if len(nodes) == 0 {
		nodes = map[string]rueidis.Client{"": j.client}
	}
	for addr, node := range nodes {
		text, err := node.Do(ctx, node.B().Info().Build()).ToString()
		if err != nil && redstart.Away(err) || ctx.Err() != nil {
			return fmt.Errorf("ask %s for its maxmemory-policy: %w", addr, err)
		}
		info := fields(text)
		wrong = append(wrong, j.evicts(addr, info, err))
		if d.level == everySecond || d.level == waitAOF {
			switch info["aof_enabled"] {
			case "1":
			case "0":
				wrong = append(wrong, fmt.Errorf("%s: appendonly is no, and Config.Durability needs an AOF; set it to yes", addr))
			default:
				wrong = append(wrong, fmt.Errorf("%s does not say whether appendonly is on, which Config.Durability needs", addr))
			}
		}
	}
	return errors.Join(wrong...)
}

// evicts says what is wrong with a node's eviction policy.
func (j *Journal[K, V]) evicts(addr string, info map[string]string, err error) error {
	policy, bound := info["maxmemory_policy"], info["maxmemory"]
	switch {
	case err != nil || policy == "" || bound == "":
		if j.cfg.UnknownEviction {
			return nil
		}
		return fmt.Errorf("%w: %s does not tell its maxmemory-policy (INFO memory); allow INFO, or set Config.UnknownEviction", ErrEviction, addr)
	case strings.HasPrefix(policy, "allkeys") && bound != "0" && !j.cfg.AllowEviction:
		return fmt.Errorf("%w: %s has maxmemory-policy %s; set it to noeviction, or to one that begins with volatile", ErrEviction, addr, policy)
	default:
		return nil
	}
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

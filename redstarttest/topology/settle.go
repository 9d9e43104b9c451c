package topology

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
)

// hasty and usual are the periods, in milliseconds, by which Sentinel finds out about the world, for Settle and for
// the rest of the time (then as in sentinel.c). A link that a node has cut is opened again once in a PING-PERIOD.
var (
	hasty = []string{"INFO-PERIOD", "100", "PUBLISH-PERIOD", "100", "PING-PERIOD", "250"}
	usual = []string{"INFO-PERIOD", "10000", "PUBLISH-PERIOD", "2000", "PING-PERIOD", "1000"}
)

// Settle returns when all is well, within ctx's deadline (60 s without one): every process answers; the sentinels
// agree on the primary, know every replica and each other, see nobody down, and have a quorum; every other data node
// is a replica of that primary, in sync. What was killed must have been restarted before, what was cut joined.
//
// Until then the sentinels look about every 100 ms, which they otherwise do every 2 to 10 s: an old primary that
// comes back becomes a replica in about a second, not in eighteen.
func (s *Sentinel) Settle(ctx context.Context) (err error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	hurried := make([]bool, len(s.sentinels))
	defer func() {
		calm := each(s.sentinels, func(i int, n *Node) error {
			if !hurried[i] {
				return nil
			}
			return n.order(context.WithoutCancel(ctx), append([]string{"SENTINEL", "DEBUG"}, usual...)...)
		})
		if err == nil {
			err = calm
		}
	}()
	return until(ctx, "the deployment does not settle", func() string {
		for i, n := range s.sentinels { // one that was restarted forgets its haste, but not before this has begun
			if hurried[i] {
				continue
			}
			if err := n.order(ctx, append([]string{"SENTINEL", "DEBUG"}, hasty...)...); err != nil {
				return err.Error()
			}
			hurried[i] = true
		}
		return s.unsettled(ctx)
	})
}

// unsettled says what is not well.
func (s *Sentinel) unsettled(ctx context.Context) string {
	primary, err := s.Primary(ctx)
	if err != nil {
		return err.Error()
	}
	return first(s.members(), func(n *Node) string {
		switch {
		case n == primary:
			return n.isPrimary(ctx)
		case slices.Contains(s.nodes, n):
			return n.inSync(ctx, primary.Announced())
		}
		return s.view(ctx, n, primary)
	})
}

// view says what a sentinel has not seen yet.
func (s *Sentinel) view(ctx context.Context, n, primary *Node) string {
	seen := func(what string) ([]map[string]string, error) {
		reply, err := n.ask(ctx, "SENTINEL", what, s.cfg.Name)
		list, isList := reply.([]any)
		if !isList && err == nil {
			err = fmt.Errorf("%s answers %v to SENTINEL %s", n.name, reply, what)
		}
		if what == "MASTER" {
			list = []any{reply}
		}
		all := make([]map[string]string, len(list))
		for i, item := range list {
			all[i] = pairs(words(item))
		}
		return all, err
	}
	// lacks looks for members that the list does not have as it should.
	lacks := func(what, flags string, want []*Node, more func(m map[string]string) bool) string {
		list, err := seen(what)
		if err != nil {
			return err.Error()
		}
		for _, w := range want {
			i := slices.IndexFunc(list, func(m map[string]string) bool { return net.JoinHostPort(m["ip"], m["port"]) == w.Announced() })
			if i < 0 {
				return fmt.Sprintf("%s does not have %s in its %s", n.name, w.name, what)
			}
			// What another sentinel said of a primary that was down is kept for a while, or for ever (Valkey 9).
			if strings.TrimSuffix(list[i]["flags"], ",master_down") != flags || more != nil && !more(list[i]) {
				return fmt.Sprintf("%s has %s in its %s as %v", n.name, w.name, what, list[i])
			}
		}
		return ""
	}
	others := func(nodes []*Node, but *Node) []*Node {
		return slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return n == but })
	}
	if l := lacks("MASTER", "master", []*Node{primary}, nil); l != "" {
		return l
	}
	follows := func(m map[string]string) bool {
		return m["master-link-status"] == "ok" && m["master-port"] == port(primary.Announced())
	}
	if l := lacks("REPLICAS", "slave", others(s.nodes, primary), follows); l != "" {
		return l
	}
	if l := lacks("SENTINELS", "sentinel", others(s.sentinels, n), nil); l != "" {
		return l
	}
	if answer, err := n.text(ctx, "SENTINEL", "CKQUORUM", s.cfg.Name); err != nil || !strings.HasPrefix(answer, "OK") {
		return fmt.Sprintf("%s on the quorum: %s %v", n.name, answer, err)
	}
	return ""
}

// pairs makes a map of a list of names and values.
func pairs(list []string) map[string]string {
	m := map[string]string{}
	for pair := range slices.Chunk(list, 2) {
		if len(pair) == 2 {
			m[pair[0]] = pair[1]
		}
	}
	return m
}

// first asks all nodes at the same time and gives the first answer that is not "".
func first(nodes []*Node, lacking func(n *Node) string) string {
	all := make([]string, len(nodes))
	var asking sync.WaitGroup
	for i, n := range nodes {
		asking.Go(func() { all[i] = lacking(n) })
	}
	asking.Wait()
	for _, lack := range all {
		if lack != "" {
			return lack
		}
	}
	return ""
}

package replicas

import (
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/topology"
)

// Policy is what a read asks of a replica. The zero value takes any, in turn.
type Policy struct {
	MaxLag  time.Duration // it holds what the primary had acknowledged this long ago; 0: no bound
	Written time.Time     // and what was written before this time; zero: no bound

	Nearest  bool // the one that has answered fastest of late
	SameZone bool // those in Config.Zone in turn, others if there is none
}

// Pick gives a replica that may answer a read of the slot, nil for the primary.
func (s *Set) Pick(slot uint16, p Policy) rueidis.Client {
	s.Want(p.MaxLag)
	v := s.View()
	if v == nil {
		return nil
	}
	shard := v.Shard(slot)
	if shard == nil || len(shard.Replicas) == 0 {
		return nil
	}
	need := int64(0) // on the follower's clock
	if p.MaxLag > 0 {
		need = s.Now() - int64(p.MaxLag)
	}
	if !p.Written.IsZero() {
		need = max(need, s.At(p.Written))
	}
	lonely := need == 0 && !shard.Primary.Serves() // then a replica that has lost its primary is better than nothing
	var best rueidis.Client
	var bestRTT time.Duration
	bestHere := false
	start := int(s.turn.Add(1) % uint32(len(shard.Replicas)))
	for i := range shard.Replicas {
		n := shard.Replicas[(start+i)%len(shard.Replicas)]
		ours := n.Linked() && n.Behind() >= 0 // and not somebody else's, or of a time before a failover
		if !n.Serves() || !n.IsReplica() || !ours && !lonely || need > 0 && n.AsOf() < need {
			continue
		}
		client, ok := s.clients.Load(n.Addr)
		if !ok {
			continue
		}
		here := p.SameZone && s.ZoneOf(n) == s.cfg.Zone
		switch {
		case best == nil, here && !bestHere, p.Nearest && n.RTT() < bestRTT:
			best, bestRTT, bestHere = client.(rueidis.Client), n.RTT(), here
		}
		if !p.Nearest && !p.SameZone || here {
			break
		}
	}
	return best
}

// ZoneOf is where a node stands; "" where that is not known.
func (s *Set) ZoneOf(n *topology.Node) string {
	if s.cfg.ZoneOf != nil {
		return s.cfg.ZoneOf(n.Addr)
	}
	return n.Zone()
}

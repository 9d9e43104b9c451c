// Package replicas holds the connections to a client's replicas, and knows
// which of them may answer a read.
package replicas

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/topology"
	"github.com/redstart-go/redstart/resilience"
)

// Set is the replicas of one client. What is known of them comes from the
// Replication in it, once that runs.
type Set struct {
	*topology.Replication
	Hedge *resilience.Hedge // of the reads that are asked twice

	Reads    atomic.Uint64 // sent to a replica
	Referred atomic.Uint64 // that the primary had to answer

	cfg     Config
	clients sync.Map // host:port -> rueidis.Client
	turn    atomic.Uint32
}

// Config says where a Set's replicas are found. All fields are needed but
// those of zones.
type Config struct {
	Dialer *conn.Dialer
	Conns  *conn.Set                                          // where the dialer notes its connections
	Slots  func(ctx context.Context) (*topology.Slots, error) // asks a cluster

	Zone   string                   // in which this process runs
	ZoneOf func(addr string) string // nil: what the node says of itself
}

// patience is how long a question to a node may take: one that does not answer
// twice is cut off, and its readers turn to the primary.
const patience = 250 * time.Millisecond

// New makes a Set; its Run follows the replicas.
func New(cfg Config) *Set {
	hedge, err := resilience.NewHedge(resilience.HedgeConfig{Failure: func(err error) bool { return !rueidis.IsRedisNil(err) }})
	if err != nil {
		panic(err) // its configuration is fixed
	}
	s := &Set{cfg: cfg, Hedge: hedge}
	s.Replication = topology.NewReplication(topology.ReplicationConfig{
		Members: s.members,
		Dial:    cfg.Dialer.Plain,
		Auth:    cfg.Dialer.Auth,
		Timeout: patience,
		Serves:  s.serves,
		Fails:   s.fails,
	})
	return s
}

// members says which nodes there are.
func (s *Set) members(ctx context.Context) ([]topology.Members, *topology.Slots, error) {
	d := s.cfg.Dialer
	if d.Cluster() {
		t, err := s.cfg.Slots(ctx)
		if err != nil {
			return nil, nil, err
		}
		return t.Members, t, nil
	}
	addr := d.Target.Addr
	if d.Watcher != nil {
		var ok bool
		if addr, _, ok = d.Watcher.Primary(); !ok {
			return nil, nil, &topology.NoPrimaryError{Name: d.Target.Addr, Heard: true}
		}
	}
	list, err := topology.AskReplicas(ctx, d.Plain, d.Auth, addr)
	if err != nil {
		return nil, nil, err
	}
	return []topology.Members{{Primary: addr, Replicas: list}}, nil, nil
}

// serves connects to a replica that answers.
func (s *Set) serves(ctx context.Context, addr, run string) any {
	client, err := s.cfg.Dialer.ConnectReplica(ctx, addr, run)
	if err != nil {
		return nil
	}
	s.clients.Store(addr, client)
	return client
}

// fails leaves a replica: who waits for its answer asks the primary.
func (s *Set) fails(addr string, served any) {
	s.clients.CompareAndDelete(addr, served)
	s.cfg.Conns.CutReads(addr)
	served.(rueidis.Client).Close()
}

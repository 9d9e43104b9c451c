package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/lock"
	"github.com/redstart-go/redstart/redstarttest"
)

var errResigned = errors.New("enough of leading")

// lead stands for election until it leads. To release is to resign.
func (h *holder) lead(ctx context.Context, id string) (grip, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	leads, resign, ended := make(chan *lock.Lease), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- h.alone.Election(id).Run(run, func(ctx context.Context) error {
			lease, _ := lock.FromContext(ctx)
			select {
			case leads <- lease:
			case <-ctx.Done():
				return ctx.Err()
			}
			<-resign
			return errResigned
		})
	}()
	select {
	case lease := <-leads:
		return grip{uint64(lease.Token()), lease.Context().Err, func(context.Context) error {
			close(resign)
			cancel() // lest it stands again
			if err := <-ended; !errors.Is(err, errResigned) {
				return err
			}
			return nil
		}}, nil
	case err := <-ended:
		cancel()
		return grip{}, err
	case <-ctx.Done():
		cancel()
		<-ended
		return grip{}, ctx.Err()
	}
}

// quorumOf makes locks over servers, and adds what ends them to end.
func quorumOf(urls []string, lease time.Duration, end []func()) (*lock.Quorum, []func(), error) {
	var clients []*redstart.Client
	for _, url := range urls {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		if err != nil {
			return nil, end, err
		}
		clients, end = append(clients, c), append(end, c.Close)
	}
	q, err := lock.NewQuorum(clients, lock.Config{Lease: lease})
	return q, end, err
}

const (
	quorumServers   = 5
	quorumProcesses = 3
)

// quorumSiege is holders of locks over five servers, of which up to two at a time are
// killed (AOF always) or frozen, and holders frozen past their leases; then three are
// frozen, and the two grant nothing. The marks are kept by a server beside them.
func quorumSiege(t *testing.T, seed uint64, rounds int) (holds, marks, struck int) {
	t.Helper()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	s := &assault{t: t, rng: harness.Rand(seed, "quorum siege", 0), work: workArg{Seed: seed, Workers: 3, Kinds: map[string]int{forQuorum: 2}}}
	voters := make([]*redstarttest.Server, quorumServers)
	urls := make([]string, quorumServers)
	for i := range voters {
		voters[i] = redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
		urls[i] = voters[i].URL()
	}
	dir := t.TempDir()
	for p := range quorumProcesses {
		s.args = append(s.args, holderArg{
			Recipe: redstarts, URL: server.URL(), Nodes: []string{server.Addr()}, Process: p,
			Lease: m1Lease, Quorum: urls, History: dir,
		})
		s.begin(p)
	}
	s.goOn(3)
	for round := range rounds {
		few := s.rng.Perm(quorumServers)[:1+s.rng.IntN(quorumServers/2)]
		for _, i := range few {
			if (round+i)%2 == 0 {
				fatal(t, voters[i].Kill())
			} else {
				fatal(t, voters[i].Freeze())
			}
			struck++
		}
		if round%3 == 0 {
			s.freezeMember()
		}
		s.goOn(2) // without them
		for _, i := range few {
			if (round+i)%2 == 0 {
				fatal(t, voters[i].Restart(t.Context()))
			} else {
				fatal(t, voters[i].Continue())
			}
		}
		s.goOn(2)
	}
	few := s.rng.Perm(quorumServers)[:1+quorumServers/2]
	for _, i := range few {
		fatal(t, voters[i].Freeze())
	}
	s.pause(600, 700) // what was granted is over
	before := s.grants()
	s.pause(1500, 1600)
	if after := s.grants(); after != before {
		t.Errorf("two of %d servers granted %d locks", quorumServers, after-before)
	}
	for _, i := range few {
		fatal(t, voters[i].Continue())
	}
	s.goOn(2)
	events, mixed := s.stop(func(args ...string) (any, error) { return server.Do(t.Context(), args...) })
	if history.Count(events, history.Marked) == 0 {
		t.Error("nobody left a mark")
	}
	reportTexts(t, "overlaps by the machine's clock", overlapsOf(events))
	reportTexts(t, "overlaps by the order of the marks", mixed)
	return history.Count(events, history.Held), history.Count(events, history.Marked), struck
}

// grants is how many locks were had so far.
func (s *assault) grants() (n int64) {
	s.t.Helper()
	for _, m := range s.members {
		var now holderCounts
		ask(s.t, m, "counts", 0, &now)
		n += now.Got
	}
	return n
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

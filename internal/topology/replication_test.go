package topology

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mute answers every question with nothing.
func mute(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		if _, err := readReply(in, 0); err != nil {
			return
		}
		if _, err := c.Write([]byte("$0\r\n\r\n")); err != nil {
			return
		}
	}
}

// A node that tells nothing of itself, and one that cannot be reached, are not
// asked without end for that.
func TestNobodyIsAskedInAStorm(t *testing.T) {
	var work sync.WaitGroup
	var listings, questions, dials atomic.Int64
	r := NewReplication(ReplicationConfig{
		Members: func(context.Context) ([]Members, *Slots, error) {
			listings.Add(1)
			return []Members{{Primary: "primary:1", Replicas: []string{"replica:1"}}}, nil, nil
		},
		Dial: func(_ context.Context, addr string) (net.Conn, error) {
			if addr == "replica:1" {
				dials.Add(1)
				return nil, errors.New("no way")
			}
			here, there := net.Pipe()
			work.Go(func() { mute(there) })
			return counted{here, &questions}, nil
		},
		Timeout: time.Second,
		Serves:  func(context.Context, string, string) any { return nil },
		Fails:   func(string, any) {},
	})
	r.Want(40 * time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	work.Go(func() { r.Run(ctx) })
	for tick := time.NewTicker(time.Millisecond); questions.Load() < 100; <-tick.C {
		r.Want(40 * time.Millisecond)
	}
	stop()
	if l, d := listings.Load(), dials.Load(); l > 10 || d > 10 {
		t.Errorf("while a node was asked %d times, the members were listed %d times and one that cannot be reached was dialled %d times", questions.Load(), l, d)
	}
	work.Wait()
}

type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

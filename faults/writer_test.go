package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
)

// openArg says how a writer reaches a primary that sentinels watch.
type openArg struct {
	URL string
	// Of the twin: the bare client, as one would open it by hand.
	Bare bool
	Addr []string
	Name string
}

// writeArg says how it writes.
type writeArg struct {
	Prefix string // of the keys, which end in a number
	WaitMS int64  // WAIT 1 with this timeout after each write, which counts only if a replica has it; 0: none
}

// ack is a write that was acknowledged.
type ack struct {
	N  int
	At int64 // ns
}

func (a ack) after(t time.Time) bool { return time.Unix(0, a.At).After(t) }

// resources is what a process has open.
type resources struct{ Goroutines, Descriptors int }

// writer is a process that does nothing but write through one client, so that
// what it has open is the client's.
type writer struct {
	before resources // before the client was opened
	client rueidis.Client

	stop context.CancelFunc
	work sync.WaitGroup
	mu   sync.Mutex
	acks []ack
}

// writerRole is the role.
func writerRole(json.RawMessage) (map[string]harness.Verb, func(), error) {
	w := &writer{}
	// Opens what the runtime keeps open for the network.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	l.Close()
	return map[string]harness.Verb{
		"open":  harness.On(w.open),
		"write": harness.On(w.write),
		"last":  harness.On(w.last),
		"stop":  harness.On(w.halt),
		"holds": harness.On(w.holds),
		"most":  harness.On(w.most),
		"close": harness.On(w.close),
	}, func() {}, nil
}

func holds() (resources, error) {
	files, err := os.ReadDir("/dev/fd")
	return resources{Goroutines: runtime.NumGoroutine(), Descriptors: len(files)}, err
}

// holds is what the process has open while it does not write. The client opens
// its pipeline when it is needed, so it is needed before.
func (w *writer) holds(ctx context.Context, _ int) (resources, error) {
	if err := w.client.Do(ctx, w.client.B().Ping().Build()).Error(); err != nil {
		return resources{}, err
	}
	return holds()
}

// most is the most that it holds until there has been no more for two seconds:
// the watch over sentinels and nodes dials anew whom it has lost.
func (w *writer) most(ctx context.Context, _ int) (most resources, err error) {
	for since := time.Now(); time.Since(since) < 2*time.Second; {
		now, err := w.holds(ctx, 0)
		if err != nil {
			return most, err
		}
		if now.Goroutines > most.Goroutines || now.Descriptors > most.Descriptors {
			most = resources{max(most.Goroutines, now.Goroutines), max(most.Descriptors, now.Descriptors)}
			since = time.Now()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return most, ctx.Err()
		}
	}
	return most, nil
}

func (w *writer) open(ctx context.Context, arg openArg) (int, error) {
	var err error
	if w.before, err = holds(); err != nil {
		return 0, err
	}
	if arg.Bare {
		w.client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: arg.Addr, Sentinel: rueidis.SentinelOption{MasterSet: arg.Name}, DisableCache: true})
		return 0, err
	}
	// With one pipeline, for others come and go as they are needed.
	client, err := redstart.Open(ctx, arg.URL, redstart.Config{Pipelines: 1})
	w.client = client
	return 0, err
}

// write begins to write, one key after the other.
func (w *writer) write(_ context.Context, arg writeArg) (int, error) {
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.acks = stop, nil
	w.work.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			call, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			err := w.set(call, arg.Prefix+strconv.Itoa(n), arg.WaitMS)
			cancel()
			if err == nil {
				w.mu.Lock()
				w.acks = append(w.acks, ack{n, time.Now().UnixNano()})
				w.mu.Unlock()
			}
		}
	})
	return 0, nil
}

var errAlone = errors.New("no replica has it")

func (w *writer) set(ctx context.Context, key string, waitMS int64) error {
	set := w.client.B().Set().Key(key).Value("x").Build()
	if waitMS == 0 {
		return w.client.Do(ctx, set).Error()
	}
	// WAIT speaks of what its own connection wrote.
	return w.client.Dedicated(func(d rueidis.DedicatedClient) error {
		two := d.DoMulti(ctx, set, d.B().Wait().Numreplicas(1).Timeout(waitMS).Build())
		n, err := two[1].AsInt64()
		if err == nil && n == 0 {
			err = errAlone
		}
		return errors.Join(two[0].Error(), err)
	})
}

// last is the last write that was acknowledged.
func (w *writer) last(context.Context, int) (ack, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.acks) == 0 {
		return ack{}, nil
	}
	return w.acks[len(w.acks)-1], nil
}

// halt ends the writing and gives what was acknowledged.
func (w *writer) halt(context.Context, int) ([]ack, error) {
	w.stop()
	w.work.Wait()
	return w.acks, nil
}

// close closes the client and says what it has left behind, after a while in
// which the system may take its time.
func (w *writer) close(ctx context.Context, _ int) (left resources, err error) {
	open, err := holds()
	if err == nil && (open.Goroutines <= w.before.Goroutines || open.Descriptors <= w.before.Descriptors) {
		err = fmt.Errorf("an open client holds %v, the process held %v before: nothing is counted", open, w.before)
	}
	if err != nil {
		return resources{}, err
	}
	w.client.Close()
	for pause := time.Millisecond; pause < 5*time.Second; pause *= 2 {
		now, err := holds()
		if err != nil {
			return resources{}, err
		}
		left = resources{now.Goroutines - w.before.Goroutines, now.Descriptors - w.before.Descriptors}
		if left.Goroutines <= 0 && left.Descriptors <= 0 {
			return resources{}, nil
		}
		select {
		case <-ctx.Done():
			return resources{}, ctx.Err()
		case <-time.After(pause):
		}
	}
	return left, nil
}

func (h resources) String() string {
	return fmt.Sprintf("%d goroutines and %d descriptors", h.Goroutines, h.Descriptors)
}

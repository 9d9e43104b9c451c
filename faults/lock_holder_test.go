package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/lock"
)

// The recipes that a holder may follow, beside redstarts.
const (
	lockPoll = "SET NX EX, poll, DEL"
	lockPop  = "bare BLPOP" // the control: a hand-over by hand
)

// holderArg sets up a holder: a process whose goroutines hold locks.
type holderArg struct {
	Recipe  string
	URL     string // of the deployment, or of a proxy before it
	Direct  string // of the deployment itself, where the marks go
	Nodes   []string
	Process int
	Life    int
	Lease   time.Duration
	Quorum  []string // URLs of independent servers, for forQuorum
	History string   // folder; "": none
}

// grip is a lock that is held.
type grip struct {
	number  uint64
	alive   func() error // nil: not lost yet
	release func(context.Context) error
}

// holder is the process.
type holder struct {
	arg     holderArg
	client  *redstart.Client // nil for a recipe
	alone   *lock.Lock
	permits *lock.Lock
	quorum  *lock.Quorum
	recipe  naive.Lock
	plain   rueidis.Client
	marks   rueidis.Client
	log     *history.Log
	end     []func()

	begun, got, lost atomic.Int64 // acquires
	cancel           context.CancelFunc
	work             sync.WaitGroup

	mu   sync.Mutex
	held map[string]grip
	err  error // the first that the work cannot go on with
}

// permits is how many may hold a lock with permits.
const permits = 3

func lockOf(client *redstart.Client, lease time.Duration) (*lock.Lock, error) {
	return lock.New(client, lock.Config{Lease: lease})
}

// holderRole is the role.
func holderRole(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	h := &holder{held: map[string]grip{}}
	if err := json.Unmarshal(raw, &h.arg); err != nil {
		return nil, nil, err
	}
	if err := h.open(); err != nil {
		h.close()
		return nil, nil, err
	}
	return map[string]harness.Verb{
		"start":   harness.On(h.start),
		"stop":    harness.On(h.stop),
		"acquire": harness.On(h.acquireOne),
		"release": harness.On(h.releaseOne),
		"turn":    harness.On(h.turn),
		"haunt":   harness.On(h.haunt),
		"leave":   harness.On(h.leaveAll),
		"counts": harness.On(func(context.Context, int) (holderCounts, error) {
			return holderCounts{h.begun.Load(), h.got.Load(), h.lost.Load()}, nil
		}),
	}, h.close, nil
}

type holderCounts struct{ Begun, Got, Lost int64 }

func (h *holder) close() {
	if h.cancel != nil {
		h.cancel()
		h.work.Wait()
	}
	for _, end := range slices.Backward(h.end) {
		end()
	}
}

func (h *holder) open() (err error) {
	if h.arg.History != "" {
		if h.log, err = history.Create(h.arg.History, fmt.Sprintf("%d-%d", h.arg.Process, h.arg.Life)); err != nil {
			return err
		}
		h.end = append(h.end, func() { _ = h.log.Close() })
		if h.marks, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: h.arg.Nodes, DisableCache: true, DisableRetry: true}); err != nil {
			return err
		}
		h.end = append(h.end, h.marks.Close)
	}
	if h.arg.Recipe != redstarts {
		if h.plain, err = plain(h.arg.URL); err != nil {
			return err
		}
		h.end = append(h.end, h.plain.Close)
		h.recipe = naive.Lock{Client: h.plain, Expiry: h.arg.Lease, Pause: 100 * time.Millisecond}
		return nil
	}
	if h.client, err = redstart.Open(context.Background(), h.arg.URL, redstart.Config{}); err != nil {
		return err
	}
	h.end = append(h.end, h.client.Close)
	if h.alone, err = lockOf(h.client, h.arg.Lease); err != nil {
		return err
	}
	h.permits, err = lock.New(h.client, lock.Config{Lease: h.arg.Lease, Permits: permits, Key: "permits:{<id>}"})
	if err != nil || len(h.arg.Quorum) == 0 {
		return err
	}
	h.quorum, h.end, err = quorumOf(h.arg.Quorum, h.arg.Lease, h.end)
	return err
}

// The kinds of locks.
const (
	forOne    = "one"
	forMany   = "many" // readers and writers
	forPermit = "permits"
	forLeader = "leader" // an election
	forQuorum = "quorum"
)

// acquire waits for a lock; shared says that its holder bears others.
func (h *holder) acquire(ctx context.Context, kind, id string, shared bool) (grip, error) {
	h.begun.Add(1)
	switch h.arg.Recipe {
	case lockPoll:
		err := h.recipe.Acquire(ctx, id)
		return grip{rand.Uint64N(1 << 62), func() error { return nil }, func(ctx context.Context) error { return h.recipe.Release(ctx, id) }}, err
	case lockPop: // who wants to begin puts one into the list
		err := h.plain.Do(ctx, h.plain.B().Blpop().Key(id).Timeout(0).Build()).Error()
		return grip{rand.Uint64N(1 << 62), func() error { return nil }, func(ctx context.Context) error {
			return h.plain.Do(ctx, h.plain.B().Lpush().Key(id).Element("1").Build()).Error()
		}}, err
	}
	var lease *lock.Lease
	var err error
	switch {
	case kind == forLeader:
		return h.lead(ctx, id)
	case kind == forQuorum:
		lease, err = h.quorum.Acquire(ctx, id)
	case kind == forPermit:
		lease, err = h.permits.Acquire(ctx, id)
	case shared:
		lease, err = h.alone.AcquireShared(ctx, id)
	default:
		lease, err = h.alone.Acquire(ctx, id)
	}
	if err != nil {
		return grip{}, err
	}
	return grip{uint64(lease.Token()), lease.Context().Err, lease.Release}, nil
}

// workArg is what the goroutines of a process do until they are told to stop:
// lock, leave marks, unlock.
type workArg struct {
	Seed    uint64
	Workers int
	Kinds   map[string]int // how many locks there are
}

// lockNumber is the number of a lock in the history.
func lockNumber(kind string, n int) uint32 {
	return uint32(n) + map[string]uint32{forOne: 0, forLeader: 500, forQuorum: 600, forMany: 1000, forPermit: 2000}[kind]
}

func lockName(number uint32) string { return "l" + strconv.Itoa(int(number)) }

// marksOf is the list of a lock's marks, in its slot.
func marksOf(number uint32) string { return "marks:{" + lockName(number) + "}" }

func (h *holder) start(_ context.Context, arg workArg) (int, error) {
	var ctx context.Context
	ctx, h.cancel = context.WithCancel(context.Background())
	for w := range arg.Workers {
		rng := harness.Rand(arg.Seed, fmt.Sprint("holder", h.arg.Process, h.arg.Life), w)
		h.work.Go(func() {
			for ctx.Err() == nil {
				if err := h.hold(ctx, rng, arg.Kinds); err != nil {
					h.mu.Lock()
					h.err = errors.Join(h.err, err)
					h.mu.Unlock()
					return
				}
			}
		})
	}
	return 0, nil
}

// hold holds one lock once.
func (h *holder) hold(ctx context.Context, rng *rand.Rand, kinds map[string]int) error {
	kind := []string{forOne, forOne, forMany, forPermit, forLeader}[rng.IntN(5)]
	switch {
	case kinds[forQuorum] > 0:
		kind = forQuorum
	case kinds[kind] == 0:
		kind = forOne
	}
	number := lockNumber(kind, rng.IntN(kinds[kind]))
	shared := kind == forPermit || kind == forMany && rng.IntN(3) > 0
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if rng.IntN(20) == 0 { // gives up early
		call, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(100))*time.Millisecond)
		defer cancel()
	}
	got, err := h.acquire(call, kind, lockName(number), shared)
	if err != nil {
		h.lost.Add(1)
		return nil // it holds nothing
	}
	e := history.Event{Kind: history.Held, Process: uint16(h.arg.Process), Key: number, Version: got.number}
	if shared {
		e.Mark = history.Together
	}
	e.Begin = harness.Monotonic()
	for mark := range uint64(1 + rng.IntN(3)) {
		if !shared && !h.mark(number, got, mark) {
			break
		}
		if rng.IntN(50) > 0 {
			rest(ctx, time.Duration(rng.IntN(3000))*time.Microsecond)
		} else {
			rest(ctx, h.arg.Lease) // past a renewal
		}
		if now := harness.Monotonic(); got.alive() == nil {
			e.End = now
		}
	}
	if e.End > 0 {
		if err := h.log.Add(e); err != nil {
			return err
		}
		h.got.Add(1)
	}
	after, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	if got.release(after) != nil {
		h.lost.Add(1)
	}
	return nil
}

// mark leaves one at the server, and says whether it came before the lease's end.
func (h *holder) mark(number uint32, got grip, mark uint64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	err := h.marks.Do(ctx, h.marks.B().Rpush().Key(marksOf(number)).Element(fmt.Sprintf("%d %d", got.number, mark)).Build()).Error()
	if err != nil || got.alive() != nil {
		return false
	}
	return h.log.Add(history.Event{Kind: history.Marked, Process: uint16(h.arg.Process), Key: number, Version: got.number, Begin: mark}) == nil
}

func (h *holder) stop(context.Context, int) (int, error) {
	h.cancel()
	h.work.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return 0, h.err
}

// acquireOne takes a lock, which the process holds until releaseOne. The times
// are of the machine's clock.
func (h *holder) acquireOne(ctx context.Context, id string) (taken, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := h.acquire(ctx, forOne, id, false)
	at := harness.Monotonic()
	if err != nil {
		return taken{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[id] = got
	return taken{got.number, at}, nil
}

type taken struct{ Number, At uint64 }

// releaseOne gives the time when it began.
func (h *holder) releaseOne(ctx context.Context, id string) (uint64, error) {
	h.mu.Lock()
	got := h.held[id]
	delete(h.held, id)
	h.mu.Unlock()
	at := harness.Monotonic()
	return at, got.release(ctx)
}

// turn holds a lock for a millisecond.
func (h *holder) turn(ctx context.Context, id string) (t turn, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := h.acquire(ctx, forOne, id, false)
	t.Begin = harness.Monotonic()
	if err != nil {
		return t, err
	}
	rest(ctx, time.Millisecond)
	t.End = harness.Monotonic()
	return t, got.release(ctx)
}

type turn struct{ Begin, End uint64 }

// hauntArg is a fenced resource.
type hauntArg struct {
	Addr  string
	Bare  bool // it is sent no tokens
	Pause time.Duration
}

// haunt writes to a fenced resource for each lock that the process holds, or
// believes to, whatever its context says, until ctx ends or stopHaunting.
func (h *holder) haunt(_ context.Context, arg hauntArg) (int, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{arg.Addr}, DisableCache: true})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel = cancel
	h.end = append(h.end, client.Close)
	for id, got := range h.held {
		token := int64(got.number)
		if arg.Bare {
			token = 0
		}
		h.work.Go(func() {
			for ctx.Err() == nil {
				taken, err := writeFenced(ctx, client, id, token, "A")
				switch {
				case err != nil:
				case taken:
					h.got.Add(1)
				default:
					h.lost.Add(1)
				}
				rest(ctx, arg.Pause)
			}
		})
	}
	return 0, nil
}

// leaveAll ends the haunting and releases what is held, or lost.
func (h *holder) leaveAll(ctx context.Context, _ int) (int, error) {
	h.cancel()
	h.work.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	still := 0
	for _, got := range h.held {
		if got.alive() == nil {
			still++
		}
		_ = got.release(ctx) // it may be lost
	}
	clear(h.held)
	return still, nil
}

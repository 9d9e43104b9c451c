package lock

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// channel is what the names of all inboxes begin with, as in state.lua.
const channel = "redstart:lock:"

// When the subscription ended: a lost connection is tried again soon, a server
// that refuses it (an ACL) much later.
const (
	retryLost    = 100 * time.Millisecond
	retryRefused = time.Minute
)

// missedMost is how many grants in a row may be found by looking, for want of
// their messages, before the subscription is taken for dead.
const missedMost = 3

// inbox is where a client hears that what it waits for was granted: one
// subscription for all its locks, begun when first it has to wait.
type inbox struct {
	client  *redstart.Client
	address string
	claims  atomic.Uint64

	mu      sync.Mutex
	waiters map[string]*waiter // by owner
	running bool
	up      bool
	retryAt time.Time
	missed  int
	cancel  context.CancelFunc // ends the subscription; nil while there is none
}

// waiter is a claim that waits.
type waiter struct {
	news chan notice   // it was granted
	look chan struct{} // nobody knows what was missed: ask
}

// notice is the message of a grant, with times of the server's clock in µs.
type notice struct {
	token, now, ends int64
	received         time.Time
}

type inboxKey struct{}

func inboxOf(c *redstart.Client) *inbox {
	return c.Attach(inboxKey{}, func() any {
		var b [12]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		return &inbox{client: c, address: base64.RawURLEncoding.EncodeToString(b[:]), waiters: map[string]*waiter{}}
	}).(*inbox)
}

// owner gives a name that no claim had before.
func (b *inbox) owner(m mode) string {
	var digits [13]byte
	n := strconv.AppendUint(digits[:0], b.claims.Add(1), 36)
	return string(m) + b.address + "." + "000000000"[min(len(n), 9):] + string(n) // one length: the state is overwritten in place
}

// join listens for an owner, before he asks: the message may be sent with the
// answer.
func (b *inbox) join(owner string) *waiter {
	w := &waiter{news: make(chan notice, 1), look: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters[owner] = w
	return w
}

func (b *inbox) leave(owner string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiters, owner)
}

// listen sees to it that there is a subscription, and reports whether messages
// arrive by now.
func (b *inbox) listen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running && !time.Now().Before(b.retryAt) {
		b.running = b.client.Go(b.run) == nil
	}
	return b.up
}

// run is the subscription, for as long as its connection lasts.
func (b *inbox) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.mu.Lock()
	b.cancel = cancel
	b.mu.Unlock()
	subscribed := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.up, b.missed = s.Kind == "subscribe", 0; b.up {
			b.lookAll()
		}
	})
	err := b.client.Receive(subscribed, b.client.B().Subscribe().Channel(channel+b.address).Build(), b.receive)
	b.mu.Lock()
	defer b.mu.Unlock()
	retry := retryLost
	if re := (*rueidis.RedisError)(nil); errors.As(err, &re) && !redstart.Away(err) {
		retry = retryRefused
	}
	b.running, b.up, b.cancel, b.retryAt = false, false, nil, time.Now().Add(retry)
	b.lookAll()
}

// lookAll makes all ask. The mutex is held.
func (b *inbox) lookAll() {
	for _, w := range b.waiters {
		select {
		case w.look <- struct{}{}:
		default:
		}
	}
}

func (b *inbox) receive(m rueidis.PubSubMessage) {
	owner, n, ok := parse(m.Message)
	if !ok {
		return // anyone may publish; the poll is behind
	}
	n.received = time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed = 0
	w := b.waiters[owner]
	if w == nil {
		return
	}
	select {
	case <-w.news: // an older one, of which he took no notice
	default:
	}
	w.news <- n
}

// parse reads a message: owner, token, the time, the end of the lease.
func parse(message string) (owner string, n notice, ok bool) {
	owner, rest, _ := strings.Cut(message, " ")
	for i, to := range []*int64{&n.token, &n.now, &n.ends} {
		word, after, more := strings.Cut(rest, " ")
		var err error
		if *to, err = strconv.ParseInt(word, 10, 64); err != nil || more != (i < 2) {
			return "", notice{}, false
		}
		rest = after
	}
	return owner, n, true
}

// found notes that a grant was found by looking, though its message should have
// come. A subscription can be deaf: its node has left the cluster.
func (b *inbox) found() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missed++; b.missed >= missedMost && b.up {
		b.missed, b.up = 0, false
		b.cancel()
	}
}

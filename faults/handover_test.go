package faults

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// handOver is the least that can be done by hand: SET NX, and PUBLISH when the
// value is there. It survives nothing, and is the control that a wake-up is
// measured beside.
type handOver struct {
	client rueidis.Client
	load   func(context.Context, string) (row, error)
	waits  atomic.Uint64

	cancel context.CancelFunc
	done   chan error
	hello  chan struct{}

	mu      sync.Mutex
	waiters map[string][]chan struct{}
}

const (
	handOverChannel = "handover"
	handOverHello   = "hello"
)

func newHandOver(client rueidis.Client, load func(context.Context, string) (row, error)) *handOver {
	h := &handOver{client: client, load: load, done: make(chan error, 1), hello: make(chan struct{}, 1), waiters: map[string][]chan struct{}{}}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() {
		h.done <- client.Receive(ctx, client.B().Subscribe().Channel(handOverChannel).Build(), func(m rueidis.PubSubMessage) { h.wake(m.Message) })
	}()
	return h
}

// ready returns once messages arrive.
func (h *handOver) ready() error {
	for late := time.After(10 * time.Second); ; {
		if err := h.publish(context.Background(), handOverHello); err != nil {
			return err
		}
		select {
		case <-h.hello:
			return nil
		case err := <-h.done:
			h.done <- err
			return err
		case <-late:
			return errors.New("no message arrives")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (h *handOver) close() {
	h.cancel()
	<-h.done
}

func (h *handOver) publish(ctx context.Context, message string) error {
	return h.client.Do(ctx, h.client.B().Publish().Channel(handOverChannel).Message(message).Build()).Error()
}

func (h *handOver) wake(key string) {
	if key == handOverHello {
		select {
		case h.hello <- struct{}{}:
		default:
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.waiters[key] {
		close(w)
	}
	delete(h.waiters, key)
}

// Get loads when nobody does, and else waits for the message.
func (h *handOver) Get(ctx context.Context, key string) (uint64, error) {
	woken := make(chan struct{})
	h.mu.Lock()
	h.waiters[key] = append(h.waiters[key], woken)
	h.mu.Unlock()
	err := h.client.Do(ctx, h.client.B().Set().Key(keyOf(key)).Value("").Nx().ExSeconds(30).Build()).Error()
	switch {
	case err == nil:
		return h.fill(ctx, key)
	case !rueidis.IsRedisNil(err):
		return 0, err
	}
	if v, err := h.value(ctx, key); v > 0 || err != nil {
		return v, err
	}
	h.waits.Add(1)
	select {
	case <-woken:
		return h.value(ctx, key)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// fill hands the value over in one round trip.
func (h *handOver) fill(ctx context.Context, key string) (uint64, error) {
	r, err := h.load(ctx, key)
	if err != nil {
		return 0, err
	}
	b := h.client.B()
	for _, reply := range h.client.DoMulti(ctx,
		b.Set().Key(keyOf(key)).Value(strconv.FormatUint(r.Version, 10)).ExSeconds(60).Build(),
		b.Publish().Channel(handOverChannel).Message(key).Build()) {
		err = errors.Join(err, reply.Error())
	}
	return r.Version, err
}

// value is what is there; 0 while someone loads.
func (h *handOver) value(ctx context.Context, key string) (uint64, error) {
	text, err := h.client.Do(ctx, h.client.B().Get().Key(keyOf(key)).Build()).ToString()
	if err != nil || text == "" {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

// Invalidate deletes the key.
func (h *handOver) Invalidate(ctx context.Context, key string) error {
	return h.client.Do(ctx, h.client.B().Del().Key(keyOf(key)).Build()).Error()
}

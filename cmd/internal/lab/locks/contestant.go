package locks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/lock"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// locker is one process that wants the lock.
type locker interface {
	// Acquire waits for the lock.
	Acquire(ctx context.Context) (hold, error)
	// Close ends it.
	Close()
}

// hold is the lock while somebody has it, as far as he knows.
type hold interface {
	// Held is whether he still does.
	Held() bool
	// Write appends a line to the resource, in the name of this hold. False: the resource refused.
	Write(ctx context.Context, line string) (bool, error)
	// Release gives the lock back.
	Release(ctx context.Context) error
}

// recipe is a way of locking.
type recipe struct {
	name  string
	about string
	tone  chart.Tone
	// promises: it says that the resource takes nothing from a holder who was overtaken.
	promises bool
	open     func(ctx context.Context, s stand) (locker, error)
	// keys are all that it may have made besides the resource.
	keys func(namespace string) []string
}

// stand is what a locker gets to work with.
type stand struct {
	URL       string `json:"url"`
	Namespace string `json:"namespace"`
}

func (s stand) resource() string { return resource(s.Namespace) }

func resource(namespace string) string { return namespace + ":{resource}" }

func recipes() []recipe { return []recipe{setNX(), ours()} }

// setNX is the lock as tutorials print it, line by line:
//
//	while not redis.set(lock_key, "1", nx=True, ex=ttl):
//	    time.sleep(0.1)
//	try: work()
//	finally: redis.delete(lock_key)
func setNX() recipe {
	return recipe{
		name: "set nx",
		tone: chart.First,
		about: "SET lock NX EX; who does not get it sleeps 100 ms and tries again; DEL when done. A holder who was frozen past the end of his lock " +
			"writes all the same, and then deletes the lock of whoever has it by now, so that a third one gets in.",
		open: func(_ context.Context, s stand) (locker, error) {
			c, err := lab.PlainClient(s.URL)
			if err != nil {
				return nil, fmt.Errorf("connect the recipe: %w", err)
			}
			return &plain{s, c}, nil
		},
		keys: func(namespace string) []string { return []string{namespace + ":lock"} },
	}
}

type plain struct {
	stand
	client rueidis.Client
}

const pollEvery = 100 * time.Millisecond

func (p *plain) Acquire(ctx context.Context) (hold, error) {
	for {
		err := p.client.Do(ctx, p.client.B().Set().Key(p.Namespace+":lock").Value("1").Nx().ExSeconds(int64(lease/time.Second)).Build()).Error()
		switch {
		case err == nil:
			return (*plainHold)(p), nil
		case !rueidis.IsRedisNil(err):
			return nil, err
		}
		lab.Pause(ctx, pollEvery)
	}
}

func (p *plain) Close() { p.client.Close() }

type plainHold plain

func (*plainHold) Held() bool { return true } // it has no way to know

func (h *plainHold) Write(ctx context.Context, line string) (bool, error) {
	err := h.client.Do(ctx, h.client.B().Rpush().Key(h.resource()).Element(line).Build()).Error()
	return err == nil, err
}

func (h *plainHold) Release(ctx context.Context) error {
	return h.client.Do(ctx, h.client.B().Del().Key(h.Namespace+":lock").Build()).Error()
}

// ours is Redstart's lock as its documentation shows it, and a resource that takes part.
func ours() recipe {
	return recipe{
		name:     "redstart",
		tone:     chart.Ours,
		promises: true,
		about: "A lease under the holder's own name, renewed while he lives, with a fencing token that only grows. The resource refuses a token older than one " +
			"that it has seen. Those who wait stand in line at the server and are told when it is their turn.",
		open: func(ctx context.Context, s stand) (locker, error) {
			client, err := redstart.Open(ctx, s.URL, redstart.Config{Namespace: s.Namespace, ClientName: "redstart-lab"})
			if err != nil {
				return nil, err
			}
			l, err := lock.New(client, lock.Config{Lease: lease})
			if err != nil {
				client.Close()
				return nil, fmt.Errorf("make the lock: %w", err)
			}
			return &leased{s, client, l, lock.NewGuard("lab/append", "return redis.call('RPUSH', KEYS[1], ARGV[1])")}, nil
		},
		keys: func(namespace string) []string {
			state := namespace + ":lock:{" + lockID + "}"
			return []string{state, state + ":%shared", state + ":%queue", state + ":%about", resource(namespace) + ":%fence"}
		},
	}
}

const lockID = "resource"

type leased struct {
	stand
	client *redstart.Client
	lock   *lock.Lock
	guard  *lock.Guard
}

func (l *leased) Acquire(ctx context.Context) (hold, error) {
	h, err := l.lock.Acquire(ctx, lockID)
	if err != nil {
		return nil, err
	}
	return &leaseHold{l, h}, nil
}

func (l *leased) Close() { l.client.Close() }

type leaseHold struct {
	*leased
	lease *lock.Lease
}

func (h *leaseHold) Held() bool { return h.lease.Context().Err() == nil }

func (h *leaseHold) Write(ctx context.Context, line string) (bool, error) {
	err := h.guard.Exec(ctx, h.client, h.lease.Token(), []string{h.resource()}, []string{line}).Error()
	if errors.Is(err, lock.ErrFenced) {
		return false, nil
	}
	return err == nil, err
}

// Release tells nothing of a lease that was lost: who checks knows it already.
func (h *leaseHold) Release(ctx context.Context) error {
	err := h.lease.Release(ctx)
	if errors.Is(err, lock.ErrLost) {
		return nil
	}
	return err
}

package askers

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// pubSub is the stampede protection that a good programmer writes by hand in an afternoon: one flight a process, a lock
// with a token and a compare-and-delete, a message when the value is there. It is the control: it loads once where
// nothing fails. Nothing keeps it from storing what an invalidation has just outdated, and a holder that dies costs
// everyone the lock's time.
type pubSub struct {
	client rueidis.Client
	load   Loader
	ttl    time.Duration
	conn   rueidis.DedicatedClient // for subscriptions
	free   func()

	mu      sync.Mutex
	flights map[string]*pubSubFlight
	waiting map[string]chan struct{} // by channel; one flight a key, so one waiter
}

type pubSubFlight struct {
	done  chan struct{}
	value string
	err   error
}

// pubSubLock is how long a lock lasts.
const pubSubLock = 5 * time.Second

func joinPubSub(_ context.Context, at Place, load Loader) (Asker, func(), error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{at.Address}})
	if err != nil {
		return nil, nil, err
	}
	p := &pubSub{client: client, load: load, ttl: at.TTL, flights: map[string]*pubSubFlight{}, waiting: map[string]chan struct{}{}}
	p.conn, p.free = client.Dedicate()
	p.conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { p.wake(m.Channel) }})
	return func(ctx context.Context, id int) (string, error) { return p.get(ctx, key(id)) },
		func() { p.free(); client.Close() }, nil
}

// get lets the callers of a process share a flight.
func (p *pubSub) get(ctx context.Context, key string) (string, error) {
	p.mu.Lock()
	f, joined := p.flights[key]
	if !joined {
		f = &pubSubFlight{done: make(chan struct{})}
		p.flights[key] = f
	}
	p.mu.Unlock()
	if joined {
		select {
		case <-f.done:
			return f.value, f.err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	f.value, f.err = p.fly(ctx, key)
	p.mu.Lock()
	delete(p.flights, key)
	p.mu.Unlock()
	close(f.done)
	return f.value, f.err
}

func (p *pubSub) fly(ctx context.Context, key string) (string, error) {
	b := p.client.B
	for {
		value, err := p.client.Do(ctx, b().Get().Key(key).Build()).ToString()
		if !rueidis.IsRedisNil(err) {
			return value, err
		}
		token := rand.Text()
		err = p.client.Do(ctx, b().Set().Key(key+":lock").Value(token).Nx().Px(pubSubLock).Build()).Error()
		if err == nil {
			return p.fill(ctx, key, token)
		}
		if !rueidis.IsRedisNil(err) {
			return "", err
		}
		value, err = p.wait(ctx, key)
		if err != nil || value != "" {
			return value, err
		}
	}
}

// unlock deletes a lock that is still one's own.
const unlock = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

func (p *pubSub) fill(ctx context.Context, key, token string) (string, error) {
	value, err := p.load(ctx)
	b := p.client.B
	done := []rueidis.Completed{
		b().Publish().Channel(key + ":done").Message("").Build(),
		b().Eval().Script(unlock).Numkeys(1).Key(key + ":lock").Arg(token).Build(),
	}
	if err == nil {
		done = append([]rueidis.Completed{b().Set().Key(key).Value(value).Ex(p.ttl).Build()}, done...)
	}
	for _, r := range p.client.DoMulti(ctx, done...) {
		if err == nil {
			err = r.Error()
		}
	}
	return value, err
}

// wait subscribes, looks once more in case the message has gone by, and looks when it comes. Nobody waits for the
// subscription's end. No value: begin again.
func (p *pubSub) wait(ctx context.Context, key string) (string, error) {
	channel := key + ":done"
	woken := make(chan struct{}, 1)
	p.mu.Lock()
	p.waiting[channel] = woken
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, channel)
		p.mu.Unlock()
		go p.conn.Do(context.WithoutCancel(ctx), p.client.B().Unsubscribe().Channel(channel).Build())
	}()
	look := func() (string, error) {
		value, err := p.client.Do(ctx, p.client.B().Get().Key(key).Build()).ToString()
		if rueidis.IsRedisNil(err) {
			return "", nil
		}
		return value, err
	}
	if err := p.conn.Do(ctx, p.client.B().Subscribe().Channel(channel).Build()).Error(); err != nil {
		return "", err
	}
	if value, err := look(); value != "" || err != nil {
		return value, err
	}
	lost := time.NewTimer(pubSubLock)
	defer lost.Stop()
	select {
	case <-woken:
	case <-lost.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return look()
}

func (p *pubSub) wake(channel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if woken := p.waiting[channel]; woken != nil {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

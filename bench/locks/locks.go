// Package locks is the contestants of a lock that one of many has.
package locks

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	redsyncpool "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/lock"
	"github.com/redstart-go/redstart/redstarttest"
)

// Contestants that are named in what is said about the figures.
const (
	Recipe = "SET NX, script"
	Bare   = "BLPOP, LPUSH"
	Ours   = "redstart"
)

// ttl of a lock, where it has to be told.
const ttl = 10 * time.Second

// poll is how often those look who wait and are told of nothing: as often as a lock changes hands some four times.
const poll = 5 * time.Millisecond

// hand is the list in which the bare hand-over has its one token.
const hand = "hand"

type (
	// Hold waits for a lock, calls held and gives the lock back.
	Hold func(ctx context.Context, id int, held func()) error
	// Place is where a contestant asks.
	Place struct {
		Server  *redstarttest.Server
		Bare    func(*redstarttest.Server) (rueidis.Client, error) // with the options that Redstart gives it
		Callers int                                                // at once, of one client
	}
	// Contestant is a kind of lock.
	Contestant struct {
		Name, About string
		// Within are the commands, as the server names them, that its scripts call and its client never sends.
		Within string
		// Join makes one client, as a process would.
		Join func(ctx context.Context, p Place) (hold Hold, closing func(), err error)
	}
)

// Sent counts the commands that clients sent, of those that the server counts.
func (c Contestant) Sent(counts map[string]int) int {
	n := 0
	within := " " + c.Within + " "
	for name, calls := range counts {
		if !strings.Contains(within, " "+name+" ") {
			n += calls
		}
	}
	return n
}

// Free are those of locks that nobody else wants; the first is the control.
func Free() []Contestant {
	return append([]Contestant{
		{Name: Recipe, Join: joinRecipe, About: "SET NX PX, and a script that deletes what has one's own mark, over rueidis with the options that Redstart gives it; no fencing, no renewal, no waiting: the control"},
	}, common()...)
}

// Contended are those of a lock that many want; the first is the control.
func Contended() []Contestant {
	all := append([]Contestant{
		{Name: Bare, Join: joinHand, About: "one token handed over, over rueidis with the options that Redstart gives it; who dies with it blocks all: the control"},
	}, common()...)
	return append(all, Contestant{Name: "redsync, 5 ms", Within: "get del", Join: joinRedsync(redsync.WithRetryDelay(poll)), About: "looks again after 5 ms"})
}

func common() []Contestant {
	return []Contestant{
		{
			Name: Ours, Join: joinRedstart, About: "fencing included; the lease is renewed",
			Within: "time get set setrange del exists pexpire publish hget hset hdel zadd zcard zrange zrangebyscore zrank zrem zscore",
		},
		{Name: "redislock", Within: "set getrange get del", Join: joinRedislock, About: "looks again after 5 ms, else it would not wait; no renewal"},
		{Name: "redsync", Within: "get del", Join: joinRedsync(), About: "one server, its own delays (50 to 250 ms), any number of tries; no renewal"},
		{Name: "rueidislock", Within: "set get del pexpireat", Join: joinRueidislock, About: "KeyMajority 1, NoLoopTracking, TryNextAfter 1 s; who waits for a second asks again, since some waits were seen not to end"},
	}
}

// Prepare puts the bare hand-over's token into the server.
func Prepare(ctx context.Context, server *redstarttest.Server) error {
	_, err := server.Do(ctx, "LPUSH", hand, "1")
	return err
}

var errOthers = errors.New("a lock that nobody wants is held, or was lost")

func joinRecipe(_ context.Context, p Place) (Hold, func(), error) {
	client, err := p.Bare(p.Server)
	if err != nil {
		return nil, nil, err
	}
	drop := rueidis.NewLuaScript("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
	return func(ctx context.Context, id int, held func()) error {
		key := key(id)
		if err := client.Do(ctx, client.B().Set().Key(key).Value("a mark of 16 byte").Nx().Px(ttl).Build()).Error(); err != nil {
			return err
		}
		held()
		n, err := drop.Exec(ctx, client, []string{key}, []string{"a mark of 16 byte"}).AsInt64()
		if err == nil && n != 1 {
			err = errOthers
		}
		return err
	}, client.Close, nil
}

func joinHand(_ context.Context, p Place) (Hold, func(), error) {
	client, err := p.Bare(p.Server)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, _ int, held func()) error {
		if err := client.Do(ctx, client.B().Blpop().Key(hand).Timeout(0).Build()).Error(); err != nil {
			return err
		}
		held()
		return client.Do(ctx, client.B().Lpush().Key(hand).Element("1").Build()).Error()
	}, client.Close, nil
}

func joinRedstart(ctx context.Context, p Place) (Hold, func(), error) {
	client, err := redstart.Open(ctx, p.Server.URL(), redstart.Config{})
	if err != nil {
		return nil, nil, err
	}
	locks, err := lock.New(client, lock.Config{})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return func(ctx context.Context, id int, held func()) error {
		lease, err := locks.Acquire(ctx, strconv.Itoa(id))
		if err != nil {
			return err
		}
		held()
		return lease.Release(ctx)
	}, client.Close, nil
}

// goRedis is a client with a connection for every caller.
func goRedis(p Place) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: p.Server.Addr(), PoolSize: p.Callers})
}

func joinRedislock(_ context.Context, p Place) (Hold, func(), error) {
	client := goRedis(p)
	locks := redislock.New(client)
	options := &redislock.Options{RetryStrategy: redislock.LinearBackoff(poll)}
	return func(ctx context.Context, id int, held func()) error {
		l, err := locks.Obtain(ctx, "redislock:"+strconv.Itoa(id), ttl, options)
		if err != nil {
			return err
		}
		held()
		return l.Release(ctx)
	}, func() { _ = client.Close() }, nil
}

func joinRedsync(more ...redsync.Option) func(context.Context, Place) (Hold, func(), error) {
	options := append([]redsync.Option{redsync.WithTries(1_000_000)}, more...)
	prefix := "redsync:" + strconv.Itoa(len(more)) + ":"
	return func(_ context.Context, p Place) (Hold, func(), error) {
		client := goRedis(p)
		locks := redsync.New(redsyncpool.NewPool(client))
		return func(ctx context.Context, id int, held func()) error {
			m := locks.NewMutex(prefix+strconv.Itoa(id), options...)
			if err := m.LockContext(ctx); err != nil {
				return cmp.Or(context.Cause(ctx), err) // it calls the end of ctx a failure
			}
			held()
			ok, err := m.UnlockContext(ctx)
			if err == nil && !ok {
				err = errOthers
			}
			return err
		}, func() { _ = client.Close() }, nil
	}
}

func joinRueidislock(_ context.Context, p Place) (Hold, func(), error) {
	locks, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{p.Server.Addr()}},
		KeyMajority:  1, NoLoopTracking: true, TryNextAfter: time.Second,
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, id int, held func()) error {
		for {
			patience, end := context.WithTimeout(ctx, time.Second)
			_, release, err := locks.WithContext(patience, strconv.Itoa(id))
			if err == nil {
				held()
				release()
			}
			end()
			if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
		}
	}, locks.Close, nil
}

// key builds a key as a program without Redstart does.
func key(id int) string { return "recipe:" + strconv.Itoa(id) }

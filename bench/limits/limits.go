// Package limits is the contestants of a decision about a rate, over the clients that are given to it.
package limits

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/throttled/throttled/v2"
	throttledstore "github.com/throttled/throttled/v2/store/goredisstore.v9"
	ulule "github.com/ulule/limiter/v3"
	ululestore "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/limit"
)

// Contestants that are named in what is said about the figures.
const (
	Bare     = "rueidis, INCR"
	Ours     = "redstart"
	Batched  = "redstart, batches of 1,000"
	RateOf   = "redis_rate"
	Cached   = "redstart, denied in the process"
	Uncached = "redstart, denied in Redis"
)

// Where everything passes: a unit each µs and so many at once that no run uses them up.
const (
	rate  = 1_000_000
	burst = 1_000_000_000
	batch = 1000
	// attempts that throttled may lose: on one key all but one of its callers do, each time.
	attempts = 1_000_000
)

var (
	errDenied = errors.New("denied, where everything passes")
	errPassed = errors.New("not denied where it ought to be")
)

// Taker takes one unit of an id.
type Taker struct {
	Name, About string
	Take        func(ctx context.Context, id int) error // an error when it is denied
}

// Clients are what the contestants stand on.
type Clients struct {
	Bare      rueidis.Client // with the options that Redstart gives it
	Redstart  *redstart.Client
	GoRedis   *redis.Client // with a connection for every caller
	Pipelined *redis.AutoPipeliner
}

// Takers are those that let everything pass; the first is a bare INCR. With batches there is one more.
func (c Clients) Takers(batches bool) ([]Taker, error) {
	ours, err := c.ours("rate:{<id>}", limit.Config{Limits: []limit.Limit{{Rate: rate, Burst: burst}}})
	if err != nil {
		return nil, err
	}
	quota := throttled.RateQuota{MaxRate: throttled.PerSec(rate), MaxBurst: burst}
	cas, err := c.throttled("throttled:", quota)
	if err != nil {
		return nil, err
	}
	window, err := c.ulule("ulule", ulule.Rate{Period: time.Hour, Limit: burst})
	if err != nil {
		return nil, err
	}
	policy := redis_rate.Limit{Rate: rate, Burst: burst, Period: time.Second}
	takers := []Taker{
		{Name: Bare, About: "counts and limits nothing", Take: c.incr},
		{Name: Ours, About: "GCRA; Config.Timeout is the client's", Take: passes(ours)},
		{Name: RateOf, About: "GCRA, over go-redis with a connection for every caller", Take: passes(rateOf(redis_rate.NewLimiter(c.GoRedis), policy))},
		{Name: RateOf + ", pipelined", About: "over go-redis's AutoPipeliner", Take: passes(rateOf(redis_rate.NewLimiter(c.Pipelined), policy))},
		{Name: "throttled", About: "GCRA by compare-and-swap, over go-redis; as many attempts as it takes", Take: passes(cas)},
		{Name: "ulule/limiter", About: "a fixed window, over go-redis", Take: passes(window)},
	}
	if batches {
		hot, err := c.ours("batch:{<id>}", limit.Config{Limits: []limit.Limit{{Rate: rate, Burst: burst}}, Batch: batch})
		if err != nil {
			return nil, err
		}
		takers = append(takers, Taker{Name: Batched, About: "a process may have as many units more than the limit", Take: passes(hot)})
	}
	return takers, nil
}

// Denied are those that let nothing pass, for one id; the first is a bare INCR.
func (c Clients) Denied(ctx context.Context) ([]cost.Contestant, error) {
	hourly := []limit.Limit{limit.PerHour(1)}
	cached, err := c.ours("denied:{<id>}", limit.Config{Limits: hourly})
	if err != nil {
		return nil, err
	}
	uncached, err := c.ours("asked:{<id>}", limit.Config{Limits: hourly, Denials: -1})
	if err != nil {
		return nil, err
	}
	cas, err := c.throttled("throttled-denied:", throttled.RateQuota{MaxRate: throttled.PerHour(1)})
	if err != nil {
		return nil, err
	}
	window, err := c.ulule("ulule-denied", ulule.Rate{Period: time.Hour, Limit: 1})
	if err != nil {
		return nil, err
	}
	const id = 100_000
	all := []cost.Contestant{{
		Name: Bare, About: "a round trip: the control", Loop: cost.Repeat(func() error { return c.incr(ctx, id) }),
	}}
	for _, t := range []struct {
		name, about string
		decide      decide
	}{
		{Cached, "it remembers until when there is nothing", cached},
		{Uncached, "Denials: -1", uncached},
		{RateOf, "", rateOf(redis_rate.NewLimiter(c.GoRedis), redis_rate.PerHour(1))},
		{"throttled", "", cas},
		{"ulule/limiter", "", window},
	} {
		for range 2 { // take what there is, and be denied
			if _, err := t.decide(ctx, id); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
		}
		all = append(all, cost.Contestant{Name: t.name, About: t.about, Loop: cost.Repeat(func() error {
			allowed, err := t.decide(ctx, id)
			if err == nil && allowed {
				err = errPassed
			}
			return err
		})})
	}
	return all, nil
}

// decide asks for a unit of an id and builds the key as a program would.
type decide func(ctx context.Context, id int) (allowed bool, err error)

func passes(d decide) func(ctx context.Context, id int) error {
	return func(ctx context.Context, id int) error {
		allowed, err := d(ctx, id)
		if err == nil && !allowed {
			err = errDenied
		}
		return err
	}
}

func (c Clients) incr(ctx context.Context, id int) error {
	return c.Bare.Do(ctx, c.Bare.B().Incr().Key("incr:"+strconv.Itoa(id)).Build()).Error()
}

// ours is Redstart's. A decision without the server, for want of it, is an error here.
func (c Clients) ours(key string, cfg limit.Config) (decide, error) {
	cfg.Key, cfg.Timeout = key, c.Redstart.Config().Timeout
	l, err := limit.New(c.Redstart, cfg)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, id int) (bool, error) {
		d, err := l.Take(ctx, strconv.Itoa(id), 1)
		if err == nil {
			err = d.Err
		}
		return d.Allowed, err
	}, nil
}

func rateOf(l *redis_rate.Limiter, policy redis_rate.Limit) decide {
	return func(ctx context.Context, id int) (bool, error) {
		r, err := l.Allow(ctx, strconv.Itoa(id), policy)
		return err == nil && r.Allowed > 0, err
	}
}

func (c Clients) throttled(prefix string, quota throttled.RateQuota) (decide, error) {
	store, err := throttledstore.NewCtx(c.GoRedis, prefix)
	if err != nil {
		return nil, err
	}
	l, err := throttled.NewGCRARateLimiterCtx(store, quota)
	if err != nil {
		return nil, err
	}
	l.SetMaxCASAttemptsLimit(attempts)
	return func(ctx context.Context, id int) (bool, error) {
		limited, _, err := l.RateLimitCtx(ctx, strconv.Itoa(id), 1)
		return !limited, err
	}, nil
}

func (c Clients) ulule(prefix string, r ulule.Rate) (decide, error) {
	store, err := ululestore.NewStoreWithOptions(c.GoRedis, ulule.StoreOptions{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	l := ulule.New(store, r)
	return func(ctx context.Context, id int) (bool, error) {
		state, err := l.Get(ctx, strconv.Itoa(id))
		return !state.Reached, err
	}, nil
}

package shard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Client is a rueidis.Client over several independent servers. Give it to
// redstart.Wrap, and every pattern works on it. All goroutines share it.
type Client struct {
	layout  Layout
	nodes   []*node // in the order of layout.members
	builder rueidis.Builder
	life    *life
	hasty   bool // see FailFast
}

var _ rueidis.Client = (*Client)(nil)

const clusterMode = rueidis.ClientModeCluster

// Open connects to the shards, all at once. A shard that is away does not
// prevent it, as long as one answers: its keys fail with redstart.ErrUnavailable
// until it is there. A wrong URL or password does.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	cfg, layout, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := canMerge(); err != nil {
		return nil, err
	}
	c := &Client{layout: layout, nodes: make([]*node, len(cfg.Shards)), life: newLife()}
	for i, m := range layout.members {
		for _, s := range cfg.Shards {
			if s.Name == m.Name {
				c.nodes[i] = &node{name: s.Name, url: s.URL, cfg: cfg.Redstart, pause: cfg.ReopenPause, owned: s.Client == nil}
				if s.Client != nil {
					c.nodes[i].set(s.Client)
				}
			}
		}
	}
	if err := c.connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect reaches for every shard and takes the builder of one: it is the same
// for all single servers, and lets the keys of a command lie in several slots.
func (c *Client) connect(ctx context.Context) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() { _, errs[i] = n.reach(ctx, c.life, c.hasty) })
	}
	wg.Wait()
	reached := false
	for i, n := range c.nodes {
		if errs[i] != nil && !redstart.Away(errs[i]) {
			return errors.Join(errs...)
		}
		if up := n.client.Load(); up != nil && !reached {
			reached, c.builder = true, up.B()
		}
	}
	if !reached {
		return errors.Join(errs...)
	}
	return nil
}

// FailFast gives the same client with another answer to an outage: calls to a
// shard that is known to be away fail at once, where those of c wait for its
// return until their deadline (redstart.Config.Timeout without one) and hold up
// the batch they are in. Wrap this one for caches.
func (c *Client) FailFast() *Client {
	fast := *c
	fast.hasty = true
	return &fast
}

// Layout says who owns which slot.
func (c *Client) Layout() Layout { return c.layout }

// Shard is the name of the shard that owns a key.
func (c *Client) Shard(k string) string { return c.nodes[c.ownerOf(k)].name }

func (c *Client) ownerOf(k string) int { return int(c.layout.owner[key.Slot(k)]) }

// Shards gives the client of each shard by its name, as [CopyConfig] takes it.
// It fails when one cannot be reached.
func (c *Client) Shards(ctx context.Context) (map[string]*redstart.Client, error) {
	shards := make(map[string]*redstart.Client, len(c.nodes))
	for _, n := range c.nodes {
		up, err := n.reach(ctx, c.life, c.hasty)
		if err != nil {
			return nil, err
		}
		shards[n.name] = up
	}
	return shards, nil
}

// B starts a command. The builder knows nothing of shards: what a command's keys
// are, a table of commands says when it is sent.
func (c *Client) B() rueidis.Builder { return c.builder }

// Mode is that of a cluster, which is how code for one server must treat several.
func (c *Client) Mode() rueidis.ClientMode { return clusterMode }

// Nodes gives the client of each shard by its name, for what is about one
// server: SCAN, INFO, FLUSHALL. A shard that has not been reached yet is absent.
func (c *Client) Nodes() map[string]rueidis.Client {
	nodes := make(map[string]rueidis.Client, len(c.nodes))
	for _, n := range c.nodes {
		if up := n.client.Load(); up != nil {
			nodes[n.name] = up
		}
	}
	return nodes
}

// Close closes the connections to the shards that were given by a URL, what
// blocks included. It may be called more than once.
func (c *Client) Close() {
	if !c.life.end() {
		return
	}
	for _, n := range c.nodes {
		n.close()
	}
}

// Do sends a command to the shard of its keys. A read of many keys (MGET,
// EXISTS, TOUCH) is sent to their shards at once and its answers merged in
// order; it fails when one of them does. Any other command whose keys lie in
// several slots is refused before anything is sent, with the shards in the text:
// whether they happen to share a shard would change with the next one added.
// What a command without keys does, the package's doc says.
func (c *Client) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	r := c.route(cmd.Commands())
	if r.err != nil {
		return rueidis.NewErrorResult(r.err)
	}
	if r.to >= 0 {
		return c.send(ctx, r.to, cmd)
	}
	return c.doMulti(ctx, []rueidis.Completed{cmd}, []route{r})[0]
}

// send sends a command to one shard.
func (c *Client) send(ctx context.Context, to int, cmd rueidis.Completed) rueidis.RedisResult {
	up, err := c.nodes[to].reach(ctx, c.life, c.hasty)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return c.nodes[to].named(up.Do(ctx, cmd))
}

// named puts the shard's name into the error of a connection. A reply stays as
// it is.
func (n *node) named(r rueidis.RedisResult) rueidis.RedisResult {
	if err := n.namedError(r.NonRedisError()); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return r
}

func (n *node) namedError(err error) error {
	var reply *rueidis.RedisError
	if err == nil || errors.As(err, &reply) {
		return err
	}
	return redstart.NewError(op, n.name, "", err)
}

// DoMulti sends commands together: those of one shard in one pipeline and in
// their order, the shards at once. A refused or failed command fails no other;
// the results come when the last shard has answered or given up.
// A transaction (MULTI to EXEC) is sent whole to the shard of its keys, which
// must be in one slot; WAIT and WAITAOF go where the command before them went.
func (c *Client) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	if len(multi) == 0 {
		return nil
	}
	routes := c.routes(multi)
	if to := sole(routes); to >= 0 {
		return c.sendMulti(ctx, to, multi)
	}
	return c.doMulti(ctx, multi, routes)
}

func (c *Client) sendMulti(ctx context.Context, to int, multi []rueidis.Completed) []rueidis.RedisResult {
	up, err := c.nodes[to].reach(ctx, c.life, c.hasty)
	if err != nil {
		return failAll(len(multi), err)
	}
	results := up.DoMulti(ctx, multi...)
	for i := range results {
		results[i] = c.nodes[to].named(results[i])
	}
	return results
}

// DoCache is Do where the shard's client keeps no cache of its own, as one made
// by redstart.Open; MGET is split as by Do.
func (c *Client) DoCache(ctx context.Context, cmd rueidis.Cacheable, ttl time.Duration) rueidis.RedisResult {
	words := cmd.Commands()
	r := c.route(words)
	if r.err != nil {
		return rueidis.NewErrorResult(r.err)
	}
	if r.to < 0 {
		return c.doCacheSplit(ctx, words, r, ttl)
	}
	up, err := c.nodes[r.to].reach(ctx, c.life, c.hasty)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return c.nodes[r.to].named(up.DoCache(ctx, cmd, ttl))
}

// doCacheSplit is DoCache of an MGET whose keys lie on several shards.
func (c *Client) doCacheSplit(ctx context.Context, words []string, r route, ttl time.Duration) rueidis.RedisResult {
	parts := c.split(words, r.spec)
	results := make([]rueidis.RedisResult, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			sub := c.builder.Mget().Key(p.keys...).Cache()
			if r.spec.name == "JSON.MGET" {
				sub = c.builder.JsonMget().Key(p.keys...).Path(words[len(words)-1]).Cache()
			}
			results[i] = c.DoCache(ctx, sub, ttl)
		})
	}
	wg.Wait()
	return r.spec.merged(parts, results)
}

// DoMultiCache is DoMulti for cacheable commands; see DoCache.
func (c *Client) DoMultiCache(ctx context.Context, multi ...rueidis.CacheableTTL) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, len(multi))
	lanes := make([][]rueidis.CacheableTTL, len(c.nodes))
	at := make([][]int, len(c.nodes))
	for i, m := range multi {
		switch r := c.route(m.Cmd.Commands()); {
		case r.err != nil:
			results[i] = rueidis.NewErrorResult(r.err)
		case r.to < 0:
			results[i] = c.doCacheSplit(ctx, m.Cmd.Commands(), r, m.TTL)
		default:
			lanes[r.to], at[r.to] = append(lanes[r.to], m), append(at[r.to], i)
		}
	}
	var wg sync.WaitGroup
	for to, lane := range lanes {
		if len(lane) == 0 {
			continue
		}
		wg.Go(func() {
			up, err := c.nodes[to].reach(ctx, c.life, c.hasty)
			if err != nil {
				for _, i := range at[to] {
					results[i] = rueidis.NewErrorResult(err)
				}
				return
			}
			for j, r := range up.DoMultiCache(ctx, lane...) {
				results[at[to][j]] = c.nodes[to].named(r)
			}
		})
	}
	wg.Wait()
	return results
}

// DoStream sends a command to the shard of its keys and copies the reply to a
// writer. One that would be split is refused.
func (c *Client) DoStream(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResultStream {
	return c.DoMultiStream(ctx, cmd)
}

// DoMultiStream is DoStream for several commands, whose keys must be in one slot.
func (c *Client) DoMultiStream(ctx context.Context, multi ...rueidis.Completed) rueidis.MultiRedisResultStream {
	to, _, err := c.together(multi, noSlot)
	if err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	up, err := c.nodes[to].reach(ctx, c.life, c.hasty)
	if err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	return up.DoMultiStream(ctx, multi...)
}

// Receive runs fn for each message of a subscription until ctx ends. PUBLISH and
// SUBSCRIBE go to the shard of the channel's slot, so the channels of one call
// must be of one slot; a pattern is refused.
func (c *Client) Receive(ctx context.Context, subscribe rueidis.Completed, fn func(rueidis.PubSubMessage)) error {
	to, _, err := c.together([]rueidis.Completed{subscribe}, noSlot)
	if err != nil {
		return err
	}
	up, err := c.nodes[to].reach(ctx, c.life, c.hasty)
	if err != nil {
		return err
	}
	return c.nodes[to].namedError(up.Receive(ctx, subscribe, fn))
}

func failAll(n int, err error) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, n)
	for i := range results {
		results[i] = rueidis.NewErrorResult(err)
	}
	return results
}

package redstart

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/command"
	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/guard"
	"github.com/redstart-go/redstart/internal/replicas"
	"github.com/redstart-go/redstart/resilience"
)

// Client is a rueidis.Client that keeps Redstart's promises about what happens
// between a call and the server: every wait has a deadline, scripts are always
// known to the server, a failed call says whether it took effect
// ([OutcomeOf]). All goroutines share it; commands of all travel in the same
// pipelines. Make it with [Open] or [Wrap] and end it with Close.
type Client struct {
	inner rueidis.Client
	core  *core
	hasty bool // see FailFast
	from  ReadFrom
}

var _ rueidis.Client = (*Client)(nil)

// core is what belongs to a client whatever it wraps.
type core struct {
	cfg   Config
	owned bool // inner is ours to close

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	mu         sync.Mutex // guards the start of background work against Close, and attached
	background sync.WaitGroup
	attached   map[any]any

	scripts scripts
	server  serverMemo

	dialer *conn.Dialer                        // nil for a wrapped client
	conns  conn.Set                            // those that are open; none of a wrapped client
	away   atomic.Pointer[map[concern]*outage] // the nodes that are away; nil for none
	slots  atomic.Pointer[slotTable]           // of a cluster; nil while not known
	asking atomic.Bool                         // for the slots, in the background
	poke   chan struct{}                       // brings the next probe forward
	budget *resilience.Budget                  // of what may run twice
	closed atomic.Bool

	replicas atomic.Pointer[replicas.Set] // nil until someone reads from them

	lent    atomic.Int64  // connections of their own that callers have, or wait for
	waiting atomic.Int64  // callers who wait for a server's return
	retries atomic.Uint64 // commands sent again
}

func newClient(inner rueidis.Client, cfg Config, owned bool) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	budget, err := resilience.NewBudget(resilience.BudgetConfig{})
	if err != nil {
		panic(err) // the zero configuration is valid
	}
	return &Client{inner: inner, from: cfg.ReadFrom, core: &core{cfg: cfg, owned: owned, ctx: ctx, cancel: cancel, attached: map[any]any{}, budget: budget, poke: make(chan struct{}, 1)}}
}

// FailFast gives the same client with another answer to an outage: while the
// server is known to be away its calls fail at once with ErrUnavailable, where
// c waits for the server's return until the caller's deadline (Config.Timeout
// without one). A cache, which can do without the server, fails fast; a queue
// waits.
func (c *Client) FailFast() *Client {
	return &Client{inner: c.inner, core: c.core, hasty: true, from: c.from}
}

// Config is the client's configuration with its defaults filled in, without
// the credentials.
func (c *Client) Config() Config {
	cfg := c.core.cfg
	cfg.Username, cfg.Password, cfg.Credentials = "", "", nil
	return cfg
}

// B starts a command: c.Do(ctx, c.B().Get().Key("k").Build()).
func (c *Client) B() rueidis.Builder { return c.inner.B() }

// Do sends one command. A context that has ended already sends nothing. What
// is known of the effect of a failed call, OutcomeOf says.
func (c *Client) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if err := c.core.admit(ctx, &cmd); err != nil {
		return rueidis.NewErrorResult(err)
	}
	if command.RunsCode(&cmd) {
		if l := c.core.scriptOf(&cmd); l != nil {
			return c.runScript(ctx, cmd, l)
		}
		return c.doScript(ctx, cmd)
	}
	return c.do(ctx, cmd)
}

// do brings a command to the server: it waits while that is known to be away,
// and sends again what surely did not run, or does no harm by running twice.
func (c *Client) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	k := command.Keep(&cmd)
	r := c.doKept(ctx, cmd, k)
	k.Drop()
	return r
}

// doKept is do for a command of which k is a copy.
func (c *Client) doKept(ctx context.Context, cmd rueidis.Completed, k *command.Kept) rueidis.RedisResult {
	if !k.ReadOnly {
		defer wrote(ctx)
	}
	if !c.core.owned { // what its errors mean is not known
		return c.inner.Do(ctx, cmd)
	}
	if c.replicable(&cmd) {
		r, done := c.fromReplica(ctx, &cmd, k)
		if done {
			return r
		}
	}
	if o := c.core.outageOf(&cmd); o != nil && !c.ready(ctx, o, k.Slot, k.ReadOnly) {
		return rueidis.NewErrorResult(&outageError{o.cause})
	}
	if cmd.IsBlock() {
		c.core.lent.Add(1)
		defer c.core.lent.Add(-1)
	}
	c.core.budget.Call()
	r := c.inner.Do(ctx, cmd)
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		r = c.mend(ctx, k, c.sent(ctx, cmd, r))
	}
	return r
}

// send sends a command once.
func (c *Client) send(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return c.sent(ctx, cmd, c.inner.Do(ctx, cmd))
}

// sent is the result of a command that was sent once. If all that failed was a
// connection attempt cut short by another caller's context, nothing was, and it
// is sent now.
func (c *Client) sent(ctx context.Context, cmd rueidis.Completed, r rueidis.RedisResult) rueidis.RedisResult {
	for range neighbourTries {
		if !neighbours(ctx, r.NonRedisError()) {
			return r
		}
		r = c.inner.Do(ctx, cmd)
	}
	if neighbours(ctx, r.NonRedisError()) {
		return rueidis.NewErrorResult(noHandshake(r.NonRedisError()))
	}
	return r
}

// neighbourTries bounds the attempts after others' cancelled dials; a silent
// server costs a dial deadline each.
const neighbourTries = 3

// neighbours reports whether err is the end of another caller's context.
func neighbours(ctx context.Context, err error) bool {
	if err == nil || err != context.Canceled && err != context.DeadlineExceeded || ctx.Err() != nil { //nolint:errorlint // rueidis gives the bare value
		return false
	}
	end, ok := ctx.Deadline()
	return !ok || time.Now().Before(end)
}

// DoMulti sends commands together and gives their results in order. One that
// runs a registered script the server has forgotten, or was refused for a moment
// (LOADING, a slot on its way), is sent again after the others, so that commands
// of one batch on one key may change places: what must keep its order belongs in
// a transaction, or in package batch. In a transaction (MULTI … EXEC) scripts travel whole.
func (c *Client) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	scripts := false
	for i := range multi {
		if err := c.core.admit(ctx, &multi[i]); err != nil {
			return guard.FailAll(len(multi), err)
		}
		scripts = scripts || command.RunsCode(&multi[i])
	}
	if scripts {
		return c.runScripts(ctx, multi)
	}
	return c.doMulti(ctx, multi)
}

// doMulti is do for a batch: what is sent again are the items that failed so,
// in their order, after the others. A transaction is sent again whole or not at
// all.
func (c *Client) doMulti(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	reads, replicable, blocks := true, true, false
	for i := range multi {
		reads = reads && multi[i].IsReadOnly()
		replicable = replicable && c.replicable(&multi[i])
		blocks = blocks || multi[i].IsBlock()
	}
	if !reads {
		defer wrote(ctx)
	}
	if !c.core.owned {
		return c.inner.DoMulti(ctx, multi...)
	}
	if replicable && len(multi) > 0 {
		return c.multiFromReplicas(ctx, multi)
	}
	copies := command.KeepAll(multi)
	defer copies.Drop()
	transaction := false
	for i := range multi {
		transaction = transaction || strings.EqualFold(multi[i].Commands()[0], "MULTI")
	}
	if held := c.held(ctx, multi); held != nil {
		return c.doOthers(ctx, multi, held, transaction)
	}
	if blocks {
		c.core.lent.Add(1)
		defer c.core.lent.Add(-1)
	}
	c.core.budget.Call()
	results := c.sendMulti(ctx, multi)
	return c.mendMulti(ctx, copies.Each, results, transaction)
}

// sendMulti is send for a batch.
func (c *Client) sendMulti(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	results := c.inner.DoMulti(ctx, multi...)
	for range neighbourTries {
		var again []rueidis.Completed
		var at []int
		for i := range results {
			if neighbours(ctx, results[i].NonRedisError()) {
				again, at = append(again, multi[i]), append(at, i)
			}
		}
		if len(again) == 0 {
			return results
		}
		for j, r := range c.inner.DoMulti(ctx, again...) {
			results[at[j]] = r
		}
	}
	for i := range results {
		if err := results[i].NonRedisError(); neighbours(ctx, err) {
			results[i] = rueidis.NewErrorResult(noHandshake(err))
		}
	}
	return results
}

// noHandshake says of a command that it never found a connection.
func noHandshake(err error) error {
	return &Error{Op: "redstart: do", Outcome: NotApplied, Err: &handshakeError{err}}
}

// DoCache is Do on a client made by Open: it keeps no cache of its own, since a
// value from one could be older than an invalidation that has returned.
func (c *Client) DoCache(ctx context.Context, cmd rueidis.Cacheable, ttl time.Duration) rueidis.RedisResult {
	if c.core.owned {
		return c.Do(ctx, rueidis.Completed(cmd))
	}
	return c.inner.DoCache(ctx, cmd, ttl)
}

// DoMultiCache is DoMulti for cacheable commands; see DoCache.
func (c *Client) DoMultiCache(ctx context.Context, multi ...rueidis.CacheableTTL) []rueidis.RedisResult {
	if !c.core.owned {
		return c.inner.DoMultiCache(ctx, multi...)
	}
	plain := make([]rueidis.Completed, len(multi))
	for i := range multi {
		plain[i] = rueidis.Completed(multi[i].Cmd)
	}
	return c.DoMulti(ctx, plain...)
}

// DoStream sends one command whose reply is copied to a writer.
func (c *Client) DoStream(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResultStream {
	if err := c.core.admit(ctx, &cmd); err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	if !cmd.IsReadOnly() {
		streamed(ctx)
	}
	return c.inner.DoStream(ctx, cmd)
}

// DoMultiStream is DoStream for several commands.
func (c *Client) DoMultiStream(ctx context.Context, multi ...rueidis.Completed) rueidis.MultiRedisResultStream {
	for i := range multi {
		if err := c.core.admit(ctx, &multi[i]); err != nil {
			return rueidis.NewErrorResultStream(err)
		}
		if !multi[i].IsReadOnly() {
			streamed(ctx)
		}
	}
	return c.inner.DoMultiStream(ctx, multi...)
}

// Receive runs fn for each message of a subscription until ctx ends.
func (c *Client) Receive(ctx context.Context, subscribe rueidis.Completed, fn func(rueidis.PubSubMessage)) error {
	return c.inner.Receive(ctx, subscribe, fn)
}

// Dedicated lends fn a connection of its own, for WATCH and its kind. Errors
// on it come raw (NOSCRIPT, MOVED); SELECT is refused there as well.
func (c *Client) Dedicated(fn func(rueidis.DedicatedClient) error) error {
	c.core.lent.Add(1)
	defer c.core.lent.Add(-1)
	return c.inner.Dedicated(func(d rueidis.DedicatedClient) error { return fn(guard.Dedicated(d, watch)) })
}

// Dedicate is Dedicated without the function: call cancel to give it back.
func (c *Client) Dedicate() (client rueidis.DedicatedClient, cancel func()) {
	c.core.lent.Add(1)
	d, giveBack := c.inner.Dedicate()
	var once sync.Once
	return guard.Dedicated(d, watch), func() {
		giveBack()
		once.Do(func() { c.core.lent.Add(-1) })
	}
}

// Nodes gives a client for each node. Errors on them come raw.
func (c *Client) Nodes() map[string]rueidis.Client {
	nodes := c.inner.Nodes()
	for addr, n := range nodes {
		nodes[addr] = guard.Node(n, watch)
	}
	return nodes
}

// Mode says whether the client follows one server, Sentinel or a cluster.
func (c *Client) Mode() rueidis.ClientMode { return c.inner.Mode() }

// Close ends the client: work in the background is told to stop and awaited,
// then the connections are closed, blocking commands and Dedicated included. A
// wrapped client stays open: it is its maker's. Close may be called more than
// once.
func (c *Client) Close() {
	c.core.mu.Lock()
	c.core.cancel()
	c.core.mu.Unlock()
	c.core.background.Wait()
	if c.core.closed.Swap(true) || !c.core.owned {
		return
	}
	c.inner.Close()
	c.core.conns.Close()
}

// admit refuses a command before anything is sent: when the client is closed or
// the caller's context has ended, and what would change a shared connection
// for every other caller.
func (c *core) admit(ctx context.Context, cmd *rueidis.Completed) error {
	if err := c.open(ctx, "redstart: do", ""); err != nil {
		return err
	}
	return refused(cmd)
}

// open refuses a call to a client that is closed, or of a caller whose context
// has ended.
func (c *core) open(ctx context.Context, op, template string) error {
	err := ctx.Err()
	if c.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		return &Error{Op: op, Template: template, Outcome: NotApplied, Err: err}
	}
	return nil
}

// watch is for what goes around the client.
var watch = guard.Watch{Refuse: refused, Wrote: wrote, Streamed: streamed}

// refused gives ErrRefused for a command that changes its connection: which
// database, user or protocol it has, or whether it answers at all.
func refused(cmd *rueidis.Completed) error {
	if c := guard.Match(cmd); c != nil {
		return &Error{Op: "redstart: do", Template: c.Name(), Outcome: NotApplied, Err: &refusedError{c.Why}}
	}
	return nil
}

type refusedError struct{ why string }

func (e *refusedError) Error() string        { return "refused: " + e.why }
func (e *refusedError) Is(target error) bool { return target == ErrRefused }

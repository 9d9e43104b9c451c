package batch

import (
	"context"
	"iter"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// Result is what became of one item of the input.
type Result struct {
	// Index is the item's position in the input, from 0. Results come in that
	// order.
	Index int
	// Key is the item's key.
	Key string
	// Value is what a key holds (Get).
	Value string
	// Found: the key held a value (Get), or there was something to delete
	// (Del; not certain of an item that was sent again).
	Found bool
	// Reply is the server's (Do, Atomic). A nil reply is one, and no error.
	Reply rueidis.RedisMessage
	// Err is nil, or a *redstart.Error whose Outcome says whether the item took
	// effect (redstart.OutcomeOf). Its text never holds the key.
	Err error
}

// Get reads every key. A key that is not there is no error: Found is false.
//
// Cost: one GET an item, one round trip a batch. An item is read again when
// its reply was lost or the server was away, for Config.Wait.
func Get(ctx context.Context, c *redstart.Client, keys iter.Seq[string], cfg Config) iter.Seq[Result] {
	input := func(yield func(Command) bool) {
		for key := range keys {
			if !yield(Command{Words: []string{"GET", key}, Key: key, Idempotent: true}) {
				return
			}
		}
	}
	return run{ctx: ctx, client: c, op: "redstart/batch: get", cfg: cfg, input: input, reads: true, take: func(r *Result, m rueidis.RedisMessage) error {
		if m.IsNil() {
			return nil
		}
		var err error
		r.Value, err = m.ToString()
		r.Found = err == nil
		return err
	}}.results()
}

// Set writes every entry, whatever its key held.
//
// Cost: one SET an item, one round trip a batch. An item whose reply was lost
// is written again: its TTL then counts from the last time, and it may replace
// what another client wrote in between. For SET with a condition, which must
// not be repeated so, use Do.
func Set(ctx context.Context, c *redstart.Client, entries iter.Seq[Entry], cfg Config) iter.Seq[Result] {
	input := func(yield func(Command) bool) {
		for e := range entries {
			cmd := Command{Words: []string{"SET", e.Key, e.Value}, Key: e.Key, Idempotent: true}
			if e.TTL != 0 {
				cmd.Words = append(cmd.Words, "PX", strconv.FormatInt(int64(e.TTL/time.Millisecond), 10))
				if e.TTL < time.Millisecond {
					cmd.Words[0] = badTTL
				}
			}
			if !yield(cmd) {
				return
			}
		}
	}
	return run{ctx: ctx, client: c, op: "redstart/batch: set", cfg: cfg, input: input, take: ignore}.results()
}

// badTTL stands for the name of a SET that is not to be sent.
const badTTL = "\x00ttl"

// Del deletes every key. Found says whether there was something.
//
// Cost: one DEL an item, one round trip a batch. An item whose reply was lost
// is deleted again.
func Del(ctx context.Context, c *redstart.Client, keys iter.Seq[string], cfg Config) iter.Seq[Result] {
	input := func(yield func(Command) bool) {
		for key := range keys {
			if !yield(Command{Words: []string{"DEL", key}, Key: key, Idempotent: true}) {
				return
			}
		}
	}
	return run{ctx: ctx, client: c, op: "redstart/batch: del", cfg: cfg, input: input, take: func(r *Result, m rueidis.RedisMessage) error {
		n, err := m.ToInt64()
		r.Found = n > 0
		return err
	}}.results()
}

// Do sends any commands, scripts among them (see Eval). What would hold up or
// change a shared connection (BLPOP, SELECT, SUBSCRIBE, MULTI) is refused, item
// by item. A command that is not Idempotent is repeated only when it surely did
// not run.
//
// Cost: one round trip a batch.
func Do(ctx context.Context, c *redstart.Client, commands iter.Seq[Command], cfg Config) iter.Seq[Result] {
	return run{ctx: ctx, client: c, op: "redstart/batch: do", cfg: cfg, input: commands, take: keep}.results()
}

func keep(r *Result, m rueidis.RedisMessage) error {
	r.Reply = m
	return nil
}

func ignore(*Result, rueidis.RedisMessage) error { return nil }

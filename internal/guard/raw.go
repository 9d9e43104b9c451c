package guard

import (
	"context"

	"github.com/redis/rueidis"
)

// Refuse says why a command is not sent; nil where it is.
type Refuse func(cmd *rueidis.Completed) error

// Node is a node's client that refuses some commands.
func Node(client rueidis.Client, refuse Refuse) rueidis.Client { return node{client, refuse} }

// Dedicated is a lent connection that refuses some commands; done is told of
// each call that has ended, unless it is nil.
func Dedicated(client rueidis.DedicatedClient, refuse Refuse, done func(context.Context)) rueidis.DedicatedClient {
	return dedicated{client, refuse, done}
}

type (
	node struct {
		rueidis.Client
		refuse Refuse
	}
	dedicated struct {
		rueidis.DedicatedClient
		refuse Refuse
		done   func(context.Context)
	}
)

func (n node) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return n.refuse.do(ctx, n.Client, cmd)
}

func (n node) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	return n.refuse.doMulti(ctx, n.Client, multi)
}

func (n node) DoStream(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResultStream {
	if err := n.refuse(&cmd); err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	return n.Client.DoStream(ctx, cmd)
}

func (n node) DoMultiStream(ctx context.Context, multi ...rueidis.Completed) rueidis.MultiRedisResultStream {
	for i := range multi {
		if err := n.refuse(&multi[i]); err != nil {
			return rueidis.NewErrorResultStream(err)
		}
	}
	return n.Client.DoMultiStream(ctx, multi...)
}

func (n node) Dedicated(fn func(rueidis.DedicatedClient) error) error {
	return n.Client.Dedicated(func(d rueidis.DedicatedClient) error { return fn(dedicated{d, n.refuse, nil}) })
}

func (n node) Dedicate() (client rueidis.DedicatedClient, cancel func()) {
	d, cancel := n.Client.Dedicate()
	return dedicated{d, n.refuse, nil}, cancel
}

func (d dedicated) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if d.done != nil {
		defer d.done(ctx)
	}
	return d.refuse.do(ctx, d.DedicatedClient, cmd)
}

func (d dedicated) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	if d.done != nil {
		defer d.done(ctx)
	}
	return d.refuse.doMulti(ctx, d.DedicatedClient, multi)
}

func (r Refuse) do(ctx context.Context, to rueidis.CommandClient, cmd rueidis.Completed) rueidis.RedisResult {
	if err := r(&cmd); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return to.Do(ctx, cmd)
}

func (r Refuse) doMulti(ctx context.Context, to rueidis.CommandClient, multi []rueidis.Completed) []rueidis.RedisResult {
	for i := range multi {
		if err := r(&multi[i]); err != nil {
			return FailAll(len(multi), err)
		}
	}
	return to.DoMulti(ctx, multi...)
}

// FailAll is the results of n commands of which none was sent.
func FailAll(n int, err error) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, n)
	for i := range results {
		results[i] = rueidis.NewErrorResult(err)
	}
	return results
}

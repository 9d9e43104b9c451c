package guard

import (
	"context"

	"github.com/redis/rueidis"
)

// Refuse says why a command is not sent; nil where it is.
type Refuse func(cmd *rueidis.Completed) error

// Watch is told of what a raw client does. All fields are needed.
type Watch struct {
	Refuse
	Wrote    func(ctx context.Context) // a call has ended that may have written
	Streamed func(ctx context.Context) // or one begins whose end is not seen
}

// Node is a node's client that refuses some commands.
func Node(client rueidis.Client, w Watch) rueidis.Client { return node{client, w} }

// Dedicated is a lent connection that refuses some commands.
func Dedicated(client rueidis.DedicatedClient, w Watch) rueidis.DedicatedClient {
	return dedicated{client, w}
}

type (
	node struct {
		rueidis.Client
		watch Watch
	}
	dedicated struct {
		rueidis.DedicatedClient
		watch Watch
	}
)

func (n node) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return n.watch.do(ctx, n.Client, cmd)
}

func (n node) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	return n.watch.doMulti(ctx, n.Client, multi)
}

func (n node) DoStream(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResultStream {
	if err := n.watch.Refuse(&cmd); err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	n.watch.Streamed(ctx)
	return n.Client.DoStream(ctx, cmd)
}

func (n node) DoMultiStream(ctx context.Context, multi ...rueidis.Completed) rueidis.MultiRedisResultStream {
	for i := range multi {
		if err := n.watch.Refuse(&multi[i]); err != nil {
			return rueidis.NewErrorResultStream(err)
		}
	}
	n.watch.Streamed(ctx)
	return n.Client.DoMultiStream(ctx, multi...)
}

func (n node) Dedicated(fn func(rueidis.DedicatedClient) error) error {
	return n.Client.Dedicated(func(d rueidis.DedicatedClient) error { return fn(dedicated{d, n.watch}) })
}

func (n node) Dedicate() (client rueidis.DedicatedClient, cancel func()) {
	d, cancel := n.Client.Dedicate()
	return dedicated{d, n.watch}, cancel
}

func (d dedicated) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return d.watch.do(ctx, d.DedicatedClient, cmd)
}

func (d dedicated) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	return d.watch.doMulti(ctx, d.DedicatedClient, multi)
}

func (w Watch) do(ctx context.Context, to rueidis.CommandClient, cmd rueidis.Completed) rueidis.RedisResult {
	if err := w.Refuse(&cmd); err != nil {
		return rueidis.NewErrorResult(err)
	}
	defer w.Wrote(ctx)
	return to.Do(ctx, cmd)
}

func (w Watch) doMulti(ctx context.Context, to rueidis.CommandClient, multi []rueidis.Completed) []rueidis.RedisResult {
	for i := range multi {
		if err := w.Refuse(&multi[i]); err != nil {
			return FailAll(len(multi), err)
		}
	}
	defer w.Wrote(ctx)
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

package redstart

import (
	"context"

	"github.com/redis/rueidis"
)

// node and dedicated are raw clients that refuse what would spoil a shared
// connection.
type (
	node      struct{ rueidis.Client }
	dedicated struct {
		rueidis.DedicatedClient
		core *core // nil for a node's
	}
)

func (n node) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return guardedDo(ctx, n.Client, cmd)
}

func (n node) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	return guardedMulti(ctx, n.Client, multi)
}

func (n node) DoStream(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResultStream {
	if err := refused(&cmd); err != nil {
		return rueidis.NewErrorResultStream(err)
	}
	return n.Client.DoStream(ctx, cmd)
}

func (n node) DoMultiStream(ctx context.Context, multi ...rueidis.Completed) rueidis.MultiRedisResultStream {
	for i := range multi {
		if err := refused(&multi[i]); err != nil {
			return rueidis.NewErrorResultStream(err)
		}
	}
	return n.Client.DoMultiStream(ctx, multi...)
}

func (n node) Dedicated(fn func(rueidis.DedicatedClient) error) error {
	return n.Client.Dedicated(func(d rueidis.DedicatedClient) error { return fn(dedicated{d, nil}) })
}

func (n node) Dedicate() (client rueidis.DedicatedClient, cancel func()) {
	d, cancel := n.Client.Dedicate()
	return dedicated{d, nil}, cancel
}

func (d dedicated) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if d.core != nil {
		defer d.core.wrote(ctx)
	}
	return guardedDo(ctx, d.DedicatedClient, cmd)
}

func (d dedicated) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	if d.core != nil {
		defer d.core.wrote(ctx)
	}
	return guardedMulti(ctx, d.DedicatedClient, multi)
}

func guardedDo(ctx context.Context, to rueidis.CommandClient, cmd rueidis.Completed) rueidis.RedisResult {
	if err := refused(&cmd); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return to.Do(ctx, cmd)
}

func guardedMulti(ctx context.Context, to rueidis.CommandClient, multi []rueidis.Completed) []rueidis.RedisResult {
	for i := range multi {
		if err := refused(&multi[i]); err != nil {
			return failAll(len(multi), err)
		}
	}
	return to.DoMulti(ctx, multi...)
}

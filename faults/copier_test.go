package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/shard"
)

// copierArg sets up a process that moves keys, from all servers but the last
// to all.
type copierArg struct {
	URLs   []string
	Naive  bool
	Folder string // for the naive recipe's cursors
}

// shardNames are those of n shards.
func shardNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("shard-%d", i)
	}
	return names
}

func layoutOf(names []string) (shard.Layout, error) {
	members := make([]shard.Member, len(names))
	for i, name := range names {
		members[i].Name = name
	}
	return shard.NewLayout(members...)
}

// copier is the role.
func copier(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	var arg copierArg
	if err := json.Unmarshal(raw, &arg); err != nil {
		return nil, nil, err
	}
	return map[string]harness.Verb{
		"copy": harness.On(func(ctx context.Context, _ int) (shard.Copied, error) {
			if arg.Naive {
				return shard.Copied{}, copyNaively(ctx, arg)
			}
			return copyShards(ctx, arg)
		}),
		"owners": harness.On(ownersOf),
	}, func() {}, nil
}

// copyShards is the job, done right. The sizes are small, so that there are
// many moments at which to be killed.
func copyShards(ctx context.Context, arg copierArg) (shard.Copied, error) {
	names := shardNames(len(arg.URLs))
	smaller, err := layoutOf(names[:len(names)-1])
	if err != nil {
		return shard.Copied{}, err
	}
	larger, err := layoutOf(names)
	if err != nil {
		return shard.Copied{}, err
	}
	cfg := shard.CopyConfig{Shards: map[string]*redstart.Client{}, Count: 50, Batch: 7}
	for i, url := range arg.URLs {
		c, err := redstart.Open(ctx, url, redstart.Config{})
		if err != nil {
			return shard.Copied{}, err
		}
		defer c.Close()
		cfg.Shards[names[i]] = c
	}
	return shard.Copy(ctx, shard.Plan(smaller, larger), cfg)
}

// copyNaively is the same job by the recipe.
func copyNaively(ctx context.Context, arg copierArg) error {
	var clients []rueidis.Client
	for _, url := range arg.URLs {
		c, err := plain(url)
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	all := len(clients)
	errs := make([]error, all-1)
	var work sync.WaitGroup
	for i := range all - 1 {
		work.Go(func() {
			errs[i] = naive.Copy{
				From: clients[i], Cursor: filepath.Join(arg.Folder, fmt.Sprint("cursor", i)),
				To: func(key string) rueidis.Client {
					if to := naive.Modulo(key, all); to != i {
						return clients[to]
					}
					return nil
				},
			}.Run(ctx)
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// ownersOf computes who owns each of n keys among some shards, whose order is
// as it happens to be, and gives the fingerprint of all.
func ownersOf(_ context.Context, arg struct{ Shards, Keys int }) (uint64, error) {
	names := shardNames(arg.Shards)
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	l, err := layoutOf(names)
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	for i := range arg.Keys {
		_, _ = h.Write([]byte(l.OwnerOf(shopKey(i)) + "\n"))
	}
	return h.Sum64(), nil
}

// shopKey is the i-th of the keys that shards are told apart by.
func shopKey(i int) string { return "shop:" + strings.Repeat("user:", i%2) + fmt.Sprint(i) }

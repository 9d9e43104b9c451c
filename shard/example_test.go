package shard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/shard"
)

// start gives n shards on servers in the process, for the examples; a service
// names its servers' URLs.
func start(names ...string) (shards []shard.Shard, stop func()) {
	var servers []*embedded.Server
	for _, name := range names {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			panic(err)
		}
		servers = append(servers, s)
		shards = append(shards, shard.Shard{Name: name, URL: s.URL()})
	}
	return shards, func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}
}

// A pattern on three servers.
func ExampleOpen() {
	shards, stop := start("paris", "lyon", "lille")
	defer stop()
	ctx := context.Background()

	sharded, err := shard.Open(ctx, shard.Config{Shards: shards})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sharded.Close()
	client, _ := redstart.Wrap(sharded.FailFast(), redstart.Config{Namespace: "shop"})
	defer client.Close()

	titles, err := cache.New(client, cache.Config[int, string]{
		Key:  "track:<id>:title",
		Load: func(context.Context, int) (string, error) { return "So What", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(titles.Get(ctx, 1))

	// Reads of many keys are merged in order; other commands stay in one slot.
	fmt.Println(client.DoMulti(ctx,
		client.B().Set().Key("user:1").Value("1").Build(),
		client.B().Set().Key("user:2").Value("2").Build(),
		client.B().Set().Key("user:3").Value("3").Build(),
		client.B().Mget().Key("user:3", "user:1", "user:2").Build(),
	)[3].AsStrSlice())
	err = client.Do(ctx, client.B().Del().Key("user:1", "user:2", "user:3").Build()).Error()
	fmt.Println(errors.Is(err, redstart.ErrRefused), redstart.OutcomeOf(err))
	fmt.Println(err)
	// Output:
	// So What <nil>
	// [3 1 2] <nil>
	// true not applied
	// redstart/shard: do DEL: refused: its 3 keys lie in slots of the shards lille, lyon; give them one hash tag, or send a command for each
}

// What adding a shard would move.
func ExamplePlan() {
	before, _ := shard.NewLayout(shard.Member{Name: "paris"}, shard.Member{Name: "lyon"}, shard.Member{Name: "lille"})
	after, _ := shard.NewLayout(shard.Member{Name: "paris"}, shard.Member{Name: "lyon"}, shard.Member{Name: "lille"}, shard.Member{Name: "nice"})

	plan := shard.Plan(before, after)
	elsewhere := slices.ContainsFunc(plan, func(m shard.Move) bool { return m.To != "nice" })
	fmt.Printf("%d %% of the slots move; any of them not to the new shard: %v\n", 100*len(plan)/shard.Slots, elsewhere)
	// Output: 25 % of the slots move; any of them not to the new shard: false
}

// Adding a shard: stop the writers, copy, start them with the new layout.
func ExampleCopy() {
	shards, stop := start("paris", "lyon", "lille")
	defer stop()
	ctx := context.Background()

	before, _ := shard.Open(ctx, shard.Config{Shards: shards[:2]})
	defer before.Close()
	after, err := shard.Open(ctx, shard.Config{Shards: shards})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer after.Close()
	for i := range 100 {
		before.Do(ctx, before.B().Set().Key(fmt.Sprint("user:", i)).Value(strings.Repeat("x", i)).Build())
	}

	servers, _ := after.Shards(ctx)
	done, err := shard.Copy(ctx, shard.Plan(before.Layout(), after.Layout()), shard.CopyConfig{
		Shards:   servers,
		Progress: func(c shard.Copied) { /* draw a bar */ },
	})
	n, _ := servers["lille"].Do(ctx, servers["lille"].B().Dbsize().Build()).AsInt64()
	fmt.Println(done.Moved == n, n > 20, err)

	value, err := after.Do(ctx, after.B().Get().Key("user:42").Build()).ToString()
	fmt.Println(len(value), err)
	// Output:
	// true true <nil>
	// 42 <nil>
}

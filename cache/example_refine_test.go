package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cache"
)

// A value that is read near the end of its TTL is loaded anew in the
// background, once for all processes; readers have the old one meanwhile.
func ExampleRefresh() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	loads, refreshed := 0, make(chan struct{})
	plays, _ := cache.New(client, cache.Config[string, int]{
		Key: "plays:<track>", TTL: 10 * time.Minute,
		Refresh: cache.Refresh{Fraction: 0.2}, // 2 minutes before the end
		Load: func(context.Context, string) (int, error) {
			if loads++; loads == 2 {
				defer close(refreshed)
			}
			return loads, nil
		},
	})
	_, _ = plays.Get(ctx, "so-what")
	// Nine minutes pass.
	client.Do(ctx, client.B().Pexpire().Key("shop:plays:so-what").Milliseconds(60_000).Build())
	n, err := plays.Get(ctx, "so-what") // does not wait
	fmt.Println(n, err)
	<-refreshed
	// Output: 1 <nil>
}

// A failing source is covered by old values, which say so. An invalidation
// ends that.
func ExampleCache_GetEntry() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	var down error
	plays, _ := cache.New(client, cache.Config[string, int]{
		Key: "plays:<track>", TTL: 10 * time.Minute, Jitter: -1,
		StaleFor:    time.Hour,              // after the TTL, when a load fails
		SoftTimeout: 200 * time.Millisecond, // or takes longer than this
		Load:        func(context.Context, string) (int, error) { return 1959, down },
	})
	e, _ := plays.GetEntry(ctx, "so-what")
	fmt.Println(e.Value, e.Tier, e.Stale)

	down = errors.New("the database is away")
	// 20 minutes pass.
	client.Do(ctx, client.B().Pexpire().Key("shop:plays:so-what").Milliseconds(50*60_000).Build())
	e, err := plays.GetEntry(ctx, "so-what")
	fmt.Println(e.Value, e.Tier, e.Stale, e.Age.Round(time.Minute), err)

	_ = plays.Invalidate(ctx, "so-what")
	_, err = plays.GetEntry(ctx, "so-what")
	fmt.Println(errors.Is(err, down))
	// Output:
	// 1959 source false
	// 1959 redis true 20m0s <nil>
	// true
}

// One write ends all entries of an artist, however many.
func ExampleCache_InvalidateTag() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	title := "So What"
	tracks, _ := cache.New(client, cache.Config[int64, Track]{
		Key:        "track:<id>",
		ResultTags: true, // only the row tells the artist
		LoadResult: func(_ context.Context, id int64, _ cache.Old[Track]) (cache.Result[Track], error) {
			return cache.Result[Track]{
				Value: Track{ID: id, Title: title},
				Tags:  []string{"artist:miles"},
				TTL:   time.Hour,
			}, nil
		},
	})
	before, _ := tracks.Get(ctx, 1)
	title = "So What (remastered)" // UPDATE … WHERE artist = 'miles'
	if err := tracks.InvalidateTag(ctx, "artist:miles"); err != nil {
		fmt.Println("old tracks may still be served:", err)
	}
	after, _ := tracks.Get(ctx, 1)
	fmt.Println(before.Title, "->", after.Title)
	// Output: So What -> So What (remastered)
}

// Tags that the id tells cost no second round trip.
func ExampleConfig_tags() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	type page struct {
		Tenant, Path string
	}
	loads := 0
	pages, _ := cache.New(client, cache.Config[page, string]{
		Key:  "page:<tenant>:<path>",
		Args: func(p page) []string { return []string{p.Tenant, p.Path} },
		Tags: func(p page) []string { return []string{p.Tenant} },
		Load: func(context.Context, page) (string, error) { loads++; return "<h1>", nil },
	})
	for range 2 {
		_, _ = pages.Get(ctx, page{"acme", "/"})
		_, _ = pages.Get(ctx, page{"initech", "/"})
		_ = pages.InvalidateTag(ctx, "acme")
	}
	fmt.Println(loads, "loads")
	// Output: 3 loads
}

// Clear ends every entry of the cache by one write.
func ExampleCache_Clear() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	prices, _ := cache.New(client, cache.Config[string, int]{
		Key: "price:<item>", Clearable: true,
		Load: func(context.Context, string) (int, error) { return 0, cache.ErrNotFound },
	})
	_ = prices.Set(ctx, "reed", 3)
	_ = prices.Clear(ctx)
	_, ok, err := prices.Peek(ctx, "reed")
	fmt.Println(ok, err)
	// Output: false <nil>
}

// A source that knows whether a value still holds is asked no more than that.
func ExampleResult() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	type document struct{ ETag, Text string }
	etag := "v1"
	docs, _ := cache.New(client, cache.Config[string, document]{
		Key: "doc:<name>", TTL: time.Minute, StaleFor: time.Hour,
		LoadResult: func(_ context.Context, _ string, old cache.Old[document]) (r cache.Result[document], err error) {
			if old.OK && old.Value.ETag == etag { // If-None-Match
				fmt.Println("304 not modified")
				return cache.Result[document]{NotModified: true}, nil
			}
			fmt.Println("200 OK")
			return cache.Result[document]{Value: document{etag, "…"}, TTL: 5 * time.Minute}, nil
		},
	})
	_, _ = docs.Get(ctx, "readme")
	// The five minutes pass.
	client.Do(ctx, client.B().Pexpire().Key("shop:doc:readme").Milliseconds(59*60_000).Build())
	doc, err := docs.Get(ctx, "readme")
	fmt.Println(doc.ETag, err)
	// Output:
	// 200 OK
	// 304 not modified
	// v1 <nil>
}

// Large values lie compressed in the server.
func ExampleCompression() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	lyrics, _ := cache.New(client, cache.Config[string, string]{
		Key: "lyrics:<track>", Compress: cache.Zstd,
		Load: func(context.Context, string) (string, error) { return strings.Repeat("Scoobidoo ", 1000), nil },
	})
	text, _ := lyrics.Get(ctx, "so-what")
	stored, _ := client.Do(ctx, client.B().Strlen().Key("shop:lyrics:so-what").Build()).AsInt64()
	fmt.Println(len(text), stored < 200)
	// Output: 10000 true
}

// Values that are read often stay in the process; the server tells of those
// that change.
func ExampleNear() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	plays, _ := cache.New(client, cache.Config[string, int]{
		Key:  "plays:<track>",
		Load: func(context.Context, string) (int, error) { return 1959, nil },
		Near: cache.Near[string, int]{Items: 10_000, MaxStale: time.Second},
	})
	_, _ = plays.Get(ctx, "so-what") // loaded
	n, err := plays.Get(ctx, "so-what")
	fmt.Println(n, err)
	fmt.Println(plays.Invalidate(ctx, "so-what")) // gone from here at once, elsewhere by the message
	// Output:
	// 1959 <nil>
	// <nil>
}

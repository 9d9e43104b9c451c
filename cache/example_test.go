package cache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
)

// start gives a client on a server in the process, for the examples; a service
// gives redstart.Open its server's URL.
func start() (*redstart.Client, func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{Namespace: "shop"})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); _ = server.Close() }
}

type Track struct {
	ID    int64
	Title string
}

// A cache needs the shape of its keys and a way to load.
func ExampleCache_Get() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	tracks, err := cache.New(client, cache.Config[int64, Track]{
		Key: "track:<id>",
		TTL: 10 * time.Minute,
		Load: func(_ context.Context, id int64) (Track, error) {
			fmt.Println("loading", id)
			if id == 404 {
				return Track{}, cache.ErrNotFound
			}
			return Track{ID: id, Title: "So What"}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	for range 2 {
		track, err := tracks.Get(ctx, 42)
		fmt.Println(track.Title, err)
	}
	for range 2 {
		_, err := tracks.Get(ctx, 404)
		fmt.Println(errors.Is(err, cache.ErrNotFound))
	}
	// Output:
	// loading 42
	// So What <nil>
	// So What <nil>
	// loading 404
	// true
	// true
}

// After a change at the source, the entry goes; a load that is under way at
// that moment is not stored.
func ExampleCache_Invalidate() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	title := "So What"
	tracks, _ := cache.New(client, cache.Config[int64, string]{
		Key:  "track:<id>:title",
		Load: func(context.Context, int64) (string, error) { return title, nil },
	})
	before, _ := tracks.Get(ctx, 1)

	title = "Freddie Freeloader" // UPDATE …
	if err := tracks.Invalidate(ctx, 1); err != nil {
		fmt.Println("the old title may still be served:", err)
	}
	after, _ := tracks.Get(ctx, 1)
	fmt.Println(before, "->", after)
	// Output: So What -> Freddie Freeloader
}

// Peek looks without loading.
func ExampleCache_Peek() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	plays, _ := cache.New(client, cache.Config[string, int]{
		Key:  "plays:<track>",
		Load: func(context.Context, string) (int, error) { return 0, cache.ErrNotFound },
	})
	_, ok, _ := plays.Peek(ctx, "so-what")
	fmt.Println("cached:", ok)
	_ = plays.Set(ctx, "so-what", 1959)
	n, ok, _ := plays.Peek(ctx, "so-what")
	fmt.Println("cached:", ok, n)
	// Output:
	// cached: false
	// cached: true 1959
}

// Keys with several parts, and values that another cache wrote before.
func ExampleConfig() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	type place struct{ Country, City string }
	weather, err := cache.New(client, cache.Config[place, string]{
		Key:   "weather:<country>:<city>",
		Args:  func(p place) []string { return []string{p.Country, p.City} },
		Load:  func(context.Context, place) (string, error) { return "sunny", nil },
		Adopt: func(raw []byte) (string, error) { return string(raw), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Written by the program that ran here before:
	client.Do(ctx, client.B().Set().Key("shop:weather:fr:Lyon").Value("rain").Build())
	lyon, _ := weather.Get(ctx, place{"fr", "Lyon"})
	paris, _ := weather.Get(ctx, place{"fr", "Paris"})
	fmt.Println(lyon, paris)
	// Output: rain sunny
}

package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/redstart-go/redstart/cache"
)

// A write goes to the source first. What the source refuses changes nothing, and
// readers never see a value that is not in the source.
func ExampleCache_Put() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	table := map[int64]string{42: "So What"}
	tracks, err := cache.New(client, cache.Config[int64, Track]{
		Key:  "track:<id>",
		Load: func(_ context.Context, id int64) (Track, error) { return Track{id, table[id]}, nil },
		Store: func(_ context.Context, id int64, t Track) error {
			if t.Title == "" {
				return fmt.Errorf("a track needs a title: %w", cache.ErrRefused)
			}
			table[id] = t.Title
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(tracks.Put(ctx, 42, Track{42, "Blue in Green"}))
	err = tracks.Put(ctx, 42, Track{ID: 42})
	fmt.Println(errors.Is(err, cache.ErrRefused))
	track, err := tracks.Get(ctx, 42)
	fmt.Println(track.Title, err)

	// Write is for any other change; this one removes.
	err = tracks.Write(ctx, 42, func(context.Context) (cache.Result[Track], error) {
		delete(table, 42)
		return cache.Result[Track]{}, cache.ErrNotFound
	})
	_, gone, _ := tracks.Peek(ctx, 42)
	fmt.Println(err, gone)
	// Output:
	// <nil>
	// true
	// Blue in Green <nil>
	// <nil> true
}

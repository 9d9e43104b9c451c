package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redstart-go/redstart/cache"
)

// Many at once: what is cached by one MGET, the rest by one query.
func ExampleCache_GetMany() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	titles, err := cache.New(client, cache.Config[int64, string]{
		Key: "track:<id>:title",
		LoadMany: func(_ context.Context, ids []int64) (map[int64]string, error) {
			slices.Sort(ids)
			fmt.Println("loading", ids) // SELECT id, title FROM track WHERE id = ANY($1)
			found := map[int64]string{}
			for _, id := range ids {
				if id < 100 {
					found[id] = fmt.Sprint("Track ", id)
				}
			}
			return found, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ids := range [][]int64{{1, 2}, {2, 404, 3}} {
		got, err := titles.GetMany(ctx, ids)
		if err != nil {
			fmt.Println(err) // a cache.Errors: some failed
		}
		for i, id := range ids {
			if errors.Is(got[i].Err, cache.ErrNotFound) {
				fmt.Println(id, "does not exist")
			} else {
				fmt.Println(id, got[i].Value)
			}
		}
	}
	// Output:
	// loading [1 2]
	// 1 Track 1
	// 2 Track 2
	// loading [3 404]
	// 2 Track 2
	// 404 does not exist
	// 3 Track 3
}

// A LoadMany that fails for single ids says which; the others stand.
func ExampleErrors() {
	client, stop := start()
	defer stop()

	stock, _ := cache.New(client, cache.Config[string, int]{
		Key: "stock:<item>",
		LoadMany: func(_ context.Context, items []string) (map[string]int, error) {
			found, failed := map[string]int{}, cache.Errors[string]{}
			for _, item := range items {
				if item == "tea" {
					failed[item] = errors.New("the tea house does not answer")
				} else {
					found[item] = 7
				}
			}
			return found, failed
		},
	})
	got, err := stock.GetMany(context.Background(), []string{"coffee", "tea"})
	fmt.Println(got[0].Value, got[0].Err)
	fmt.Println(got[1].Err)
	var failed cache.Errors[string]
	fmt.Println(errors.As(err, &failed), len(failed))
	// Output:
	// 7 <nil>
	// redstart/cache: load shop:stock:<item>: the tea house does not answer
	// true 1
}

// Before the traffic comes: fill what is missing, a few hundred at a time.
func ExampleCache_Warm() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	squares, _ := cache.New(client, cache.Config[int, int]{
		Key: "square:<n>",
		LoadMany: func(_ context.Context, ns []int) (map[int]int, error) {
			found := map[int]int{}
			for _, n := range ns {
				found[n] = n * n
			}
			return found, nil
		},
	})
	// What is known already needs no load:
	if err := squares.SetMany(ctx, maps.All(map[int]int{1: 1, 2: 4})); err != nil {
		fmt.Println(err)
	}
	numbers := func(yield func(int) bool) { // SELECT id FROM …
		for n := range 700 {
			if !yield(n) {
				return
			}
		}
	}
	done, err := squares.Warm(ctx, numbers, func(w cache.Warmed) {
		fmt.Println("so far", w.Present+w.Loaded)
	})
	fmt.Printf("%+v %v\n", done, err)

	// After a change of several at the source:
	err = squares.InvalidateMany(ctx, 3, 4, 5)
	fmt.Println(err)
	// Output:
	// so far 500
	// so far 700
	// {Present:2 Loaded:698 Absent:0 Failed:0} <nil>
	// <nil>
}

package sqlcache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/sqlcache"
)

// start gives a client on a server in the process, for the examples; a service
// gives redstart.Open its server's URL.
func start() (*redstart.Client, func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); _ = server.Close() }
}

// A comment lets the cache answer a query; a write ends what it changed. With a
// registered driver: cache.Open("pgx", "postgres://…").
func ExampleCache_OpenDB() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	cache, err := sqlcache.New(client, sqlcache.Config{Database: "music", Dialect: sqlcache.Other})
	if err != nil {
		fmt.Println(err)
		return
	}
	database := newToy() // a driver's connector, such as stdlib.GetConnector of pgx
	db, err := cache.OpenDB(database)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	show := func() {
		var title string
		err := db.QueryRowContext(ctx, "/* cache ttl=30s */ SELECT title FROM track WHERE id = ?", 1).Scan(&title)
		fmt.Println(title, err, "queries:", database.queries.Load())
	}
	show()
	show()
	_, err = db.ExecContext(ctx, "UPDATE track SET title = ? WHERE id = ?", "Blue in Green", 1)
	fmt.Println(err)
	show()
	// Output:
	// So What <nil> queries: 1
	// So What <nil> queries: 1
	// <nil>
	// Blue in Green <nil> queries: 2
}

// Code generators and ORMs that cannot comment ask by the context: such as
// queries.GetTrack(sqlcache.With(ctx, time.Minute), id) of sqlc.
func ExampleWith() {
	client, stop := start()
	defer stop()
	cache, err := sqlcache.New(client, sqlcache.Config{Database: "music", Dialect: sqlcache.Other})
	if err != nil {
		fmt.Println(err)
		return
	}
	database := newToy()
	db, err := cache.OpenDB(database)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	getTrack := func(ctx context.Context, id int64) (title string, err error) { // as generated
		err = db.QueryRowContext(ctx, "SELECT title FROM track WHERE id = ?", id).Scan(&title)
		return title, err
	}
	ctx := sqlcache.With(context.Background(), time.Minute, "charts")
	for range 2 {
		title, err := getTrack(ctx, 2)
		fmt.Println(title, err, "queries:", database.queries.Load())
	}
	// Who changes what no table's name tells says so.
	if err := cache.Invalidate(ctx, "charts"); err != nil {
		fmt.Println(err)
	}
	title, err := getTrack(ctx, 2)
	fmt.Println(title, err, "queries:", database.queries.Load())
	// Output:
	// Naima <nil> queries: 1
	// Naima <nil> queries: 1
	// Naima <nil> queries: 2
}

// A change that is made past every wrapping, such as by a migration, ends results
// by their tags, which are the tables' names where nothing else was said.
func ExampleCache_Invalidate() {
	client, stop := start()
	defer stop()
	cache, err := sqlcache.New(client, sqlcache.Config{Database: "music"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cache.Invalidate(context.Background(), "track", "album"))
	// Output: <nil>
}

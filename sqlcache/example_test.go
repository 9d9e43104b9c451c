package sqlcache_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/sqlcache"
)

// open gives a database whose queries tell how many have reached it.
func openShop() (*sql.DB, func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		log.Fatal(err)
	}
	cached, err := sqlcache.New(client, sqlcache.Config{Database: "music", Dialect: sqlcache.Other})
	if err != nil {
		log.Fatal(err)
	}
	db, err := cached.OpenDB(&counting{}) // any driver's connector; Open takes a driver's name
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		_ = db.Close()
		client.Close()
		_ = server.Close()
	}
}

func number(ctx context.Context, db *sql.DB, query string) (n int) {
	if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
		log.Fatal(err)
	}
	return n
}

// A comment asks, and a write ends what carries the table that it names.
func ExampleCache_OpenDB() {
	db, done := openShop()
	defer done()
	ctx := context.Background()
	const query = "/* cache ttl=30s */ SELECT count(*) FROM track"
	fmt.Println(number(ctx, db, query), number(ctx, db, query))
	if _, err := db.ExecContext(ctx, "UPDATE track SET cents = 99 WHERE id = 1"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(number(ctx, db, query), number(ctx, db, query))
	fmt.Println(number(ctx, db, "SELECT count(*) FROM track"), "asked for nothing")
	// Output:
	// 1 1
	// 2 2
	// 3 asked for nothing
}

// The context asks, where a library writes the statements.
func ExampleWith() {
	db, done := openShop()
	defer done()
	ctx := sqlcache.With(context.Background(), time.Minute, "catalog")
	const query = "SELECT name FROM track"
	fmt.Println(number(ctx, db, query), number(ctx, db, query))
	write := sqlcache.Invalidating(ctx, "catalog")
	if _, err := db.ExecContext(write, "UPDATE track SET cents = 99 WHERE id = 1"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(number(ctx, db, query))
	// Output:
	// 1 1
	// 2
}

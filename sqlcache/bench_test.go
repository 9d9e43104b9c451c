package sqlcache_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/sqlcache"
)

// BenchmarkPassing is a statement that asks for nothing, over a driver that answers
// at once: as it is, and wrapped.
func BenchmarkPassing(b *testing.B) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	cached, err := sqlcache.New(client, sqlcache.Config{Database: "bench", Dialect: sqlcache.Other})
	if err != nil {
		b.Fatal(err)
	}
	wrapped, err := cached.OpenDB(&counting{})
	if err != nil {
		b.Fatal(err)
	}
	defer wrapped.Close()
	plain := sql.OpenDB(&counting{})
	defer plain.Close()
	for _, db := range []struct {
		name string
		db   *sql.DB
	}{{"as it is", plain}, {"wrapped", wrapped}} {
		b.Run(db.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var n int
				if err := db.db.QueryRowContext(b.Context(), "SELECT id FROM track WHERE album = 12 ORDER BY id LIMIT 10").Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

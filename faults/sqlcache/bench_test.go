package sqlcache

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
	"github.com/redstart-go/redstart/sqlcache"
)

// benched are the databases of the benchmark.
func benched(b *testing.B) map[string][2]string {
	b.Helper()
	pg := database.RunPostgres(b, database.Config{Unix: true, NoSync: true})
	return map[string][2]string{
		"postgres": {"pgx", pg.DSN()},
		"sqlite":   {"sqlite", "file:" + filepath.Join(b.TempDir(), "d.sqlite") + "?_pragma=journal_mode(wal)"},
	}
}

// BenchmarkQuery is a query of 10 of 20,000 rows: as it is, wrapped and not
// cached (what the wrapping adds), cached, cached in the process, and beside them
// a hit of package cache with a value of the same size and as many tags.
func BenchmarkQuery(b *testing.B) {
	url := redstarttest.Run(b, redstarttest.ServerConfig{}).URL()
	c, err := redstart.Open(context.Background(), url, redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for name, db := range benched(b) {
		b.Run(name, func(b *testing.B) { benchQuery(b, c, db[0], db[1]) })
	}
	b.Run("hit of package cache", func(b *testing.B) {
		value := make([]byte, 300)
		plain, err := cache.New(c, cache.Config[int, []byte]{
			Key: "bench:<id>", Clearable: true, Tags: func(int) []string { return []string{"track"} },
			Load: func(context.Context, int) ([]byte, error) { return value, nil },
		})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := plain.Get(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchQuery(b *testing.B, c *redstart.Client, driver, dsn string) {
	b.Helper()
	open := func(near int) *sql.DB {
		ours, err := sqlcache.New(c, sqlcache.Config{Database: "bench-" + driver, NearBytes: near})
		if err != nil {
			b.Fatal(err)
		}
		db, err := ours.Open(driver, dsn)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}
	plain, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { plain.Close() })
	for _, text := range []string{
		"create table bench (id integer primary key, album integer not null, name text not null)",
		"insert into bench with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i, i / 10, 'a track of some length' from n",
	} {
		if _, err := plain.ExecContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
	const grouped = "select album, count(*), min(name) from bench where album between $1 and $2 group by album order by album limit 10"
	const one = "select name from bench where id = $1"
	measure := func(name string, db *sql.DB, asks bool, query string, args ...any) {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			if asks {
				ctx = sqlcache.With(ctx, time.Hour)
			}
			for b.Loop() {
				rows, err := db.QueryContext(ctx, query, args...)
				if err != nil {
					b.Fatal(err)
				}
				for rows.Next() {
				}
				if err := rows.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	wrapped, near := open(0), open(1<<20)
	measure("one row, as it is", plain, false, one, 77)
	measure("one row, wrapped and not cached", wrapped, false, one, 77)
	measure("group, as it is", plain, false, grouped, 100, 1900)
	measure("group, cached", wrapped, true, grouped, 100, 1900)
	measure("group, cached in the process", near, true, grouped, 100, 1900)
}

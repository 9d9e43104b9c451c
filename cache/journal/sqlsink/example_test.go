package sqlsink_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
)

type Album struct {
	Title    string
	ArtistID int64
}

// A program opens its database with a driver: sql.Open("pgx", url).
func openDatabase() *sql.DB { return sql.OpenDB(struct{ driver.Connector }{}) }

func ExampleNew() {
	db := openDatabase()
	defer db.Close()

	sink, err := sqlsink.New(db, sqlsink.Config[int64, Album]{
		Dialect: sqlsink.Postgres,
		Table:   "album",
		Key:     []string{"id"},
		Columns: []string{"title", "artist_id"},
		Row: func(_ int64, a Album) ([]any, error) {
			return []any{a.Title, a.ArtistID}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// sink.Prepare(ctx) makes the fence's table. Then the sink is the journal's:
	cfg := journal.Config[int64, Album]{Name: "albums", Sink: sink}
	fmt.Println(cfg.Name)
	// Output: albums
}

// An id that is several columns.
func ExampleConfig() {
	type Line struct {
		Order int64
		No    int
	}
	cfg := sqlsink.Config[Line, *string]{
		Dialect: sqlsink.MySQL,
		Table:   "shop.order_line",
		Key:     []string{"order_id", "no"},
		ID:      func(l Line) []any { return []any{l.Order, l.No} },
		Columns: []string{"note"},
		Row:     func(_ Line, note *string) ([]any, error) { return []any{note}, nil }, // nil is NULL
	}
	fmt.Println(cfg.Key)
	// Output: [order_id no]
}

package sqlcachesqlx

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	for name, url := range shop.Servers(t) {
		t.Run(name, func(t *testing.T) { visit(t, url) })
	}
}

func visit(t *testing.T, url string) {
	t.Helper()
	client, err := redstart.Open(t.Context(), url, redstart.Config{})
	must(t, err)
	defer client.Close()
	dsn := "file:" + filepath.Join(t.TempDir(), "music.sqlite") + "?_txlock=immediate"
	s, err := Open(client, dsn)
	must(t, err)
	defer s.Close()
	ctx := t.Context()
	must(t, s.Prepare(ctx))
	must(t, s.Add(ctx, "Kind of Blue", Track{ID: 1, Name: "So What", Cents: 99}, Track{ID: 2, Name: "All Blues", Cents: 129}))
	costs := func(what string, want ...int64) {
		t.Helper()
		for range 2 { // loaded, and from the cache
			tracks, err := s.Cheapest(ctx, 10)
			must(t, err)
			var got []int64
			for _, track := range tracks {
				got = append(got, track.Cents)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
	}
	titles := func(what, want string) {
		t.Helper()
		for range 2 {
			if got, err := s.Titles(ctx); err != nil || !slices.Equal(got, []string{want}) {
				t.Fatalf("%s: %q, %v, want %q", what, got, err, want)
			}
		}
	}
	costs("as added", 99, 129)
	titles("as added", "Kind of Blue")

	// What is written past the cache is not seen: so it was not read again.
	past, err := sql.Open("sqlite", dsn)
	must(t, err)
	defer past.Close()
	_, err = past.ExecContext(ctx, "update track set cents = cents + 1")
	must(t, err)
	_, err = past.ExecContext(ctx, "update album set title = 'unseen'")
	must(t, err)
	costs("from the cache", 99, 129)
	titles("from the cache", "Kind of Blue")

	must(t, s.Reprice(ctx, map[int64]int64{1: 199, 2: 59}))
	costs("repriced", 59, 199)
	titles("after a write that has nothing to do with them", "Kind of Blue")
	if err := s.Reprice(ctx, map[int64]int64{77: 1}); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("repricing what is not there: %v", err)
	}
	costs("rolled back", 59, 199)
	must(t, s.Retitle(ctx, "unseen", "Sketches of Spain"))
	titles("renamed", "Sketches of Spain")
}

package sqlcachegorm

import (
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorm.io/gorm"

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
	dsn := filepath.Join(t.TempDir(), "music.sqlite")
	s, err := Open(client, dsn)
	must(t, err)
	defer s.Close()
	ctx := t.Context()
	must(t, s.Prepare(ctx))
	day := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	want := Album{Title: "Kind of Blue", Tracks: []Track{
		{Name: "So What", Seconds: 545, Added: day}, {Name: "Freddie Freeloader", Seconds: 586, Added: day},
	}}
	must(t, s.Add(ctx, &want))
	sees := func(what string) {
		t.Helper()
		for range 2 { // loaded, and from the cache
			got, err := s.Album(ctx, want.ID)
			for i := range got.Tracks { // the same instant, in the zone that the driver names
				got.Tracks[i].Added = got.Tracks[i].Added.UTC()
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %+v, %v, want %+v", what, got, err, want)
			}
		}
	}
	sees("as added")

	// What is written past the cache is not seen: so it was not read again.
	past, err := sql.Open("sqlite", dsn)
	must(t, err)
	defer past.Close()
	_, err = past.ExecContext(ctx, "update albums set title = 'unseen'")
	must(t, err)
	sees("from the cache")

	want.Title = "Kind of Blue (Legacy Edition)"
	must(t, s.Rename(ctx, want.ID, want.Title))
	sees("renamed")
	must(t, s.Played(ctx, want.Tracks[0].ID, want.Tracks[1].ID, want.Tracks[1].ID))
	want.Tracks[0].Plays, want.Tracks[1].Plays = 1, 2
	sees("played")
	if err := s.Played(ctx, want.Tracks[0].ID, 12345); !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Errorf("playing what is not there: %v", err)
	}
	sees("rolled back")
	if got, err := s.Longest(ctx, 1); err != nil || len(got) != 1 || got[0].Name != want.Tracks[1].Name {
		t.Errorf("the longest is %+v, %v", got, err)
	}
	if _, err := s.Album(ctx, 99); !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Errorf("an album that is not there: %v", err)
	}
}

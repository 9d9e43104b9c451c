package sqlcachesqlx

import (
	"path/filepath"
	"reflect"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	for name, url := range shop.Servers(t) {
		t.Run(name, func(t *testing.T) {
			client, err := redstart.Open(t.Context(), url, redstart.Config{Namespace: "sqlx"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			store, err := Open(t.Context(), client, filepath.Join(t.TempDir(), "music.sqlite"))
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			visit(t, store)
		})
	}
}

func visit(t *testing.T, store *Store) {
	t.Helper()
	ctx := t.Context()
	finds := func(what string, hit bool, genres []string, want ...string) {
		t.Helper()
		before := store.Cache.Stats().Cache.Hits
		tracks, err := store.Find(ctx, genres...)
		var got []string
		for _, track := range tracks {
			got = append(got, track.Title)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if by := store.Cache.Stats().Cache.Hits > before; by != hit {
			t.Errorf("%s: by the cache: %v", what, by)
		}
	}
	if err := store.Add(ctx, Track{Title: "So What", Genre: "Jazz", Price: 1}, Track{Title: "Black Dog", Genre: "Rock", Price: 2}); err != nil {
		t.Fatal(err)
	}
	finds("at first", false, []string{"Jazz", "Rock"}, "So What", "Black Dog")
	finds("cached", true, []string{"Jazz", "Rock"}, "So What", "Black Dog")
	finds("other arguments", false, []string{"Jazz", "Pop"}, "So What")
	report := func(want ...Sales) {
		t.Helper()
		if got, err := store.Report(ctx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	report(Sales{"Jazz", 1}, Sales{"Rock", 2})
	if err := store.Add(ctx, Track{Title: "Naima", Genre: "Jazz", Price: 3}); err != nil {
		t.Fatal(err)
	}
	finds("after a write", false, []string{"Jazz", "Rock"}, "So What", "Black Dog", "Naima")
	report(Sales{"Jazz", 4}, Sales{"Rock", 2})
}

package sqlcachegorm

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	for name, url := range shop.Servers(t) {
		t.Run(name, func(t *testing.T) {
			client, err := redstart.Open(t.Context(), url, redstart.Config{Namespace: "gorm"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			store, err := Open(client, filepath.Join(t.TempDir(), "music.sqlite"))
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			visit(t.Context(), t, store)
		})
	}
}

func visit(ctx context.Context, t *testing.T, store *Store) {
	t.Helper()
	album := Album{Title: "Kind of Blue", Tracks: []Track{{Title: "So What", Price: 2}, {Title: "Blue in Green", Price: 4}}}
	if err := store.Add(ctx, &album); err != nil {
		t.Fatal(err)
	}
	prices := func(what string, hits uint64, first, second float64) {
		t.Helper()
		before := store.Cache.Stats().Cache.Hits
		a, err := store.Album(ctx, album.ID)
		if err != nil || a.Title != "Kind of Blue" || len(a.Tracks) != 2 || a.Tracks[0].Price != first || a.Tracks[1].Price != second {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
		if n := store.Cache.Stats().Cache.Hits - before; n != hits {
			t.Errorf("%s: %d of 2 statements by the cache, want %d", what, n, hits)
		}
	}
	prices("at first", 0, 2, 4)
	prices("cached", 2, 2, 4)

	refused := errors.New("too cheap")
	err := store.Discount(ctx, album.ID, 0.5, func(tracks []Track) error {
		if len(tracks) != 2 || tracks[0].Price != 1 {
			t.Errorf("the transaction sees %+v", tracks)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	prices("after a rollback the cache is as it was", 2, 2, 4)

	if err := store.Discount(ctx, album.ID, 0.5, func([]Track) error { return nil }); err != nil {
		t.Fatal(err)
	}
	prices("the album is still cached, its tracks are not", 1, 1, 2)
	prices("cached again", 2, 1, 2)
}

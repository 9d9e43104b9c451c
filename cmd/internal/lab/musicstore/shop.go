package musicstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/database"
)

// shop knows what the database holds, so that it can judge what readers get: what never changes as it was read from it, and
// what does by every commit since.
type shop struct {
	place database.Place
	order order

	tracks    map[int64]track
	albums    map[int64]int64 // to artists
	artists   map[int64]string
	genres    map[int64]string
	members   map[[2]int64]bool // playlist, track
	customers map[[2]string]map[int64]bool

	prices map[int64]*rising // of a track, in hundredths
	sold   map[int64]*rising // pieces of a track
	bought map[int64]*rising // invoices of a customer

	mu       sync.Mutex
	invoices map[int64]int64 // to customers

	lastInvoice, lastLine atomic.Int64

	pages   []page
	tracked []int64 // the tracks that may become dearer, and be sold
	buyers  []int64
	shadows []page // of customers whose names look the same
}

type track struct{ album, genre int64 }

func (s *shop) customerOf(invoice int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.invoices[invoice]
}

// each runs a question and gives every row to scan.
func each(ctx context.Context, db *sql.DB, question string, scan func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, question)
	if err != nil {
		return fmt.Errorf("%w: %w: %w", database.ErrChoice, errNoStore, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// learn reads the store as it is, and makes the pages that are asked for.
func learn(ctx context.Context, db *sql.DB, place database.Place, seed uint64) (*shop, error) {
	s := &shop{
		place: place, tracks: map[int64]track{}, albums: map[int64]int64{}, artists: map[int64]string{}, genres: map[int64]string{},
		members: map[[2]int64]bool{}, customers: map[[2]string]map[int64]bool{},
		prices: map[int64]*rising{}, sold: map[int64]*rising{}, bought: map[int64]*rising{}, invoices: map[int64]int64{},
	}
	if err := s.learnStock(ctx, db); err != nil {
		return nil, err
	}
	if err := s.learnSales(ctx, db); err != nil {
		return nil, err
	}
	if len(s.tracked) == 0 || len(s.buyers) == 0 || len(s.genres) == 0 {
		return nil, fmt.Errorf("%w: %w: a table is empty", database.ErrChoice, errNoStore)
	}
	rand.New(rand.NewPCG(seed, 0x7061676573)).Shuffle(len(s.pages), func(i, j int) { //nolint:gosec // chance, not secrets
		s.pages[i], s.pages[j] = s.pages[j], s.pages[i]
	})
	return s, nil
}

func (s *shop) page(q *query, args ...any) { s.pages = append(s.pages, page{q, args}) }

func (s *shop) learnStock(ctx context.Context, db *sql.DB) error {
	var id, a, b int64
	var name string
	var n float64
	terms := map[string]bool{}
	for _, l := range []struct {
		question string
		keep     func()
		into     []any
	}{
		{"SELECT GenreId, COALESCE(Name, '') FROM Genre ORDER BY 1", func() {
			s.genres[id] = name
			s.page(byGenre, name)
			s.page(topSellers, id)
		}, []any{&id, &name}},
		{"SELECT ArtistId, COALESCE(Name, '') FROM Artist ORDER BY 1", func() {
			s.artists[id] = name
			s.page(albums, name)
		}, []any{&id, &name}},
		{"SELECT AlbumId, ArtistId FROM Album ORDER BY 1", func() {
			s.albums[id] = a
			s.page(byAlbum, id)
		}, []any{&id, &a}},
		{"SELECT TrackId, COALESCE(AlbumId, 0), COALESCE(GenreId, 0), UnitPrice, Name FROM Track ORDER BY 1", func() {
			s.tracks[id] = track{a, b}
			s.prices[id] = newRising(cents(n))
			s.tracked = append(s.tracked, id)
			if word := term(name); word != "" && len(terms) < 150 && !terms[word] {
				terms[word] = true
				s.page(byName, "%"+word+"%")
			}
		}, []any{&id, &a, &b, &n, &name}},
		{"SELECT PlaylistId, Name FROM Playlist ORDER BY 1", func() { s.page(byPlaylist, id) }, []any{&id, &name}},
		{"SELECT PlaylistId, TrackId FROM PlaylistTrack", func() { s.members[[2]int64{a, b}] = true }, []any{&a, &b}},
	} {
		err := each(ctx, db, l.question, func(scan func(...any) error) error {
			err := scan(l.into...)
			if err == nil {
				l.keep()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// term is what somebody might look for to find the name.
func term(name string) string {
	for w := range strings.FieldsSeq(strings.ToLower(name)) {
		if len(w) >= 5 && strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" {
			return w
		}
	}
	return ""
}

func (s *shop) learnSales(ctx context.Context, db *sql.DB) error {
	var id, a, n int64
	var name [2]string
	for _, t := range s.tracked {
		s.sold[t] = newRising(0)
	}
	shadow := map[[2]string]bool{}
	for _, n := range namesakes {
		shadow[n] = true
	}
	counts := map[int64]int64{}
	for _, l := range []struct {
		question string
		keep     func()
		into     []any
	}{
		{"SELECT InvoiceId, CustomerId FROM Invoice", func() {
			s.invoices[id] = a
			counts[a]++
			s.lastInvoice.Store(max(s.lastInvoice.Load(), id))
		}, []any{&id, &a}},
		{"SELECT CustomerId, FirstName, LastName FROM Customer ORDER BY 1", func() {
			s.bought[id] = newRising(counts[id])
			s.page(customer, name[0], name[1])
			if s.customers[name] == nil {
				s.customers[name] = map[int64]bool{}
			}
			s.customers[name][id] = true
			if shadow[name] {
				s.shadows = append(s.shadows, s.pages[len(s.pages)-1])
				return
			}
			s.page(invoices, id)
			s.buyers = append(s.buyers, id)
		}, []any{&id, &name[0], &name[1]}},
		{"SELECT TrackId, SUM(Quantity) FROM InvoiceLine GROUP BY TrackId", func() {
			if s.sold[id] != nil {
				s.sold[id] = newRising(n)
			}
		}, []any{&id, &n}},
		{"SELECT COALESCE(MAX(InvoiceLineId), 0) FROM InvoiceLine", func() { s.lastLine.Store(id) }, []any{&id}},
	} {
		err := each(ctx, db, l.question, func(scan func(...any) error) error {
			err := scan(l.into...)
			if err == nil {
				l.keep()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func cents(n float64) int64 { return int64(n*100 + 0.5) }

// verdict is what an answer was worth.
type verdict struct {
	stale, phantom, wrong bool
	staleFor              time.Duration
}

// judge judges an answer to a read that began at a time, when n commits had returned.
func (s *shop) judge(p page, answer []row, n int64, began time.Time) verdict {
	var v verdict
	see := func(r *rising, value int64) {
		if r == nil {
			return
		}
		since, stale, phantom := r.judge(n, value)
		v.stale, v.phantom = v.stale || stale, v.phantom || phantom
		if stale && !since.IsZero() {
			v.staleFor = max(v.staleFor, began.Sub(since))
		}
	}
	for _, r := range answer {
		if !p.check(s, p.args, r) {
			v.wrong = true
		}
		if p.number != nil {
			see(p.number(s, r.ID), int64(r.N*p.scale+0.5))
		}
	}
	switch p.query {
	case invoices:
		see(s.bought[p.args[0].(int64)], int64(len(answer)))
	case customer:
		v.wrong = v.wrong || len(answer) == 0
	}
	return v
}

package musicstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/database"
)

// schema is that of the well-known sample of a music store, as far as the queries go.
var schema = []string{
	`CREATE TABLE Artist (ArtistId INTEGER NOT NULL PRIMARY KEY, Name VARCHAR(120))`,
	`CREATE TABLE Album (AlbumId INTEGER NOT NULL PRIMARY KEY, Title VARCHAR(160) NOT NULL, ArtistId INTEGER NOT NULL)`,
	`CREATE TABLE Genre (GenreId INTEGER NOT NULL PRIMARY KEY, Name VARCHAR(120))`,
	`CREATE TABLE Track (TrackId INTEGER NOT NULL PRIMARY KEY, Name VARCHAR(200) NOT NULL, AlbumId INTEGER, GenreId INTEGER, UnitPrice NUMERIC(10,2) NOT NULL)`,
	`CREATE TABLE Customer (CustomerId INTEGER NOT NULL PRIMARY KEY, FirstName VARCHAR(40) NOT NULL, LastName VARCHAR(20) NOT NULL, City VARCHAR(40), Email VARCHAR(60) NOT NULL)`,
	`CREATE TABLE Invoice (InvoiceId INTEGER NOT NULL PRIMARY KEY, CustomerId INTEGER NOT NULL, InvoiceDate TIMESTAMP NOT NULL, BillingCity VARCHAR(40), Total NUMERIC(10,2) NOT NULL)`,
	`CREATE TABLE InvoiceLine (InvoiceLineId INTEGER NOT NULL PRIMARY KEY, InvoiceId INTEGER NOT NULL, TrackId INTEGER NOT NULL, UnitPrice NUMERIC(10,2) NOT NULL, Quantity INTEGER NOT NULL)`,
	`CREATE TABLE Playlist (PlaylistId INTEGER NOT NULL PRIMARY KEY, Name VARCHAR(120))`,
	`CREATE TABLE PlaylistTrack (PlaylistId INTEGER NOT NULL, TrackId INTEGER NOT NULL, PRIMARY KEY (PlaylistId, TrackId))`,
	`CREATE INDEX AlbumOfArtist ON Album (ArtistId)`,
	`CREATE INDEX TrackOfAlbum ON Track (AlbumId)`,
	`CREATE INDEX TrackOfGenre ON Track (GenreId)`,
	`CREATE INDEX InvoiceOfCustomer ON Invoice (CustomerId)`,
	`CREATE INDEX LineOfInvoice ON InvoiceLine (InvoiceId)`,
	`CREATE INDEX LineOfTrack ON InvoiceLine (TrackId)`,
}

// What a generated store has, about as much as the sample.
const (
	genArtists   = 250
	genAlbums    = 340
	genTracks    = 3400
	genCustomers = 60
	genInvoices  = 400
	genPlaylists = 15
)

var genres = []string{
	"Rock", "Jazz", "Metal", "Alternative", "Blues", "Latin", "Reggae", "Pop", "Soundtrack", "Bossa Nova", "Easy Listening", "Heavy Metal",
	"Soul", "Electronica", "World", "Hip Hop", "Science Fiction", "Drama", "Comedy", "Classical", "Opera",
}

var words = strings.Fields("night river silver morning dance winter train letter garden thunder velvet ocean paper mirror summer highway stranger " +
	"lantern whisper copper island shadow carousel harbor tiger blossom engine feather midnight canyon orchid signal harvest ember circus")

func title(rng *rand.Rand) string {
	s := words[rng.IntN(len(words))] + " " + words[rng.IntN(len(words))]
	return strings.ToUpper(s[:1]) + s[1:]
}

// rows collects rows for one table, and inserts many at once.
type rows struct {
	table string
	width int
	args  []any
}

func (r *rows) add(values ...any) {
	r.width = len(values)
	r.args = append(r.args, values...)
}

func (r *rows) insert(ctx context.Context, tx *sql.Tx, p database.Place) error {
	const most = 200 // rows in a statement
	for args := r.args; len(args) > 0; {
		n := min(len(args)/r.width, most)
		row := "(" + strings.Repeat(", ?", r.width)[2:] + ")"
		s := "INSERT INTO " + r.table + " VALUES " + strings.Repeat(", "+row, n)[2:]
		if _, err := tx.ExecContext(ctx, p.Bind(s), args[:n*r.width]...); err != nil {
			return fmt.Errorf("fill %s: %w", r.table, err)
		}
		args = args[n*r.width:]
	}
	return nil
}

// generate fills an empty place with a store, the same for the same seed.
func generate(ctx context.Context, p database.Place, seed uint64) error {
	db, err := p.Open()
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it only says so
	for _, s := range schema {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.30s…: %w", s, err)
		}
	}
	for _, t := range stock(rand.New(rand.NewPCG(seed, 0x6d75736963))) { //nolint:gosec // chance, not secrets
		if err := t.insert(ctx, tx, p); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// stock is what a generated store has.
func stock(rng *rand.Rand) []*rows {
	genre, artist, album, track := &rows{table: "Genre"}, &rows{table: "Artist"}, &rows{table: "Album"}, &rows{table: "Track"}
	customer, invoice, line := &rows{table: "Customer"}, &rows{table: "Invoice"}, &rows{table: "InvoiceLine"}
	playlist, member := &rows{table: "Playlist"}, &rows{table: "PlaylistTrack"}
	for i, name := range genres {
		genre.add(i+1, name)
	}
	for i := range genArtists {
		artist.add(i+1, fmt.Sprintf("The %ss %d", title(rng), i+1))
	}
	genreOf := make([]int, genAlbums)
	for i := range genAlbums {
		genreOf[i] = rng.IntN(len(genres)) * rng.IntN(len(genres)) / len(genres) // some have many
		album.add(i+1, title(rng), rng.IntN(genArtists)+1)
	}
	for i := range genTracks {
		a := i * genAlbums / genTracks
		track.add(i+1, title(rng), a+1, genreOf[a]+1, 0.99)
	}
	cities := make([]string, genCustomers)
	for i := range genCustomers {
		first, last := words[rng.IntN(len(words))], words[rng.IntN(len(words))]
		cities[i] = words[rng.IntN(len(words))]
		customer.add(i+1, first, fmt.Sprintf("%s%d", last, i+1), cities[i], fmt.Sprintf("%s.%s%d@example.org", first, last, i+1))
	}
	lines := 0
	for i := range genInvoices {
		c, n := rng.IntN(genCustomers), rng.IntN(9)+1
		for range n {
			lines++
			line.add(lines, i+1, rng.IntN(genTracks)+1, 0.99, 1)
		}
		invoice.add(i+1, c+1, fmt.Sprintf("2025-%02d-%02d 00:00:00", i%12+1, i%28+1), cities[c], float64(n*99)/100)
	}
	for i := range genPlaylists {
		playlist.add(i+1, title(rng))
		for _, t := range rng.Perm(genTracks)[:rng.IntN(300)+20] {
			member.add(i+1, t+1)
		}
	}
	return []*rows{genre, artist, album, track, customer, invoice, line, playlist, member}
}

// namesakes are customers whose names are the same when they are written one behind the other.
var namesakes = [][2]string{{"ann b", "c"}, {"ann", "b c"}, {"mary jo", "ray"}, {"mary", "jo ray"}, {"li", "wei 2"}, {"li wei", "2"}}

// errNoStore is a database that holds something else.
var errNoStore = errors.New("there is no music store in it (tables Artist, Album, Track, Genre, Customer, Invoice, InvoiceLine, Playlist, PlaylistTrack)")

// addNamesakes adds them to the copy.
func addNamesakes(ctx context.Context, db *sql.DB, p database.Place) error {
	var most int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(CustomerId), 0) FROM Customer").Scan(&most); err != nil {
		return err
	}
	for i, n := range namesakes {
		id := most + int64(i) + 1
		_, err := db.ExecContext(ctx, p.Bind("INSERT INTO Customer (CustomerId, FirstName, LastName, Email) VALUES (?, ?, ?, ?)"),
			id, n[0], n[1], fmt.Sprintf("customer%d@example.org", id))
		if err != nil {
			return fmt.Errorf("add customers: %w", err)
		}
	}
	return nil
}

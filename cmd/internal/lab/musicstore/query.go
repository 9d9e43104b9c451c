package musicstore

import "strings"

// query is one of the store's: each gives rows of an id, a text and a number, so that one function can read them all.
type query struct {
	name, text string
	// tables are those that it reads and that change.
	tables []string
	// check tells whether the rows can be the answer to it.
	check func(s *shop, arg []any, r row) bool
	// number is what the third column is of: a thing that only rises. Nil: of nothing.
	number func(s *shop, id int64) *rising
	// scale makes a whole number of it.
	scale float64
}

// row is a row of an answer.
type row struct {
	ID   int64   `json:"id"`
	Text string  `json:"text"`
	N    float64 `json:"n"`
}

func price(s *shop, id int64) *rising { return s.prices[id] }

func sold(s *shop, id int64) *rising { return s.sold[id] }

// The queries of the store's pages.
var (
	byGenre = &query{
		name: "tracks of a genre", tables: []string{"track"}, number: price, scale: 100,
		text: `SELECT t.TrackId, t.Name, t.UnitPrice FROM Track t JOIN Genre g ON g.GenreId = t.GenreId
			WHERE g.Name = ? ORDER BY t.Name, t.TrackId LIMIT 50`,
		check: func(s *shop, arg []any, r row) bool { return s.genres[s.tracks[r.ID].genre] == arg[0] },
	}
	byAlbum = &query{
		name: "tracks of an album", tables: []string{"track"}, number: price, scale: 100,
		text:  `SELECT TrackId, Name, UnitPrice FROM Track WHERE AlbumId = ? ORDER BY TrackId`,
		check: func(s *shop, arg []any, r row) bool { return s.tracks[r.ID].album == arg[0] },
	}
	byPlaylist = &query{
		name: "tracks of a playlist", tables: []string{"track"}, number: price, scale: 100,
		text: `SELECT t.TrackId, t.Name, t.UnitPrice FROM PlaylistTrack p JOIN Track t ON t.TrackId = p.TrackId
			WHERE p.PlaylistId = ? ORDER BY t.Name, t.TrackId LIMIT 100`,
		check: func(s *shop, arg []any, r row) bool { return s.members[[2]int64{arg[0].(int64), r.ID}] },
	}
	byName = &query{
		name: "search by name", tables: []string{"track"}, number: price, scale: 100,
		text: `SELECT TrackId, Name, UnitPrice FROM Track WHERE LOWER(Name) LIKE ? ORDER BY Name, TrackId LIMIT 20`,
		check: func(_ *shop, arg []any, r row) bool {
			return strings.Contains(strings.ToLower(r.Text), strings.Trim(arg[0].(string), "%"))
		},
	}
	topSellers = &query{
		name: "top sellers of a genre", tables: []string{"track", "invoiceline"}, number: sold, scale: 1,
		text: `SELECT t.TrackId, t.Name, SUM(l.Quantity) FROM InvoiceLine l JOIN Track t ON t.TrackId = l.TrackId
			WHERE t.GenreId = ? GROUP BY t.TrackId, t.Name ORDER BY 3 DESC, 1 LIMIT 10`,
		check: func(s *shop, arg []any, r row) bool { return s.tracks[r.ID].genre == arg[0] },
	}
	albums = &query{
		name: "albums of an artist", tables: []string{"album"},
		text: `SELECT al.AlbumId, al.Title, COUNT(*) FROM Album al JOIN Artist ar ON ar.ArtistId = al.ArtistId
			JOIN Track t ON t.AlbumId = al.AlbumId WHERE ar.Name = ? GROUP BY al.AlbumId, al.Title ORDER BY al.Title, al.AlbumId`,
		check: func(s *shop, arg []any, r row) bool { return s.artists[s.albums[r.ID]] == arg[0] },
	}
	invoices = &query{
		name: "invoices of a customer", tables: []string{"invoice"},
		text:  `SELECT InvoiceId, COALESCE(BillingCity, ''), Total FROM Invoice WHERE CustomerId = ? ORDER BY InvoiceId DESC`,
		check: func(s *shop, arg []any, r row) bool { return s.customerOf(r.ID) == arg[0] },
	}
	customer = &query{
		name: "a customer by name", tables: []string{"customer"},
		text: `SELECT CustomerId, Email, 0 FROM Customer WHERE FirstName = ? AND LastName = ?`,
		check: func(s *shop, arg []any, r row) bool {
			return s.customers[[2]string{arg[0].(string), arg[1].(string)}][r.ID]
		},
	}
)

// write is a statement that changes something.
type write struct {
	text   string
	tables []string
}

var (
	dearer  = &write{`UPDATE Track SET UnitPrice = UnitPrice + ? WHERE TrackId = ?`, []string{"track"}}
	newSale = &write{`INSERT INTO Invoice (InvoiceId, CustomerId, InvoiceDate, BillingCity, Total) VALUES (?, ?, ?, ?, ?)`, []string{"invoice"}}
	newLine = &write{`INSERT INTO InvoiceLine (InvoiceLineId, InvoiceId, TrackId, UnitPrice, Quantity) VALUES (?, ?, ?, ?, ?)`, []string{"invoiceline"}}
)

// page is a query with its arguments.
type page struct {
	*query

	args []any
}

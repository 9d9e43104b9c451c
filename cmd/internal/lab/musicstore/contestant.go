package musicstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/database"
	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// ttl is how long answers are cached unless something ends them.
const ttl = 30 * time.Second

// contestant is one instance of a service that asks the store's database. It is safe for use by many goroutines.
type contestant interface {
	// Read answers a page, in a transaction where one is given.
	Read(ctx context.Context, tx *sql.Tx, p page) ([]row, error)
	// Begin begins a transaction.
	Begin(ctx context.Context) (*sql.Tx, error)
	// Write carries out a statement, in a transaction where one is given.
	Write(ctx context.Context, tx *sql.Tx, w *write, args ...any) error
	// Close ends it.
	Close()
}

// recipe is a way of asking a database.
type recipe struct {
	name  string
	about string
	tone  chart.Tone
	// caches: some answers do not come from the database. promises: they are as good.
	caches, promises bool
	open             func(ctx context.Context, s stand) (contestant, error)
}

// stand is what a contestant gets to work with.
type stand struct {
	url, namespace string
	place          database.Place
	meter          *meter
}

func (s stand) open() *sql.DB { return database.Sized(sql.OpenDB(s.meter)) }

func recipes() []recipe { return []recipe{statementKey(), uncached(), ours()} }

// asker is what both a database and a transaction can do.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// plain asks the database and nobody else.
type plain struct {
	stand
	db *sql.DB
}

func uncached() recipe {
	return recipe{
		name: "uncached", tone: chart.Second,
		about: "Every query goes to the database.",
		open:  func(_ context.Context, s stand) (contestant, error) { return &plain{s, s.open()}, nil },
	}
}

func (c *plain) asker(tx *sql.Tx) asker {
	if tx != nil {
		return tx
	}
	return c.db
}

func (c *plain) Read(ctx context.Context, tx *sql.Tx, p page) ([]row, error) {
	return ask(ctx, c.asker(tx), c.place.Bind(p.text), p.args)
}

// ask runs a query and reads its rows.
func ask(ctx context.Context, a asker, text string, args []any) (answer []row, err error) {
	rows, err := a.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.ID, &r.Text, &r.N); err != nil {
			return nil, err
		}
		answer = append(answer, r)
	}
	return answer, rows.Err()
}

func (c *plain) Begin(ctx context.Context) (*sql.Tx, error) { return c.db.BeginTx(ctx, nil) }

func (c *plain) Write(ctx context.Context, tx *sql.Tx, w *write, args ...any) error {
	_, err := c.asker(tx).ExecContext(ctx, c.place.Bind(w.text), args...)
	return err
}

func (c *plain) Close() { c.db.Close() }

// statementKey is the cache that plug-ins for ORMs put in front of a database:
//
//	key = sql + fmt.Sprint(args)
//	if cached := redis.Get(key); cached != nil { return cached }
//	rows := db.Query(sql, args)
//	redis.Set(key, rows, ttl); redis.SAdd(table, key)
//
// and before an INSERT, UPDATE or DELETE all keys of its table are deleted.
func statementKey() recipe {
	return recipe{
		name: "statement key", tone: chart.First, caches: true,
		about: "The statement with its arguments printed behind it is the key. A write deletes the keys of its table before it is carried out, and so before it is " +
			"committed: who reads in between puts the old rows back. What a transaction reads goes into the cache too, also if it is rolled back.",
		open: func(_ context.Context, s stand) (contestant, error) {
			c, err := lab.PlainClient(s.url)
			if err != nil {
				return nil, fmt.Errorf("connect the recipe: %w", err)
			}
			return &keyed{plain{s, s.open()}, c}, nil
		},
	}
}

type keyed struct {
	plain
	client rueidis.Client
}

func (c *keyed) key(p page) string {
	return c.namespace + ":" + strings.Join(strings.Fields(p.text), " ") + fmt.Sprint(p.args)
}

func (c *keyed) tables(table string) string { return c.namespace + ":table:" + table }

func (c *keyed) Read(ctx context.Context, tx *sql.Tx, p page) (answer []row, err error) {
	key := c.key(p)
	raw, err := c.client.Do(ctx, c.client.B().Get().Key(key).Build()).AsBytes()
	switch {
	case err == nil:
		err = json.Unmarshal(raw, &answer)
		return answer, err
	case !rueidis.IsRedisNil(err):
		return nil, err
	}
	if answer, err = c.plain.Read(ctx, tx, p); err != nil {
		return nil, err
	}
	if raw, err = json.Marshal(answer); err != nil {
		return nil, err
	}
	commands := rueidis.Commands{c.client.B().Set().Key(key).Value(rueidis.BinaryString(raw)).Ex(ttl).Build()}
	for _, t := range p.tables {
		commands = append(commands, c.client.B().Sadd().Key(c.tables(t)).Member(key).Build())
	}
	for _, r := range c.client.DoMulti(ctx, commands...) {
		if err := r.Error(); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func (c *keyed) Write(ctx context.Context, tx *sql.Tx, w *write, args ...any) error {
	for _, t := range w.tables {
		keys, err := c.client.Do(ctx, c.client.B().Smembers().Key(c.tables(t)).Build()).AsStrSlice()
		if err != nil {
			return err
		}
		if err := c.client.Do(ctx, c.client.B().Del().Key(append(keys, c.tables(t))...).Build()).Error(); err != nil {
			return err
		}
	}
	return c.plain.Write(ctx, tx, w, args...)
}

func (c *keyed) Close() {
	c.client.Close()
	c.plain.Close()
}

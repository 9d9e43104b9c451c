package musicstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/sqlcache"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/database"
)

// ours is Redstart's driver in front of the database's, as its documentation shows it.
func ours() recipe {
	return recipe{
		name:     "redstart",
		tone:     chart.Ours,
		caches:   true,
		promises: true,
		about: "A driver in front of the database's: a comment in the statement, or the context, lets the cache answer. Keys are made of statement and arguments with their types and lengths. " +
			"A write holds back what is cached of its tables until it is committed; a transaction that has written asks the database.",
		open: func(ctx context.Context, s stand) (contestant, error) { return openOurs(ctx, s) },
	}
}

// cached asks by way of Redstart's driver. The program is otherwise as without it.
type cached struct {
	plain
	client *redstart.Client
}

func openOurs(ctx context.Context, s stand) (*cached, error) {
	client, err := redstart.Open(ctx, s.url, redstart.Config{Namespace: s.namespace, ClientName: "redstart-lab"})
	if err != nil {
		return nil, err
	}
	cache, err := sqlcache.New(client, sqlcache.Config{Database: "store"})
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	db, err := cache.OpenDB(s.meter)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("open the database through the cache: %w", err)
	}
	return &cached{plain{s, database.Sized(db)}, client}, nil
}

// Read opts in: by a comment where the statement is written by hand, by the context where it comes from elsewhere.
func (c *cached) Read(ctx context.Context, tx *sql.Tx, p page) ([]row, error) {
	text := c.place.Bind(p.text)
	if p.query == invoices || p.query == customer {
		ctx = sqlcache.With(ctx, ttl, p.tables...)
	} else {
		text = fmt.Sprintf("/* cache ttl=%s tags=%s */ %s", ttl, strings.Join(p.tables, ","), text)
	}
	return ask(ctx, c.asker(tx), text, p.args)
}

func (c *cached) Close() {
	c.plain.Close()
	c.client.Close()
}

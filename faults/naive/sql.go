package naive

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// SQL is what caches for ORMs do: they look into the cache before each query,
// inside transactions too, fill it with whatever the query gives, and delete the
// key once the transaction has committed.
type SQL struct {
	Client rueidis.Client
	TTL    time.Duration
}

// Queryer is a database, a connection or a transaction.
type Queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Text answers a query of one text.
func (s SQL) Text(ctx context.Context, db Queryer, key, query string, args ...any) (text string, err error) {
	text, err = s.Client.Do(ctx, s.Client.B().Get().Key(key).Build()).ToString()
	if err == nil || !rueidis.IsRedisNil(err) {
		return text, err
	}
	if err := db.QueryRowContext(ctx, query, args...).Scan(&text); err != nil {
		return "", err
	}
	err = s.Client.Do(ctx, s.Client.B().Setex().Key(key).Seconds(int64(s.TTL/time.Second)).Value(text).Build()).Error()
	return text, err
}

// Commit commits, and deletes the key then.
func (s SQL) Commit(ctx context.Context, tx *sql.Tx, key string) error {
	return errors.Join(tx.Commit(), s.Client.Do(ctx, s.Client.B().Del().Key(key).Build()).Error())
}

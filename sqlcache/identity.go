package sqlcache

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
)

// questions are what a connection is asked once for what decides, beside the
// statement, what it reads: two connections with one answer read the same.
var questions = map[Dialect]string{
	Postgres: `SELECT json_build_array(current_database(), session_user, current_user, current_setting('search_path'),
 current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle'), current_setting('bytea_output'),
 current_setting('extra_float_digits'), current_setting('row_security'), current_setting('server_encoding'))::text,
 current_setting('default_transaction_isolation')`,
	MySQL: `SELECT JSON_ARRAY(DATABASE(), CURRENT_USER(), @@session.time_zone, @@session.sql_mode,
 @@session.character_set_results, @@session.collation_connection), ''`,
	SQLite: `PRAGMA database_list`,
}

// identity is what decides, beside the statement, what a connection reads.
type identity struct {
	text      string
	committed bool // a transaction without a level of its own sees what is committed at each statement
}

var errIdentity = errors.New("a connection reads something else than the one that the statement was for")

// identify gives the connection's identity, asked for once, and again after a
// statement that changes it.
func (c *conn) identify(ctx context.Context) (*identity, error) {
	if c.ident != nil {
		return c.ident, nil
	}
	text := questions[c.of.dialect]
	if text == "" {
		c.ident = &identity{}
		return c.ident, nil
	}
	rows, err := query1(ctx, c.Conn, text, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var words []string
	var last string
	dest := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(dest)
		if err == io.EOF { //nolint:errorlint // as package sql compares it
			break
		}
		if err != nil {
			return nil, err
		}
		for _, v := range dest {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			last = fmt.Sprint(v)
			words = append(words, fmt.Sprintf("%q", last))
		}
		if c.of.dialect == SQLite && last == "" { // in memory: of this connection alone
			if c.nonce == "" {
				c.nonce = rand.Text()
			}
			words = append(words, c.nonce)
		}
	}
	if len(words) == 0 {
		return nil, errIdentity
	}
	c.ident = &identity{text: strings.Join(words, " "), committed: c.of.dialect == Postgres && last == "read committed"}
	return c.ident, nil
}

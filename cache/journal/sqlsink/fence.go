package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/cache/journal"
)

// ansiFence are the statements that PostgreSQL and SQLite share; they number
// parameters alike.
func ansiFence(name, text, integer, bigint string) statements {
	fence := quoteTable(name, ansi)
	return statements{
		create: fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (journal %s NOT NULL, part %s NOT NULL, token %s NOT NULL, PRIMARY KEY (journal, part))",
			fence, text, integer, bigint),
		raise: "INSERT INTO " + fence + " AS held (journal, part, token) VALUES ($1, $2, $3) " +
			"ON CONFLICT (journal, part) DO UPDATE SET token = excluded.token WHERE held.token <= excluded.token",
		stored: "SELECT token FROM " + fence + " WHERE journal = $1 AND part = $2",
	}
}

func sqliteFence(name string) statements { return ansiFence(name, "TEXT", "INTEGER", "INTEGER") }

// postgresFence says in the same statement how long this transaction may be idle.
func postgresFence(name string, idle time.Duration) statements {
	s := ansiFence(name, "text", "integer", "bigint")
	s.says = true
	s.raise += " RETURNING token"
	if idle > 0 {
		ms := (idle + time.Millisecond - 1) / time.Millisecond
		s.raise += fmt.Sprintf(", set_config('idle_in_transaction_session_timeout', '%d', true)", ms)
	} else {
		s.raise += ", ''"
	}
	return s
}

func mysqlFence(name string) statements {
	fence := quoteTable(name, backtick)
	return statements{
		create: "CREATE TABLE IF NOT EXISTS " + fence + " (journal varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, " +
			"part int NOT NULL, token bigint NOT NULL, PRIMARY KEY (journal, part))",
		raise: "INSERT INTO " + fence + " (journal, part, token) VALUES (?, ?, ?) " +
			"ON DUPLICATE KEY UPDATE token = GREATEST(token, VALUES(token))",
		stored: "SELECT token FROM " + fence + " WHERE journal = ? AND part = ?",
	}
}

// lock locks the fence's row until the transaction ends and puts the batch's token
// in it. Whoever holds a greater one has been here: journal.ErrFenced.
func (s *statements) lock(ctx context.Context, tx *sql.Tx, name string, partition int, token int64) error {
	var stored int64
	if s.says {
		switch err := tx.QueryRowContext(ctx, s.raise, name, partition, token).Scan(&stored, new(string)); {
		case err == nil:
			return nil
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("fence: %w", err)
		}
	} else if _, err := tx.ExecContext(ctx, s.raise, name, partition, token); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	// The count of changed rows would tell as well, but for drivers that count found ones.
	switch err := tx.QueryRowContext(ctx, s.stored, name, partition).Scan(&stored); {
	case errors.Is(err, sql.ErrNoRows):
		return errors.New("fence: the row of this partition is not to be seen")
	case err != nil:
		return fmt.Errorf("fence: %w", err)
	case stored > token:
		return fmt.Errorf("fence: token %d, and %d has written: %w", token, stored, journal.ErrFenced)
	case stored < token:
		return fmt.Errorf("fence: token %d was not stored", token)
	}
	return nil
}

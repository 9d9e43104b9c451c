// Package sqlfence holds the proof that the condition of package lock keeps a
// late holder out of a database.
package sqlfence

import (
	"database/sql"
	"errors"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"github.com/redstart-go/redstart/lock"
)

// An older token than the last one writes nothing, by whatever statement.
func TestSQLite(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("sqlite", "file:"+t.TempDir()+"/fence.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(ctx, "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER, fence BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO accounts (id, balance) VALUES (1, 100)"); err != nil {
		t.Fatal(err)
	}
	condition := lock.SQLCondition("fence", "?2")
	update := "UPDATE accounts SET balance = ?1, fence = ?2 WHERE id = 1 AND " + condition
	upsert := "INSERT INTO accounts (id, balance, fence) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET balance = ?1, fence = ?2 WHERE " +
		lock.SQLCondition("accounts.fence", "?2")
	unguarded := "UPDATE accounts SET balance = ?1, fence = ?2 WHERE id = 1"
	const token = int64(1795544535558637)
	for _, step := range []struct {
		statement string
		token     int64
		balance   int
		fenced    bool
		stands    int
	}{
		{update, token, 90, false, 90},
		{update, token, 80, false, 80},
		{update, token + 1, 70, false, 70},
		{update, token, 60, true, 70},
		{upsert, token, 50, true, 70},
		{upsert, token + 2, 40, false, 40},
		{unguarded, token, 30, false, 30}, // the naive twin: a late holder overwrites
	} {
		err := lock.SQLResult(db.ExecContext(ctx, step.statement, step.balance, step.token))
		if errors.Is(err, lock.ErrFenced) != step.fenced || !step.fenced && err != nil {
			t.Errorf("token %d: %v", step.token-token, err)
		}
		var stands int
		if err := db.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = 1").Scan(&stands); err != nil || stands != step.stands {
			t.Errorf("token %d: the balance is %d, %v", step.token-token, stands, err)
		}
	}
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/database"
)

// lease is what the death of a process costs the sessions that it was bringing to the database.
const lease = time.Second

// partitions is into how many streams the journal is divided.
const partitions = 4

const journalName = "sessions"

// ours is Redstart's journal as its documentation shows it, with a sink for SQL.
func ours() recipe {
	return recipe{
		name:     "redstart",
		tone:     chart.Ours,
		promises: true,
		about: "One script stores the session and notes it in a journal at the server, and then the caller is answered. Whoever flushes takes the journal's changes, of " +
			"each session the last, to the database, and acknowledges them there when the database has them. When he dies another goes on; a version beside the row lets nothing be written twice.",
		open: func(ctx context.Context, s stand) (keeper, error) { return openOurs(ctx, s) },
		keys: journalKeys,
	}
}

// journaled is a service that writes behind with a journal, and one of those who flush it.
type journaled struct {
	client  *redstart.Client
	table   *table
	journal *journal.Journal[string, Session]
	stop    context.CancelFunc
	stopped chan struct{}
}

func openOurs(ctx context.Context, s stand) (_ *journaled, err error) {
	t, err := openTable(s.Place)
	if err != nil {
		return nil, err
	}
	j := &journaled{table: t, stop: func() {}, stopped: make(chan struct{})}
	close(j.stopped)
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	sink, err := sqlsink.New(t.db, sqlsink.Config[string, Session]{
		Dialect: dialect(s.Place.Kind),
		Table:   tableName,
		Key:     []string{keyColumn},
		Columns: columns,
		Row:     func(_ string, s Session) ([]any, error) { return s.values() },
		Version: versionColumn,
	})
	if err != nil {
		return nil, err
	}
	if err := sink.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the sink: %w", err)
	}
	j.client, err = redstart.Open(ctx, s.URL, redstart.Config{Namespace: s.Namespace, ClientName: "redstart-lab"})
	if err != nil {
		return nil, err
	}
	j.journal, err = journal.New(j.client, journal.Config[string, Session]{
		Name: journalName,
		Cache: cache.Config[string, Session]{
			Key: "session:<id>", TTL: ttl, Load: t.load,
		},
		Sink:       sink,
		Partitions: partitions,
		Lease:      lease,
	})
	if err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	j.stop, j.stopped = stop, make(chan struct{})
	go func() {
		defer close(j.stopped)
		if err := j.journal.Run(run); err != nil && run.Err() == nil {
			fmt.Fprintln(os.Stderr, "the flusher ended:", err)
		}
	}()
	return j, nil
}

// journalKeys are those of the journal's documentation: a few for each partition, and a session's entry beside those of its own.
func journalKeys(namespace string, ids []string) []string {
	var keys []string
	for p := range partitions {
		begin := fmt.Sprintf("%s:{%s:%d}:", namespace, journalName, p)
		for _, name := range []string{"state", "log", "newest", "left", "dead", "dead-of"} {
			keys = append(keys, begin+"%"+name)
		}
		for _, id := range ids {
			keys = append(keys, begin+"session:"+id)
		}
	}
	return keys
}

func dialect(k database.Kind) sqlsink.Dialect {
	if k == database.Postgres {
		return sqlsink.Postgres
	}
	return sqlsink.SQLite
}

// load is for sessions that are neither cached nor pending. The lab only writes.
func (t *table) load(context.Context, string) (Session, error) { return Session{}, cache.ErrNotFound }

func (j *journaled) Save(ctx context.Context, s Session) error { return j.journal.Put(ctx, s.ID, s) }

func (j *journaled) End(ctx context.Context, id string) error { return j.journal.Delete(ctx, id) }

func (j *journaled) Drain(ctx context.Context) error {
	if err := j.journal.Flush(ctx); err != nil {
		return err
	}
	lag, err := j.journal.Lag(ctx)
	if err == nil && lag.Dead > 0 {
		err = errors.New("dead letters are left")
	}
	return err
}

func (j *journaled) Close() {
	j.stop()
	<-j.stopped
	if j.client != nil {
		j.client.Close()
	}
	j.table.db.Close()
}

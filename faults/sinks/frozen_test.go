package sinks

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/redstarttest"
)

// gate is a connection that goes silent when it is told to, as that of a process that
// is frozen.
type gate struct {
	net.Conn
	mu     *sync.Mutex
	after  *int // writes that still pass; negative: all
	frozen chan struct{}
	thaw   chan struct{}
}

func (g gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	if *g.after == 0 {
		*g.after = -1
		g.mu.Unlock()
		close(g.frozen)
		<-g.thaw
		return g.Conn.Write(b)
	}
	if *g.after > 0 {
		*g.after--
	}
	g.mu.Unlock()
	return g.Conn.Write(b)
}

// A flusher that freezes at any step of its transaction holds up the next owner for
// the idle timeout, and writes nothing when it wakes.
func TestFrozenInTheMiddle(t *testing.T) {
	d := dialects()[0]
	p := newPlain(t, d)
	for _, steps := range []int{1, 2, 3} { // after begin; after the fence; before the commit
		_, name := d.server(t)
		cfg, err := pgx.ParseConfig(name)
		must(t, err)
		g := gate{mu: &sync.Mutex{}, after: new(int), frozen: make(chan struct{}), thaw: make(chan struct{})}
		*g.after = -1
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			g := g
			var err error
			g.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return g, err
		}
		db := stdlib.OpenDB(*cfg)
		db.SetMaxOpenConns(1)
		zombie, err := sqlsink.New(db, sqlsink.Config[int64, string]{
			Dialect: d.dialect, Table: p.name, Key: []string{"id"}, Columns: []string{"body"}, Fence: p.fence, IdleTimeout: 300 * time.Millisecond,
			Row: func(_ int64, v string) ([]any, error) { return []any{v}, nil },
		})
		must(t, err)
		token, id := int64(10*steps), int64(steps)
		write := func(version int64) error {
			_, err := zombie.Apply(context.Background(), journal.Batch[int64, string]{
				Journal: "j", Partition: 3, Token: token, Changes: []change{set(id, "zombie", version)},
			})
			return err
		}
		must(t, write(1)) // everything is prepared by now
		g.mu.Lock()
		*g.after = steps
		g.mu.Unlock()
		woken := make(chan error, 1)
		go func() { woken <- write(2) }()
		<-g.frozen
		began := time.Now()
		refused, err := p.sink.Apply(t.Context(), batch{Journal: "j", Partition: 3, Token: token + 1, Changes: []change{del(id, 3)}})
		must(t, err)
		refusedAre(t, refused)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("frozen after %d steps: the next owner waited %v", steps, took)
		}
		close(g.thaw)
		if err := <-woken; err == nil {
			t.Errorf("frozen after %d steps: the zombie's write was acknowledged", steps)
		}
		must(t, db.Close())
		p.holds(t, "")
		redstarttest.Eventually(t, 20*time.Second, "no transaction is left open", func() bool {
			var n int
			must(t, p.db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND query LIKE '%"+p.fence+"%'").Scan(&n))
			return n == 0
		})
	}
}

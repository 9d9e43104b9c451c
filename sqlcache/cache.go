package sqlcache

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/sqltext"
)

// Cache keeps results of statements that ask for it. It is shared by all
// goroutines, and by all databases that it wraps, which hold the same data.
type Cache struct {
	client *redstart.Client
	cfg    Config
	cache  *cache.Cache[query, []byte]
	stats  counters
	debts  debts
}

// New makes a cache on the client. It sends nothing.
func New(client *redstart.Client, cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache{client: client, cfg: cfg}
	of := cfg.caching()
	of.LoadResult = c.load
	if c.cache, err = cache.New(client, of); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenDB gives the database behind a driver's connector, through the cache. Close
// it before the client.
func (c *Cache) OpenDB(connector driver.Connector) (*sql.DB, error) {
	wrapped, err := c.Wrap(connector)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(wrapped), nil
}

// Open is sql.Open through the cache: the name of a registered driver, and what it
// wants to hear.
func (c *Cache) Open(name, dsn string) (*sql.DB, error) {
	plain, err := sql.Open(name, dsn)
	if err != nil {
		return nil, err
	}
	d := plain.Driver()
	if err := plain.Close(); err != nil {
		return nil, err
	}
	var connector driver.Connector = byName{d, dsn}
	if dc, ok := d.(driver.DriverContext); ok {
		if connector, err = dc.OpenConnector(dsn); err != nil {
			return nil, err
		}
	}
	return c.OpenDB(connector)
}

// byName is the connector of a driver that has none.
type byName struct {
	driver driver.Driver
	dsn    string
}

func (n byName) Connect(context.Context) (driver.Conn, error) { return n.driver.Open(n.dsn) }
func (n byName) Driver() driver.Driver                        { return n.driver }

// Wrap puts the cache in front of a driver's connector, for sql.OpenDB. All writes
// to the data must pass through such a wrapping, of whichever process.
func (c *Cache) Wrap(connector driver.Connector) (driver.Connector, error) {
	d := c.cfg.Dialect
	if d == Detect {
		var err error
		if d, err = detect(connector.Driver()); err != nil {
			return nil, err
		}
	}
	w := &wrapping{Cache: c, dialect: d, statements: sqltext.NewStatements(d)}
	return &wrapped{Connector: connector, of: w, pool: &pool{inner: connector, of: w}}, nil
}

// wrapping is the cache in front of one connector.
type wrapping struct {
	*Cache
	dialect    Dialect
	statements *sqltext.Statements
}

// Unwrap gives the driver's own connection for what sql.Conn.Raw gives, such as a
// *stdlib.Conn of pgx. What is done with it the cache does not see: the
// connection is not used for cached results any more, and a write needs an
// [Cache.Invalidate].
func Unwrap(driverConn any) any {
	c, ok := driverConn.(*conn)
	if !ok {
		return driverConn
	}
	c.own = true
	return c.Conn
}

// Invalidate ends every result that carries one of the tags, as a write to a
// table of that name does. For writes that no wrapping sees. One script a tag, in
// two round trips.
func (c *Cache) Invalidate(ctx context.Context, tags ...string) error {
	ch := change{tags: sqltext.Fold(tags)}
	for _, t := range tags {
		if err := sqltext.CheckTag(t); err != nil {
			return refuse("invalidate", err)
		}
		ch.tags = append(ch.tags, c.cfg.Also[t]...)
	}
	ch.tags = sqltext.Fold(ch.tags)
	if ch.none() {
		return nil
	}
	c.stats.invalidations.Add(1)
	return c.invalidate(ctx, ch)
}

// Clear ends every result.
func (c *Cache) Clear(ctx context.Context) error {
	c.stats.invalidations.Add(1)
	return c.invalidate(ctx, change{all: true})
}

func (c *Cache) invalidate(ctx context.Context, ch change) error {
	if ch.all {
		return c.cache.Clear(ctx)
	}
	h, err := c.cache.HoldTags(ctx, ch.tags...)
	if err != nil {
		return err
	}
	return h.Release(ctx)
}

// pool is the cache's own connections, for loads that nobody waits for. It is made
// by the first.
type pool struct {
	inner driver.Connector
	of    *wrapping

	mu     sync.Mutex
	db     *sql.DB
	closed bool
}

const poolIdle = 30 * time.Second

func (p *pool) open() (*sql.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, sql.ErrConnDone
	}
	if p.db == nil {
		p.db = sql.OpenDB(&pooled{p.inner, p})
		p.db.SetMaxOpenConns(p.of.cfg.Connections)
		p.db.SetConnMaxIdleTime(poolIdle)
	}
	return p.db, nil
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.db != nil {
		_ = p.db.Close() // there is nobody to tell
	}
}

// run sends a call's statement over a connection that sees what the caller's did.
func (p *pool) run(ctx context.Context, call *call, use func(driver.Rows) error) error {
	db, err := p.open()
	if err != nil {
		return err
	}
	one, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer one.Close()
	return one.Raw(func(driverConn any) error {
		c := driverConn.(*conn) //nolint:forcetypeassert // pooled gives nothing else
		ident, err := c.identify(ctx)
		if err != nil {
			return err
		}
		if ident.text != call.identity {
			return errIdentity
		}
		rows, err := query1(ctx, c.Conn, call.text, call.args)
		if err != nil {
			return err
		}
		return use(rows)
	})
}

// pooled opens the pool's connections.
type pooled struct {
	driver.Connector
	pool *pool
}

func (p *pooled) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, of: p.pool.of, pool: p.pool}, nil
}

func closeConnector(c driver.Connector) error {
	if closer, ok := c.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

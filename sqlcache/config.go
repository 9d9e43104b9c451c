package sqlcache

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/sqltext"
)

// Dialect is how a database writes its statements, and what a connection can be
// asked.
type Dialect = sqltext.Dialect

const (
	// Detect tells the dialect by the driver's package: pgx and lib/pq,
	// go-sql-driver/mysql, the SQLite drivers. Another one is refused.
	Detect = sqltext.Detect
	// Postgres is PostgreSQL and what speaks like it.
	Postgres = sqltext.Postgres
	// MySQL is MySQL and MariaDB.
	MySQL = sqltext.MySQL
	// SQLite is SQLite.
	SQLite = sqltext.SQLite
	// Other is any other: its connections are asked nothing, so that user and
	// schema must be the same for all under one Config.Database.
	Other = sqltext.Other
)

// Outage is what a write does while the server is away.
type Outage uint8

const (
	// Refuse fails the write before the database is touched: nothing stale is
	// ever served, and the database cannot be written without Redis.
	Refuse Outage = iota
	// Proceed writes. This process ends the entries before it reads any again;
	// others may serve the old ones until their TTL, should the server come back
	// with them.
	Proceed
)

// Config says what is cached and for how long. Database is needed; a zero field is
// the documented default, a negative one switches the thing off where the field
// says so; every invalid field is reported at once by [New].
type Config struct {
	// Database names the data: processes that use the same database on the same
	// Redis give the same name, any other another one. Letters, digits, '_', '-'
	// and '.'. PostgreSQL, MySQL and SQLite are asked for what distinguishes two
	// connections beyond that: database, user, search path, file.
	Database string

	// Prefix begins the entries' keys: "sql" gives "sql:shop:<query>" for the
	// Database "shop", behind the client's Namespace. Default: "sql".
	Prefix string

	// Dialect of the database. Default: Detect.
	Dialect Dialect

	// TTL is how long a result lives whose statement says nothing else.
	// Default: 1 minute.
	TTL time.Duration

	// MaxRows and MaxBytes bound a cached result. A larger one goes to whoever
	// asked, row by row, is counted and not cached. Default: 1,000, and 256 KiB.
	MaxRows  int
	MaxBytes int

	// InOutage is what a write does while Redis is away. (A read goes to the
	// database, at most redstart.Config.OutageLoads at once.) Default: Refuse.
	InOutage Outage

	// Also says what else is to be invalidated when a table is written: views
	// of it, tables that a trigger or a cascading key changes with it, the whole
	// of which it is a partition. By the tables' names without schemas.
	// Default: none.
	Also map[string][]string

	// Connections is how many connections of its own the cache opens at most, for
	// loads that nobody waits for. Default: 4.
	Connections int

	// What cache.Config says of them: Refresh loads ahead of the end, StaleFor
	// and SoftTimeout serve a result past its TTL while a load fails or lasts,
	// ErrorTTL is the pause after a failure, Lease what a death in the middle of
	// a load, or of a commit, costs the readers at most, LoadTimeout ends a load
	// that others wait for (the statement itself runs on, for who sent it).
	Refresh     cache.Refresh
	StaleFor    time.Duration
	SoftTimeout time.Duration
	ErrorTTL    time.Duration
	Lease       time.Duration
	LoadTimeout time.Duration
	Jitter      float64
	Compress    cache.Compression

	// NearBytes keeps results in the process, up to so many bytes: see cache.Near.
	// Another process's write is then seen when the server's message arrives, at
	// most NearMaxStale later. Default: off, and 2 s.
	NearBytes    int
	NearMaxStale time.Duration
}

const (
	defaultTTL         = time.Minute
	defaultMaxRows     = 1000
	defaultMaxBytes    = 256 << 10
	defaultConnections = 4
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults() (Config, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/sqlcache: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	plain := func(s string) bool {
		return strings.IndexFunc(s, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
		}) < 0
	}
	switch {
	case cfg.Database == "":
		bad("Database", "is missing; name the data, so that no other database's rows are ever served for them")
	case !plain(cfg.Database):
		bad("Database", "%q has more than letters, digits, '_', '-' and '.'", cfg.Database)
	}
	if cfg.Prefix = cmp.Or(cfg.Prefix, "sql"); !plain(cfg.Prefix) {
		bad("Prefix", "%q has more than letters, digits, '_', '-' and '.'", cfg.Prefix)
	}
	if cfg.Dialect > Other {
		bad("Dialect", "%d is none", cfg.Dialect)
	}
	if cfg.InOutage > Proceed {
		bad("InOutage", "%d is neither Refuse nor Proceed", cfg.InOutage)
	}
	if cfg.TTL = cmp.Or(cfg.TTL, defaultTTL); cfg.TTL < 0 {
		bad("TTL", "is negative; what no one invalidates must end")
	}
	for _, bound := range []struct {
		field string
		value *int
		def   int
	}{
		{"MaxRows", &cfg.MaxRows, defaultMaxRows},
		{"MaxBytes", &cfg.MaxBytes, defaultMaxBytes},
		{"Connections", &cfg.Connections, defaultConnections},
	} {
		if *bound.value = cmp.Or(*bound.value, bound.def); *bound.value < 0 {
			bad(bound.field, "is negative; it cannot be switched off")
		}
	}
	if cfg.NearBytes < 0 {
		bad("NearBytes", "is negative; leave it out for no near tier")
	}
	also := map[string][]string{}
	for table, more := range cfg.Also {
		for _, t := range more {
			if err := sqltext.CheckTag(t); err != nil {
				bad("Also", "%q: %v", table, err)
			}
		}
		also[strings.ToLower(table)] = sqltext.Fold(more)
	}
	cfg.Also = also
	return cfg, errors.Join(wrong...)
}

// caching is the cache's own part of it.
func (cfg Config) caching() cache.Config[query, []byte] {
	c := cache.Config[query, []byte]{
		Key: cfg.Prefix + ":" + cfg.Database + ":<query>", Args: query.args, Tags: query.labels, Clearable: true,
		TTL: cfg.TTL, Jitter: cfg.Jitter, ErrorTTL: cfg.ErrorTTL, Lease: cfg.Lease, LoadTimeout: cfg.LoadTimeout,
		MaxBytes: cfg.MaxBytes + maxHeader, Refresh: cfg.Refresh, StaleFor: cfg.StaleFor, SoftTimeout: cfg.SoftTimeout,
		Compress: cfg.Compress, Codec: cache.Raw[[]byte](), Version: format,
	}
	if cfg.NearBytes > 0 {
		c.Near = cache.Near[query, []byte]{
			Weight: uint64(cfg.NearBytes), MaxStale: cfg.NearMaxStale,
			Weigh: func(q query, rows []byte) uint32 { return uint32(min(len(rows)+len(q.tags)+200, 1<<31)) }, //nolint:gosec // bounded
		}
	}
	return c
}

// detect tells the dialect by the driver's package.
func detect(driver any) (Dialect, error) {
	t := reflect.TypeOf(driver)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path := ""
	if t != nil {
		path = t.PkgPath()
	}
	for _, known := range []struct {
		part    string
		dialect Dialect
	}{
		{"/pgx/", Postgres}, {"lib/pq", Postgres}, {"mysql", MySQL}, {"sqlite", SQLite},
	} {
		if strings.Contains(path, known.part) {
			return known.dialect, nil
		}
	}
	return 0, &redstart.Error{
		Op: "redstart/sqlcache: wrap", Outcome: redstart.NotApplied,
		Err: fmt.Errorf("the driver is of package %q, whose dialect is not known; set Config.Dialect", path),
	}
}

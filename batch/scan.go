package batch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/resilience"
)

// ScanConfig says how a scan goes. The zero value works.
type ScanConfig struct {
	// Count is about how many keys the server looks at for one reply: what it
	// does in one go, while others wait. At most 10,000. Default: 100.
	Count int

	// Window is among how many of the keys given last a repeated one is
	// noticed and dropped. Each costs its length and some 100 bytes of memory.
	// Servers repeat keys while their table grows or shrinks. Negative: none.
	// Default: 10,000.
	Window int

	// Type limits the scan to keys of one type ("string", "hash", "zset").
	// Default: all.
	Type string

	// Cursor is where to begin, and is moved along: after each key it says from
	// where a later scan, in another process perhaps, goes on without missing
	// any, repeating a reply's keys at most. Store it as it is; "" is the
	// beginning, and what it becomes at the end. Default: none is kept.
	Cursor *string
}

const (
	defaultCount  = 100
	maxCount      = 10_000
	defaultWindow = 10_000
	maxWindow     = 100_000_000
)

func (cfg ScanConfig) withDefaults() (ScanConfig, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	switch {
	case cfg.Count == 0:
		cfg.Count = defaultCount
	case cfg.Count < 0 || cfg.Count > maxCount:
		bad("Count", "%d is not between 1 and %d; the server serves nobody else while it looks", cfg.Count, maxCount)
	}
	switch {
	case cfg.Window == 0:
		cfg.Window = defaultWindow
	case cfg.Window > maxWindow:
		bad("Window", "%d is more than %d", cfg.Window, maxWindow)
	}
	cfg.Window = max(cfg.Window, 0)
	return cfg, invalid(wrong)
}

// Scan gives the keys that match a glob pattern ("shop:user:*"), on all nodes,
// in no order. It never blocks the server, as KEYS would: each reply is the
// work of Count keys. The namespace of the client is not added.
//
// Each key that is there from the beginning to the end is given at least once;
// one that comes or goes meanwhile may be, and one given may be gone already.
// After a restart or a failover of a node that node is begun again, since a
// cursor is good for one process. Keys of a slot that changes its node
// meanwhile may be missed.
//
// An error ends the scan and comes with no key. While a node is away the scan
// waits, to ctx's deadline, 10 s at most.
//
// Cost: N/Count round trips for N keys of the database, matching or not, on a
// connection of its own (redstart.Config.BlockingPool) meanwhile.
func Scan(ctx context.Context, c *redstart.Client, pattern string, cfg ScanConfig) iter.Seq2[string, error] {
	return scan(ctx, c, pattern, cfg, func(string) bool { return true })
}

// ScanTemplate is Scan for the keys of a template, and gives no others: each
// can be read back with its Match.
func ScanTemplate(ctx context.Context, c *redstart.Client, t *key.Template, cfg ScanConfig) iter.Seq2[string, error] {
	return scan(ctx, c, t.Pattern(), cfg, func(found string) bool {
		_, ok := t.Match(found)
		return ok
	})
}

func scan(ctx context.Context, c *redstart.Client, pattern string, cfg ScanConfig, wanted func(string) bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		cfg, err := cfg.withDefaults()
		if err != nil {
			yield("", err)
			return
		}
		s := &scanner{ctx: ctx, client: c, pattern: pattern, cfg: cfg, window: newWindow(cfg.Window), retry: patience(defaultWait), yield: yield, wanted: wanted}
		if cfg.Cursor != nil {
			if s.at, err = parsePosition(*cfg.Cursor); err != nil {
				yield("", s.fail(err))
				return
			}
		}
		if err := s.all(); err != nil && !errors.Is(err, errEnough) {
			yield("", s.fail(err))
		}
	}
}

// scanner is a scan under way.
type scanner struct {
	ctx     context.Context
	client  *redstart.Client
	pattern string
	cfg     ScanConfig
	window  *window
	at      position
	yield   func(string, error) bool
	wanted  func(string) bool

	retry   *resilience.Retry
	series  resilience.Attempts
	trouble bool
}

// errEnough: the caller has left the loop.
var errEnough = errors.New("enough")

func (s *scanner) fail(err error) error {
	return failure("redstart/batch: scan", "", err, redstart.NotApplied)
}

// all scans node after node, until a round finds none that is not done: one
// that came meanwhile is scanned as well.
func (s *scanner) all() error {
	for {
		fresh, err := s.round()
		switch {
		case err == nil && !fresh:
			s.keep("")
			return nil
		case err == nil:
			continue
		case errors.Is(err, errEnough):
			return err
		case !redstart.Away(err) && !redirects(err) && !errors.Is(err, errNodes):
			return err
		}
		if !s.trouble {
			s.trouble, s.series = true, s.retry.Begin()
		}
		if !s.series.Again(s.ctx, err) {
			return err
		}
	}
}

// round scans what is not done, and reports whether there may be more.
func (s *scanner) round() (fresh bool, err error) {
	if s.client.Mode() != rueidis.ClientModeCluster {
		_, err := s.node(s.client)
		return false, err
	}
	nodes, err := s.primaries()
	if err != nil {
		return false, err
	}
	for _, n := range nodes {
		scanned, err := s.node(n)
		if err != nil {
			return false, err
		}
		fresh = fresh || scanned
	}
	return fresh, nil
}

// errNodes: what the cluster says of its nodes does not fit yet.
var errNodes = errors.New("a primary of the cluster is not known to the client yet")

// primaries are the nodes that hold slots, by address.
func (s *scanner) primaries() ([]rueidis.Client, error) {
	reply, err := s.client.Do(s.ctx, s.client.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return nil, err
	}
	known := s.client.Nodes()
	found := map[string]rueidis.Client{}
	for _, entry := range reply {
		fields, err := entry.ToArray()
		if err != nil || len(fields) < 3 {
			return nil, errNodes
		}
		primary, err := fields[2].ToArray()
		if err != nil || len(primary) < 2 {
			return nil, errNodes
		}
		host, _ := primary[0].ToString()
		port, _ := primary[1].AsInt64()
		addr := host + ":" + strconv.FormatInt(port, 10)
		if strings.Contains(host, ":") {
			addr = "[" + host + "]:" + strconv.FormatInt(port, 10)
		}
		n, ok := known[addr]
		if !ok {
			return nil, errNodes
		}
		found[addr] = n
	}
	nodes := make([]rueidis.Client, 0, len(found))
	for _, addr := range slices.Sorted(maps.Keys(found)) {
		nodes = append(nodes, found[addr])
	}
	return nodes, nil
}

// dedicator lends connections: a client, or one of a cluster's nodes.
type dedicator interface {
	Dedicate() (rueidis.DedicatedClient, func())
}

// node scans one server, unless that is done, and reports whether it was not.
// All pages travel on one connection: a server that was replaced meanwhile,
// for which the cursor means nothing, cannot answer on it.
func (s *scanner) node(n dedicator) (scanned bool, err error) {
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	d, giveBack := n.Dedicate()
	defer giveBack()
	id, err := runID(s.ctx, d)
	if err != nil {
		return false, err
	}
	if slices.Contains(s.at.done, id) {
		return false, nil
	}
	if s.at.node != id {
		s.at.node, s.at.cursor = id, 0
	}
	for {
		page, err := d.Do(s.ctx, s.command(d)).AsScanEntry()
		if err != nil {
			return false, err
		}
		s.trouble = false
		s.keep(s.at.String())
		for _, k := range page.Elements {
			if !s.wanted(k) || s.window.seen(k) {
				continue
			}
			if !s.yield(k, nil) {
				return false, errEnough
			}
		}
		s.at.cursor = page.Cursor
		if page.Cursor == 0 {
			s.at.done, s.at.node = append(s.at.done, id), ""
		}
		s.keep(s.at.String())
		if page.Cursor == 0 {
			return true, nil
		}
	}
}

func (s *scanner) command(d rueidis.DedicatedClient) rueidis.Completed {
	cmd := d.B().Arbitrary("SCAN", strconv.FormatUint(s.at.cursor, 10), "MATCH", s.pattern, "COUNT", strconv.Itoa(s.cfg.Count))
	if s.cfg.Type != "" {
		cmd = cmd.Args("TYPE", s.cfg.Type)
	}
	return cmd.Build()
}

func (s *scanner) keep(text string) {
	if s.cfg.Cursor != nil {
		*s.cfg.Cursor = text
	}
}

// runID is the name of a server's process, new at each start.
func runID(ctx context.Context, d rueidis.DedicatedClient) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text, err := d.Do(ctx, d.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok && plain(id) {
			return id, nil
		}
	}
	return "", errors.New("the server's INFO has no run_id, so a cursor could not be told from another server's")
}

package topology

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Config says whom a Watcher asks. All fields are needed but the hooks.
type Config struct {
	Sentinels    []string // host:port
	Name         string   // what the sentinels call the primary
	DialSentinel Dialer
	DialNode     Dialer
	SentinelAuth Auth
	NodeAuth     Auth
	Every        time.Duration // between two questions to the same server
	Timeout      time.Duration // for a question

	// Switched: the primary is now to ("" while there is none). Old
	// connections are cut already.
	Switched func(from, to string)
	// Blind: no sentinel has answered for a second (true), or one does again.
	Blind func(bool)
}

// Watcher follows the primary of a Sentinel deployment: by the sentinels'
// events, by asking them, and by asking the nodes themselves for their role,
// so that a missed event binds nobody to the old primary. The moment a replica
// becomes a primary the connections to the old one are cut.
type Watcher struct {
	cfg  Config
	look chan struct{} // makes the sentinels be asked at once

	mu       sync.Mutex
	current  string // the primary; "" while there is none
	epoch    int64  // Sentinel's, of current
	nodes    map[string]*node
	conns    map[*conn]struct{}
	promoted string        // a replica that became a primary, not yet confirmed by a sentinel
	since    time.Time     // when promoted was seen
	heard    time.Time     // when a sentinel last answered
	blind    bool          // no sentinel answers
	changed  chan struct{} // closed at the next change of current
	known    bool          // a sentinel has answered at least once
	refused  error         // the last answer that was an error
}

// node is a data node.
type node struct {
	role       role
	wasReplica bool
	listed     time.Time // when a sentinel last listed it
	stop       context.CancelFunc
}

// blindAfter is how long no sentinel may answer before the watcher says so,
// and how long a promoted replica waits for a sentinel's word.
const blindAfter = time.Second

// forgetAfter is how long a node is asked that no sentinel lists.
const forgetAfter = 10 * time.Second

// NewWatcher makes a watcher; Run starts it.
func NewWatcher(cfg Config) *Watcher {
	return &Watcher{
		cfg: cfg, look: make(chan struct{}, 1), nodes: map[string]*node{}, conns: map[*conn]struct{}{},
		heard: time.Now(), changed: make(chan struct{}),
	}
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	views := make(chan view)
	for _, addr := range w.cfg.Sentinels {
		work.Go(func() { w.askAgainAndAgain(ctx, addr, views) })
		work.Go(func() { w.hear(ctx, addr) })
	}
	roles := make(chan sighting)
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-views:
			w.viewed(v)
		case s := <-roles:
			w.sighted(s)
		case <-tick.C:
			w.passed()
		}
		w.watchNodes(ctx, &work, roles)
	}
}

// sighting is a node's own word on its role.
type sighting struct {
	addr string
	role role
}

// askAgainAndAgain polls a sentinel.
func (w *Watcher) askAgainAndAgain(ctx context.Context, addr string, views chan<- view) {
	l := &link{addr: addr, dial: w.cfg.DialSentinel, auth: w.cfg.SentinelAuth}
	defer l.close()
	for {
		asked, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
		v, err := askSentinel(asked, l, w.cfg.Name)
		cancel()
		if err == nil {
			select {
			case views <- v:
			case <-ctx.Done():
				return
			}
		} else {
			w.failed(err)
		}
		if !w.pause(ctx) {
			return
		}
	}
}

// pause waits for the time between two questions, or until they are wanted
// at once; false means the end.
func (w *Watcher) pause(ctx context.Context) bool {
	timer := time.NewTimer(w.cfg.Every)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.look:
	case <-ctx.Done():
		return false
	}
	return true
}

// Look makes a sentinel be asked at once, because a reply (READONLY) or a lost
// connection says that something has changed.
func (w *Watcher) Look() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// hear listens to a sentinel's events.
func (w *Watcher) hear(ctx context.Context, addr string) {
	for {
		l := &link{addr: addr, dial: w.cfg.DialSentinel, auth: w.cfg.SentinelAuth}
		_ = listen(ctx, l, w.Look)
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * w.cfg.Every):
		}
	}
}

// watchNodes asks every node that a sentinel lists, each on its own so that a
// frozen one delays no other.
func (w *Watcher) watchNodes(ctx context.Context, work *sync.WaitGroup, roles chan<- sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for addr, n := range w.nodes {
		switch {
		case n.stop == nil:
			var asking context.Context
			asking, n.stop = context.WithCancel(ctx)
			work.Go(func() { w.askNode(asking, addr, roles) })
		case time.Since(n.listed) > forgetAfter && addr != w.current:
			n.stop()
			delete(w.nodes, addr)
		}
	}
}

func (w *Watcher) askNode(ctx context.Context, addr string, roles chan<- sighting) {
	l := &link{addr: addr, dial: w.cfg.DialNode, auth: w.cfg.NodeAuth}
	defer l.close()
	for {
		asked, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
		r, err := askRole(asked, l)
		cancel()
		if err == nil {
			select {
			case roles <- sighting{addr, r}:
			case <-ctx.Done():
				return
			}
		}
		timer := time.NewTimer(w.cfg.Every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// failed notes why a sentinel gave no view.
func (w *Watcher) failed(err error) {
	var refusal replyError
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.As(err, &refusal) || w.refused == nil {
		w.refused = err
	}
}

// viewed takes in what a sentinel says.
func (w *Watcher) viewed(v view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known, w.heard = true, time.Now()
	if w.blind {
		w.blind = false
		w.tell(func() { w.cfg.Blind(false) })
	}
	for _, addr := range append(v.replicas, v.primary) {
		n := w.nodes[addr]
		if n == nil {
			n = &node{}
			w.nodes[addr] = n
		}
		n.listed = time.Now()
	}
	if v.moving {
		return
	}
	said := w.nodes[v.primary]
	switch {
	case w.current == v.primary:
		w.epoch = max(w.epoch, v.epoch)
	case w.epoch == 0 && w.current == "" && w.promoted == "": // the first word there is; the dial asks for the role
		w.move(v.primary, v.epoch)
	case v.epoch > w.epoch && said.role == primary && (said.wasReplica || w.current == ""):
		w.move(v.primary, v.epoch)
	case w.current == "" && v.epoch >= w.epoch && said.role == primary && w.abandoned():
		w.move(v.primary, v.epoch) // the promotion was taken back
	}
}

// abandoned reports whether the replica that became a primary is one no more.
// The mutex is held.
func (w *Watcher) abandoned() bool {
	n := w.nodes[w.promoted]
	return w.promoted == "" || n == nil || n.role == replica
}

// sighted takes in what a node says of itself.
func (w *Watcher) sighted(s sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[s.addr]
	if n == nil {
		return
	}
	before := n.role
	n.role = s.role
	n.wasReplica = n.wasReplica || s.role == replica
	switch {
	case s.addr == w.current && s.role == replica:
		w.depose()
	case before == replica && s.role == primary && s.addr != w.current:
		w.promoted, w.since = s.addr, time.Now()
		w.depose()
	}
}

// depose ends the reign of the present primary. The mutex is held.
func (w *Watcher) depose() {
	if w.current != "" {
		w.move("", w.epoch)
	}
	w.Look()
}

// passed looks at what did not happen.
func (w *Watcher) passed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.blind && time.Since(w.heard) > blindAfter {
		w.blind = true
		w.tell(func() { w.cfg.Blind(true) })
	}
	// No sentinel tells of a promotion that the node itself confirms.
	if n := w.nodes[w.promoted]; w.current == "" && n != nil && n.role == primary && w.blind && time.Since(w.since) > blindAfter {
		w.move(w.promoted, w.epoch)
	}
}

// move changes the primary and cuts what leads elsewhere. The mutex is held.
func (w *Watcher) move(to string, epoch int64) {
	from := w.current
	w.current, w.epoch = to, epoch
	if to != "" {
		w.promoted = ""
	}
	for c := range w.conns {
		if c.addr != to {
			c.cut()
			delete(w.conns, c)
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
	w.tell(func() { w.cfg.Switched(from, to) })
}

// tell calls a hook outside of the mutex, in order of happening per hook is
// not needed: each call carries all there is to know.
func (w *Watcher) tell(hook func()) { go hook() }

// Primary gives the primary's address, and a channel that is closed when it
// changes; ok is false while there is none.
func (w *Watcher) Primary() (addr string, changed <-chan struct{}, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current, w.changed, w.current != ""
}

// Nodes gives the nodes that the sentinels list and whether each says that it
// is a replica.
func (w *Watcher) Nodes() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	nodes := make(map[string]bool, len(w.nodes))
	for addr, n := range w.nodes {
		nodes[addr] = n.role == replica
	}
	return nodes
}

// Blind reports whether no sentinel has answered for a second.
func (w *Watcher) Blind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blind
}

// Await waits for a primary.
func (w *Watcher) Await(ctx context.Context) (string, error) {
	for {
		addr, changed, ok := w.Primary()
		if ok {
			return addr, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.mu.Lock()
			defer w.mu.Unlock()
			return "", &NoPrimaryError{Name: w.cfg.Name, Heard: w.known, Err: w.refused}
		}
	}
}

// NoPrimaryError says that there is no primary to connect to.
type NoPrimaryError struct {
	Name  string
	Heard bool  // a sentinel has answered at some time
	Err   error // the last failure to ask one
}

func (e *NoPrimaryError) Error() string {
	switch {
	case e.Heard:
		return "Sentinel has no primary called " + e.Name + " at this moment; a failover is under way"
	case e.Err != nil:
		return "no sentinel could be asked for the primary called " + e.Name + ": " + e.Err.Error()
	default:
		return "no sentinel has answered yet"
	}
}
func (e *NoPrimaryError) Unwrap() error { return e.Err }

// Timeout is false. With Temporary it makes this a net.Error: to a caller it is
// a connection that cannot be had at this moment.
func (e *NoPrimaryError) Timeout() bool { return false }

// Temporary is true.
func (e *NoPrimaryError) Temporary() bool { return true }

// conn is a connection to a data node that can be cut.
type conn struct {
	net.Conn
	addr  string
	watch *Watcher
}

// cut ends the connection at once: what is in flight fails, and the peer is
// told nothing that it would have to wait for.
func (c *conn) cut() {
	raw := c.Conn
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok { // under TLS
		raw = t.NetConn()
	}
	if t, ok := raw.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = raw.Close()
}

func (c *conn) Close() error {
	c.watch.mu.Lock()
	delete(c.watch.conns, c)
	c.watch.mu.Unlock()
	return c.Conn.Close()
}

// DialPrimary connects to the primary, and fails at once when there is none,
// or when the node there does not say that it is one.
func (w *Watcher) DialPrimary(ctx context.Context) (net.Conn, error) {
	addr, _, ok := w.Primary()
	if !ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		return nil, &NoPrimaryError{Name: w.cfg.Name, Heard: w.known, Err: w.refused}
	}
	l := &link{addr: addr, dial: w.cfg.DialNode, auth: w.cfg.NodeAuth}
	answer, err := l.ask(ctx, "ROLE")
	if err != nil {
		l.close()
		w.Look()
		return nil, err
	}
	if roleOf(answer) != primary {
		l.close()
		w.Look()
		return nil, &NoPrimaryError{Name: w.cfg.Name, Heard: true}
	}
	if err := l.conn.SetDeadline(time.Time{}); err != nil {
		l.close()
		return nil, err
	}
	c := &conn{Conn: l.conn, addr: addr, watch: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != addr {
		c.cut()
		return nil, &NoPrimaryError{Name: w.cfg.Name, Heard: true}
	}
	w.conns[c] = struct{}{}
	return c, nil
}

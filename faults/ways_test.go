package faults

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// way is a member's way to a server. It knows on which connections the server
// tells of keys that have changed, and fails them apart from the others.
type way struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu        sync.Mutex
	open      map[*passage]bool
	released  chan struct{} // closed: nothing is held
	armed     bool          // the next message is cut in two
	closed    bool
	cuts      int // connections cut
	halves    int // in the middle of a message
	heldBytes int
}

// passage is one connection. What follows client and server is guarded by the
// way's mutex.
type passage struct {
	client, server net.Conn
	tracking       bool
	gone           chan struct{}
	once           sync.Once
}

func (c *passage) cut() {
	c.once.Do(func() {
		close(c.gone)
		c.client.Close()
		c.server.Close()
	})
}

func newWay(t *testing.T, target string) *way {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{listener: l, target: target, open: map[*passage]bool{}, released: make(chan struct{})}
	close(w.released)
	w.work.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *way) url() string { return "redis://" + w.listener.Addr().String() }

func (w *way) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			client.Close()
			continue
		}
		c := &passage{client: client, server: server, gone: make(chan struct{})}
		w.mu.Lock()
		w.open[c] = true
		closed := w.closed
		w.mu.Unlock()
		if closed {
			c.cut()
		}
		w.work.Go(func() {
			_, _ = io.Copy(c.server, watched{c, w})
			c.cut()
		})
		w.work.Go(func() {
			w.tell(c)
			c.cut()
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.open, c)
		})
	}
}

// watched is the client's side of a passage, which notes what it is used for.
type watched struct {
	*passage

	way *way
}

func (s watched) Read(b []byte) (int, error) {
	n, err := s.client.Read(b)
	if bytes.Contains(b[:n], []byte("TRACKING")) {
		s.way.mu.Lock()
		s.tracking = true
		s.way.mu.Unlock()
	}
	return n, err
}

// tell passes on what the server says.
func (w *way) tell(c *passage) {
	b := make([]byte, 1<<16)
	for {
		n, err := c.server.Read(b)
		if err != nil {
			return
		}
		w.mu.Lock()
		released := w.released
		half := -1
		if c.tracking {
			if half = bytes.Index(b[:n], []byte("invalidate")); half >= 0 && w.armed {
				w.armed = false
				w.halves++
			} else {
				half = -1
			}
			select {
			case <-released:
			default:
				w.heldBytes += n
			}
		}
		tracking := c.tracking
		w.mu.Unlock()
		if half >= 0 {
			_, _ = c.client.Write(b[:half+len("inval")])
			return
		}
		if tracking {
			select {
			case <-released:
			case <-c.gone:
				return
			}
		}
		if _, err := c.client.Write(b[:n]); err != nil {
			return
		}
	}
}

// cut ends the connections that track, or all others.
func (w *way) cut(tracking bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		if c.tracking == tracking {
			c.cut()
			n++
		}
	}
	w.cuts += n
	return n
}

// hold keeps back what the server says on the connections that track, until the
// release.
func (w *way) hold() (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(chan struct{})
	w.released = held
	return func() { close(held) }
}

// arm lets the next message end in its middle, and its connection with it.
func (w *way) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

// done is what was cut in a message, and how many bytes were held.
func (w *way) done() (halves, heldBytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.halves, w.heldBytes
}

func (w *way) close() {
	w.listener.Close()
	w.mu.Lock()
	w.closed = true
	for c := range w.open {
		c.cut()
	}
	w.mu.Unlock()
	w.work.Wait()
}

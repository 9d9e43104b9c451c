package source

import "sync"

// Hold catches the next load of one key: it tells when that load has read its row, and keeps it from returning until
// Release. So a slow load, which in production is a matter of luck, can be had on purpose.
type Hold struct {
	read, released, returned chan struct{}
	release                  sync.Once
	source                   *Source
	key                      string
}

// Hold arms a hold for the next load of the key, in place of an earlier one that caught nothing.
func (s *Source) Hold(key string) *Hold {
	h := &Hold{
		read: make(chan struct{}), released: make(chan struct{}), returned: make(chan struct{}),
		source: s, key: key,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[key] = h
	return h
}

// Read is closed once the load has read its row: what is written from then on it does not see.
func (h *Hold) Read() <-chan struct{} { return h.read }

// Returned is closed when the load goes back to its caller.
func (h *Hold) Returned() <-chan struct{} { return h.returned }

// Release lets the load go; further calls do nothing.
func (h *Hold) Release() { h.release.Do(func() { close(h.released) }) }

// Drop releases the load, and disarms the hold if it has caught none.
func (h *Hold) Drop() {
	h.source.mu.Lock()
	if h.source.holds[h.key] == h {
		delete(h.source.holds, h.key)
	}
	h.source.mu.Unlock()
	h.Release()
}

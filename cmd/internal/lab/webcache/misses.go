package webcache

import (
	"sync"
	"time"
)

// misses is why reads of the replay found nothing in the cache.
type misses struct {
	// First: the key had not been read before.
	First int `json:"first_read"`
	// Written: the row had been changed and the key invalidated.
	Written int `json:"after_write"`
	// Outage: the server was away, or had lost what it held.
	Outage int `json:"outage"`
	// Rarely: the value came to its end, and its key had not been read in every window before that.
	Rarely int `json:"read_rarely"`
	// Often: it came to its end although its key had been read at least once in every window.
	Often int `json:"read_often"`
}

// cause is one of them.
type cause int

const (
	first cause = iota
	written
	outage
	rarely
	often
)

// afterFault is how long after the end of a fault a miss may still be its doing.
const afterFault = time.Second

// life is a key as its readers see it: cached, or not and why.
type life struct {
	cached bool
	known  bool          // it was read before
	why    cause         // why it is not cached, or was not before it was
	until  time.Time     // a hit that began before says nothing: it may have looked before the value went
	since  time.Time     // where it is cached: when it was first found
	last   time.Time     // when a read last began
	gap    time.Duration // the longest between two of them
}

// census finds out why reads miss, from what readers and the writer see: it knows nothing of how a recipe works. It is safe
// for use by many goroutines.
type census struct {
	window time.Duration // a key is read often while no gap between its reads is longer
	ttl    time.Duration

	mu       sync.Mutex
	lives    []life
	from, to time.Time // of the fault, zero where it has not come or not gone
	misses   misses
	ends     int          // how often the value of a key that was read often came to its end, at least
	seldom   map[int]bool // the keys that were missed because they were read rarely
	steady   map[int]bool // the keys that were read often to the end of a value
}

func newCensus(keys int, window, ttl time.Duration) *census {
	return &census{window: window, ttl: ttl, lives: make([]life, keys), seldom: map[int]bool{}, steady: map[int]bool{}}
}

// read notes a read that ended now without an error. A stale value counts as cached where it came from the server.
func (c *census) read(key int, began time.Time, from origin, stale bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lives[key]
	defer func() { l.known = true }()
	if from != fromSource {
		switch {
		case l.cached:
			l.gap = max(l.gap, began.Sub(l.last))
			if began.After(l.last) {
				l.last = began
			}
		case began.After(l.until) && (!stale || from != fromNear):
			*l = life{cached: true, why: l.why, since: began, last: began}
		}
		return
	}
	now := time.Now()
	late := l.cached && began.Before(l.since) // it looked before the value came, and waited for it
	switch {
	case late:
	case l.cached:
		l.gap = max(l.gap, began.Sub(l.last))
		why := rarely
		switch {
		case c.away(l.since, now):
			why = outage
		case l.gap <= c.window:
			why = often
		}
		c.end(key, now, why)
	case l.known && c.away(now, now):
		l.why = outage
	}
	if !late {
		l.until = now
	}
	switch l.why {
	case first:
		c.misses.First++
	case written:
		c.misses.Written++
	case outage:
		c.misses.Outage++
	case rarely:
		c.misses.Rarely++
		c.seldom[key] = true
	case often:
		c.misses.Often++
	}
}

// away tells whether what began and ended at these times may have met the fault.
func (c *census) away(began, ended time.Time) bool {
	return !c.from.IsZero() && ended.After(c.from) && (c.to.IsZero() || began.Before(c.to.Add(afterFault)))
}

// end closes the life of a cached value. A value lives for at most its TTL, so one that was found for longer was replaced
// ahead of its end at least that often.
func (c *census) end(key int, now time.Time, why cause) {
	l := &c.lives[key]
	if l.gap <= c.window {
		ends := int(l.last.Sub(l.since) / c.ttl)
		if why == often {
			ends++
		}
		if ends > 0 {
			c.ends += ends
			c.steady[key] = true
		}
	}
	*l = life{known: true, why: why, until: now}
}

// invalidating notes that a key is about to be invalidated; the function it returns, that this is done.
func (c *census) invalidating(key int) (done func()) {
	gone := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch l := &c.lives[key]; {
		case l.cached:
			c.end(key, time.Now(), written)
		case l.known:
			l.why, l.until = written, time.Now()
		}
	}
	gone()
	return gone
}

// fault notes that the fault begins, or is over.
func (c *census) fault(over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if over {
		c.to = time.Now()
	} else {
		c.from = time.Now()
	}
}

// close ends all lives, and the count.
func (c *census) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.lives {
		if c.lives[key].cached {
			c.end(key, time.Now(), first)
		}
	}
}

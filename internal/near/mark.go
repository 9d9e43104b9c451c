package near

import (
	"slices"
	"strings"
	"time"

	"github.com/redstart-go/redstart/internal/wake"
)

// Mark is set before a key is read, so that a change of the key in between is
// noticed. Keep, or Drop, must follow: until then the key gets no other mark.
// What follows after the first of them does nothing.
type Mark[K comparable, V any] struct {
	tier    *Tier[K, V]
	id      K
	key     string
	session *wake.Session // nil: no tracking
	life    *life
	born    int64
	labels  []label
	dirty   bool // guarded by the shard's mutex
}

// Mark sets a mark for a read of key. Nil: do not keep what it gives. Session
// says where to read.
func (t *Tier[K, V]) Mark(id K, key string) *Mark[K, V] {
	session, l := t.at(key)
	if l == nil {
		return nil
	}
	m := &Mark[K, V]{tier: t, id: id, key: key, session: session, life: l, born: t.Now()}
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks[key] != nil {
		return nil
	}
	s.marks[key] = m
	return m
}

// Session is the connection over which the key must be read, nil for any: then
// nothing tells of changes but their writers, and the value is kept for
// MaxStale at most.
func (m *Mark[K, V]) Session() *wake.Session { return m.session }

// at gives the session for a key and how long it is alive; none while it is
// silent, or neither there nor refused, or would not tell of the key.
func (t *Tier[K, V]) at(key string) (*wake.Session, *life) {
	if len(t.cfg.Prefixes) > 0 && !slices.ContainsFunc(t.cfg.Prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
		return nil, nil
	}
	if s := t.sessions.Of(key); s != nil {
		t.mu.Lock()
		l := t.lives[s]
		t.mu.Unlock()
		if l == nil || l.over(t.Now()) {
			return nil, nil
		}
		return s, l
	}
	if t.sessions.Refused(key) {
		return nil, t.channel.life()
	}
	return nil, nil
}

// Label makes the item depend on another key as well, whose value is about to
// be read over the session that it gives, nil for any. False: it cannot; do not
// keep the item.
func (m *Mark[K, V]) Label(key string) (*wake.Session, bool) {
	session, l := m.tier.at(key)
	if l == nil || (session == nil) != (m.session == nil) {
		return nil, false
	}
	s := m.tier.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[key]
	if c == nil {
		if len(s.cells) >= maxCells {
			s.clearCells()
		}
		c = &cell{}
		s.cells[key] = c
	}
	m.labels = append(m.labels, label{cell: c, seen: c.changes.Load(), life: l})
	return session, true
}

// maxCells bounds the keys, other than entries', that a shard remembers. Beyond
// it what depends on them is given up.
const maxCells = 1024

// clearCells gives up what depends on any of them. The mutex is held.
func (s *shard[K, V]) clearCells() {
	for key, c := range s.cells {
		c.changes.Add(1)
		delete(s.cells, key)
	}
}

// Keep stores what was read, for ttl at most, unless the key has changed
// meanwhile. Zero: as long as nobody tells. (PTTL rounds down: its 0 is a
// millisecond, not that.)
func (m *Mark[K, V]) Keep(v V, absent bool, ttl time.Duration, due int64) {
	t := m.tier
	it := &Item[V]{Value: v, Absent: absent, Due: due, key: m.key, born: m.born, until: 1<<63 - 1, life: m.life, labels: m.labels}
	if m.session == nil {
		it.until = m.born + int64(t.cfg.MaxStale)
	}
	if ttl > 0 {
		it.until = min(it.until, m.born+int64(ttl))
	}
	s := t.shard(m.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks[m.key] != m {
		return
	}
	delete(s.marks, m.key)
	if m.dirty || m.life.over(t.Now()) {
		t.stats.refused.Add(1)
		return
	}
	t.entries.Set(m.id, it)
	s.held[m.key] = held[K, V]{m.id, it}
}

// Drop takes the mark back: there is nothing to keep.
func (m *Mark[K, V]) Drop() {
	s := m.tier.shard(m.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks[m.key] == m {
		delete(s.marks, m.key)
	}
}

// Forget removes a key that this process has written, or tried to: to be called
// before the writer is answered.
func (t *Tier[K, V]) Forget(key string) { t.change(key) }

// change notes that a key has, or may have, another value; held says whether
// there was anything to remove.
func (t *Tier[K, V]) change(key string) (held bool) {
	t.outdated(key)
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.marks[key]; m != nil {
		m.dirty = true
	}
	if c := s.cells[key]; c != nil {
		c.changes.Add(1)
		delete(s.cells, key) // who depends on it knows the cell
	}
	h, held := s.held[key]
	if held {
		delete(s.held, key)
		t.entries.Invalidate(h.id)
	}
	return held
}

// told takes in what the server, or another writer, tells.
func (t *Tier[K, V]) told(keys []string, all bool) {
	if all {
		t.giveUp(nil)
		return
	}
	for _, key := range keys {
		if t.change(key) {
			t.stats.pushed.Add(1)
		}
	}
}

// giveUp gives up what has a life, everything for nil.
func (t *Tier[K, V]) giveUp(l *life) {
	t.stats.flushed.Add(1)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, m := range s.marks {
			m.dirty = m.dirty || l == nil || m.life == l
		}
		if l == nil {
			s.clearCells()
		}
		for key, h := range s.held {
			if l == nil || h.item.life == l {
				delete(s.held, key)
				t.entries.Invalidate(h.id)
				t.remember(h.item)
			}
		}
		s.mu.Unlock()
	}
}

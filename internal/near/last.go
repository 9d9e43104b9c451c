package near

import (
	"sync"
	"time"
)

// last is what was given up because nobody could tell of it any more, for as
// long as nobody can: the server is away, and an older value may be better than
// none.
type last[K comparable, V any] struct {
	mu    sync.Mutex
	items map[string]*Item[V]
}

// Last gives what stood at key when the connection to its server was lost, and
// how long ago it was asked for. It may be older than a change of which nobody
// could tell; of changes told before the loss, and of this process's own, it is
// not. (A FLUSHALL counts as told a quarter of MaxStale later.) Nothing without
// Config.Remember, and nothing once a server answers again.
func (t *Tier[K, V]) Last(key string) (it *Item[V], age time.Duration, ok bool) {
	t.last.mu.Lock()
	defer t.last.mu.Unlock()
	if it, ok = t.last.items[key]; ok {
		age = t.Age(it)
	}
	return it, age, ok
}

// remember keeps an item that is given up. The shard's mutex is held.
func (t *Tier[K, V]) remember(it *Item[V]) {
	if !t.cfg.Remember || it.labels != nil { // what else it depended on nobody could tell
		return
	}
	t.last.mu.Lock()
	defer t.last.mu.Unlock()
	if t.last.items == nil {
		t.last.items = map[string]*Item[V]{}
	}
	t.last.items[it.key] = it
}

// outdated drops what is remembered of a key that has changed.
func (t *Tier[K, V]) outdated(key string) {
	if !t.cfg.Remember {
		return
	}
	t.last.mu.Lock()
	defer t.last.mu.Unlock()
	delete(t.last.items, key)
}

// answered drops all of it: a server is there.
func (t *Tier[K, V]) answered() {
	if !t.cfg.Remember {
		return
	}
	t.last.mu.Lock()
	defer t.last.mu.Unlock()
	t.last.items = nil
}

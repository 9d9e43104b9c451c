package limit

import (
	"hash/maphash"
	"sync"
)

// shards is by how many locks a bounded map is divided.
const shards = 32

// bounded is a map from ids that never holds more than some number of them.
// What it forgets costs accuracy or a round trip, never a promise.
type bounded[V any] struct {
	seed  maphash.Seed
	most  int // ids in a shard
	parts [shards]part[V]
}

type part[V any] struct {
	mu  sync.Mutex
	ids map[string]V
	gen uint64 // grows when something is ended, see end
	_   [40]byte
}

// newBounded makes a map of at most n ids, roughly.
func newBounded[V any](n int) *bounded[V] {
	b := &bounded[V]{seed: maphash.MakeSeed(), most: (n + shards - 1) / shards}
	for i := range b.parts {
		b.parts[i].ids = map[string]V{}
	}
	return b
}

func (b *bounded[V]) part(id string) *part[V] {
	return &b.parts[maphash.String(b.seed, id)%shards]
}

// get gives what is known of an id, and the generation for put.
func (b *bounded[V]) get(id string) (v V, gen uint64, ok bool) {
	p := b.part(id)
	p.mu.Lock()
	v, ok = p.ids[id]
	gen = p.gen
	p.mu.Unlock()
	return v, gen, ok
}

// put keeps v for an id, unless something was ended since the generation was
// read.
func (b *bounded[V]) put(id string, v V, gen uint64) {
	p := b.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gen == gen {
		p.store(id, v, b.most)
	}
}

// create gives what is known of an id, made by first if that is nothing.
func (b *bounded[V]) create(id string, first func() V) V {
	p := b.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.ids[id]
	if !ok {
		v = first()
		p.store(id, v, b.most)
	}
	return v
}

// store makes room by forgetting any id, which the map's own order makes a
// random one.
func (p *part[V]) store(id string, v V, most int) {
	if _, ok := p.ids[id]; !ok && len(p.ids) >= most {
		for other := range p.ids {
			delete(p.ids, other)
			break
		}
	}
	p.ids[id] = v
}

// drop forgets an id.
func (b *bounded[V]) drop(id string) {
	p := b.part(id)
	p.mu.Lock()
	delete(p.ids, id)
	p.mu.Unlock()
}

// end forgets an id, and what is about to be put that was learned before now.
func (b *bounded[V]) end(id string) {
	p := b.part(id)
	p.mu.Lock()
	delete(p.ids, id)
	p.gen++
	p.mu.Unlock()
}

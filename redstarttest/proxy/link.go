package proxy

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Direction is one way through a Proxy, or both.
type Direction uint8

// The directions. They may be joined with |.
const (
	ToServer Direction = 1 << iota // from the client to the server: requests
	ToClient                       // from the server to the client: replies and pushes

	BothWays = ToServer | ToClient
)

// linkMaxQueued is how many bytes of one direction of one connection wait in memory, behind a delay or a black hole,
// before the proxy stops reading: then the sender's socket fills up, as it would on a real network.
const linkMaxQueued = 16 << 20

// weather is what holds for every connection; it is replaced as a whole, never changed.
type weather struct {
	delay  [2]time.Duration // to the server, to the client
	jitter time.Duration    // each frame is delayed by up to this much more
	seed   uint64
	hole   Direction // bytes wait
	drop   Direction // bytes are lost
}

func (d Direction) index() int { return int(d>>1) & 1 }

// proxyLink carries bytes one way on one connection, in order. Bytes are queued by push, which never blocks, and
// written either by flush, in the goroutine that pushed them (the fast way: no hand-over), or by the link's own
// pump, when there is a delay, a black hole, or someone who must not block.
type proxyLink struct {
	p      *Proxy
	way    Direction // ToServer or ToClient
	id     uint64    // of the connection: picks the jitter's sequence
	finish func()    // called by the pump after the last byte has gone
	done   <-chan struct{}
	kick   chan struct{}

	mu      sync.Mutex
	room    sync.Cond // queued has fallen, or the link is dead
	dst     net.Conn
	queue   []linkChunk
	queued  int
	random  *rand.Rand
	spare   []byte
	writing bool // someone writes outside the lock
	ended   bool // nothing will be pushed any more
	muted   bool // what is pushed is swallowed
	lost    bool // bytes were dropped: the stream cannot go on, and all that follows is dropped as well
	dead    bool // the other end is gone
}

type linkChunk struct {
	due  time.Time // zero: at once; in any case not before the chunks in front
	data []byte
}

func newProxyLink(p *Proxy, way Direction, done <-chan struct{}, finish func()) *proxyLink {
	l := &proxyLink{p: p, way: way, finish: finish, done: done, kick: make(chan struct{}, 1)}
	l.room.L = &l.mu
	return l
}

// push queues a copy of b. It never blocks; flush or wake must follow.
func (l *proxyLink) push(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || l.ended || l.muted || len(b) == 0 {
		return
	}
	w := l.p.weather.Load()
	if l.lost || w.drop&l.way != 0 {
		l.lost = true
		l.p.faults.droppedBytes.Add(int64(len(b)))
		return
	}
	if w.hole&l.way != 0 {
		l.p.faults.heldBytes.Add(int64(len(b)))
	}
	var due time.Time
	if d := w.delay[l.way.index()]; d > 0 || w.jitter > 0 {
		due = time.Now().Add(d + l.jitter(w))
		l.p.faults.delayed.Add(1)
	}
	l.queued += len(b)
	if len(l.queue) > 0 {
		if last := &l.queue[len(l.queue)-1]; last.due.Equal(due) {
			last.data = append(last.data, b...)
			return
		}
	}
	l.queue = append(l.queue, linkChunk{due, append(l.spare, b...)})
	l.spare = nil
}

// jitter draws from a sequence that depends only on the seed, the connection's number and the direction.
func (l *proxyLink) jitter(w *weather) time.Duration {
	if w.jitter <= 0 {
		return 0
	}
	if l.random == nil {
		l.random = rand.New(rand.NewPCG(w.seed, l.id<<1|uint64(l.way.index())))
	}
	return time.Duration(l.random.Int64N(int64(w.jitter)))
}

// reseed begins the jitter's sequence anew.
func (l *proxyLink) reseed() {
	l.mu.Lock()
	l.random = nil
	l.mu.Unlock()
}

// take hands out what is to be written now; the caller must then call write. With nothing to write it says how long
// to wait for the next chunk (0: until something changes), or that the link is finished.
func (l *proxyLink) take() (data []byte, wait time.Duration, finished bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.p.weather.Load()
	if l.writing || (w.hole|w.drop)&l.way != 0 && !l.dead {
		return nil, 0, false
	}
	if len(l.queue) == 0 {
		return nil, 0, l.ended && !l.lost
	}
	var now time.Time
	n := 0
	for ; n < len(l.queue); n++ {
		if due := l.queue[n].due; !due.IsZero() {
			if now.IsZero() {
				now = time.Now()
			}
			if wait = due.Sub(now); wait > 0 {
				break
			}
		}
		if n == 0 {
			data = l.queue[0].data
		} else {
			data = append(data, l.queue[n].data...)
		}
	}
	if n == 0 {
		return nil, wait, false
	}
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	l.writing = true
	return data, 0, false
}

// write writes what take handed out.
func (l *proxyLink) write(data []byte) {
	_, err := l.dst.Write(data)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	l.queued -= len(data)
	if cap(data) <= wireKeep {
		l.spare = data[:0]
	}
	if err != nil {
		l.dead = true
		l.queue, l.queued = nil, 0
	}
	l.room.Broadcast()
}

// flush writes what may be written now, and blocks as long as the other end does not read or too much is queued.
func (l *proxyLink) flush() {
	for {
		data, _, _ := l.take()
		if data == nil {
			break
		}
		l.write(data)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 || l.ended {
		l.wake() // it may have looked while this goroutine was writing
	}
	for l.queued > linkMaxQueued && !l.dead {
		l.room.Wait()
	}
}

// wake lets the pump look again.
func (l *proxyLink) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// end says that nothing more will come; the end reaches the other side after the bytes before it.
func (l *proxyLink) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wake()
}

// mute swallows everything that is pushed from now on.
func (l *proxyLink) mute() {
	l.mu.Lock()
	l.muted = true
	l.mu.Unlock()
}

// kill is called when the connection has been closed: what is queued is lost.
func (l *proxyLink) kill() {
	l.mu.Lock()
	l.dead = true
	l.queue, l.queued = nil, 0
	l.room.Broadcast()
	l.mu.Unlock()
}

func (l *proxyLink) lostBytes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// pump writes what nobody else writes, until the link is finished or the connection is closed.
func (l *proxyLink) pump() {
	for {
		data, wait, finished := l.take()
		switch {
		case data != nil:
			l.write(data)
			continue
		case finished:
			l.finish()
			return
		}
		var due <-chan time.Time
		var timer *time.Timer
		if wait > 0 {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-l.kick:
		case <-due:
		case <-l.done:
		}
		if timer != nil {
			timer.Stop()
		}
		select {
		case <-l.done:
			return
		default:
		}
	}
}

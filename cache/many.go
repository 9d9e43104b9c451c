package cache

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/flight"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/turns"
)

// Got is what GetMany has for one id.
type Got[V any] struct {
	Entry[V]
	// Err is what Get would have said of the id: ErrNotFound when there is
	// none.
	Err error
}

// Errors says of a call on many ids which have failed, and how; errors.As finds
// it, errors.Is looks at each. What a LoadMany that returns it bare does not
// list is taken from its map as if there had been no error.
type Errors[K comparable] = source.Errors[K]

// GetMany gives what Get gives for each of ids, in their order. The error is an
// [Errors] with those that failed; an id that does not exist has not. An id may
// occur more than once.
//
// Hits cost one MGET for every 1,000 ids, in a cluster a GET each, with what Get
// asks beside a GET (each tag's stamp once), all in one round trip a node for up
// to 1,000 commands. What is missing is claimed in another round trip, loaded by
// one call of Config.LoadMany for exactly what this call has claimed, each id
// once, and stored in a third. What another caller loads, in this process or in
// another one, is waited for; what one LoadMany loads is waited for as one. Each
// id's lease, entry and failure are its own: an invalidation of one stops that
// one from being stored. What is past its TTL and kept by Config.StaleFor is for
// Load, as Get has it, Config.Loads at a time.
//
// A panic of LoadMany is raised in the caller whose ids it was to load, once
// everything else has ended; it is ErrPanic to those who waited for them. What
// is not to be cached (values beyond MaxBytes) is loaded by Load, Config.Loads
// at a time. While the server is away all that is wanted is loaded by one call
// of LoadMany, which takes one of the places of redstart.Config.OutageLoads.
func (c *Cache[K, V]) GetMany(ctx context.Context, ids []K) ([]Got[V], error) {
	m := c.many(ctx, ids)
	m.run()
	m.loadAway()
	m.loadStale()
	m.each(len(m.alone), func(j int) {
		i := m.alone[j]
		v, err := c.direct(ctx, m.keys[i], ids[i])
		m.got[i] = Got[V]{sourced(v), err}
	})
	return m.got, m.failures()
}

// many is a GetMany under way. Ids are known by their place among ids.
type many[K comparable, V any] struct {
	*Cache[K, V]
	ctx    context.Context
	ids    []K
	keys   []string
	labels [][]stamp.Label // of each; nil where no id tells any
	got    []Got[V]
	hits   []bool // for Warm: who was cached already; it wants nothing that is not cached

	lists sync.Mutex
	open  []int // to be looked at
	moved []int // their slots are on their way, as astray says
	stale []int // an old value is there: each is to be read alone
	alone []int // not to be cached for now: each is to be loaded alone
	away  []int // the server cannot serve them

	cause, astray error // why those are away, and those moved
}

// lack is an id that is not cached.
type lack struct {
	at      int
	replace []byte // what stands in its place; nil for nothing
}

func (c *Cache[K, V]) many(ctx context.Context, ids []K) *many[K, V] {
	return &many[K, V]{Cache: c, ctx: ctx, ids: ids, got: make([]Got[V], len(ids))}
}

// run brings every id to its end, but for those that are not to be cached.
func (m *many[K, V]) run() {
	m.open = make([]int, len(m.ids))
	for i := range m.open {
		m.open[i] = i
	}
	if m.near != nil {
		m.open = m.lookNear(m.open)
	}
	m.keys = m.key.All(m.ids, m.open, func(i int, err error) { m.got[i].Err = m.failRead("get", "", err) })
	if m.cfg.Tags != nil || m.cfg.Clearable {
		m.labels = make([][]stamp.Label, len(m.ids))
	}
	m.open = slices.DeleteFunc(m.open, func(i int) bool {
		k := m.keys[i]
		if k == "" || m.labels == nil {
			return k == ""
		}
		var err error
		if m.labels[i], err = m.terms.Known(m.ids[i]); err != nil {
			m.got[i].Err = m.failRead("get", k, err)
		}
		return err != nil
	})
	pauses := m.pauses()
	for again, most := 0, maxAgain; len(m.open) > 0; again++ {
		slices.Sort(m.open)
		lacking := m.look(m.open, again)
		m.open = m.open[:0]
		if again < most {
			m.board(lacking)
		} else {
			for _, l := range lacking {
				m.alone = append(m.alone, l.at)
			}
		}
		if len(m.moved) == 0 {
			continue
		}
		if pauses.Again(m.ctx, &m.astray) {
			m.open, most = append(m.open, m.moved...), most+1
		} else {
			for _, i := range m.moved {
				m.got[i].Err = m.failRead("get", m.keys[i], m.astray)
			}
		}
		m.moved = m.moved[:0]
	}
}

// look reads what is open, and gives what is not there.
func (m *many[K, V]) look(open []int, again int) (lacking []lack) {
	hits := uint64(0)
	from := m.reader
	if again > 0 {
		from = from.Over(m.client)
	}
	if m.near != nil && again > 0 {
		open = m.lookNear(open)
	}
	rest := open
	counted := func(i int) {
		hits++
		if m.hits != nil && again == 0 {
			m.hits[i] = true
		}
	}
	tell := func(i int, r *entry.Reply, err error) {
		g := &m.got[i]
		if v, ok := m.form.Simple(r); ok {
			g.Value, g.Age, g.Tier = v, -1, TierRedis
			counted(i)
			return
		}
		if err == nil {
			err = r.Err
		}
		switch {
		case err == nil:
		case entry.Moving(err):
			m.moved, m.astray = append(m.moved, i), err
			return
		case m.ctx.Err() == nil && redstart.Away(err):
			m.isAway(i, err)
			return
		default:
			g.Err = m.failRead("get", m.keys[i], err)
			return
		}
		seen, verdict := m.form.Read(r, false)
		switch verdict {
		case entry.Hit:
			g.Entry = cached(&seen, false)
			if m.cfg.Refresh.on() {
				m.consider(m.ctx, m.keys[i], m.ids[i], &seen)
			}
		case entry.Absent:
			g.Err = ErrNotFound
		case entry.Stale:
			if seen.Resting() {
				m.stats.stale.Add(1)
				g.Entry = cached(&seen, true)
			} else {
				m.stale = append(m.stale, i)
			}
			return
		case entry.Failed:
			m.stats.loadErrors.Add(1)
			g.Err = m.failRead("get", m.keys[i], ErrLoad)
			return
		case entry.Bypass:
			m.alone = append(m.alone, i)
			return
		default:
			lacking = append(lacking, lack{i, seen.Replace})
			return
		}
		counted(i)
	}
	if m.near != nil {
		rest = m.near.Many(m.ctx, m.ids, m.keys, open, m.labels, tell)
		slices.Sort(rest)
	}
	if len(rest) > 0 {
		from.Many(m.ctx, m.keys, rest, m.labels, tell)
	}
	m.stats.hits.Add(hits)
	if again == 0 {
		m.stats.misses.Add(uint64(len(lacking)))
	}
	return lacking
}

func (m *many[K, V]) isAway(i int, cause error) {
	m.away, m.cause = append(m.away, i), cause
}

// aboard is a seat that was taken for an id.
type aboard[K comparable, V any] struct {
	seat[K, V]
	at     int // the id's
	ridden flight.Ridden
}

// board takes a seat on each missing id's flight, starts those that there are
// not, and gives what became of it. Without a LoadMany an id is claimed when its
// turn comes.
func (m *many[K, V]) board(lacking []lack) {
	fly := m.flyMany
	if m.cfg.LoadMany == nil {
		if len(lacking) > 1 {
			m.each(len(lacking), func(j int) { m.board(lacking[j : j+1]) })
			return
		}
		fly = func(closing context.Context, g group[K, V]) { m.fly(closing, g[0]) }
	}
	seats := make([]aboard[K, V], len(lacking))
	var mine group[K, V]
	for j, l := range lacking {
		s := &seats[j]
		s.at = l.at
		s.seat = m.flights.Board(m.ctx, m.keys[l.at], subject[K, V]{id: m.ids[l.at], seen: entry.Entry[V]{Replace: l.replace}})
		if !s.Joined {
			mine = append(mine, s.Flight)
		}
	}
	m.stats.joined.Add(uint64(len(seats) - len(mine)))
	m.background(mine, fly)
	for j := range seats {
		seats[j].ridden = seats[j].Ride(m.ctx, 0)
	}
	m.lists.Lock()
	defer m.lists.Unlock()
	for _, s := range seats { // all have ended: one of them may panic
		m.arrive(s)
	}
}

// arrive gives an id what its flight has for it. The lists' mutex is held.
func (m *many[K, V]) arrive(s aboard[K, V]) {
	switch end := s.End(); {
	case s.ridden == flight.Alighted:
		m.got[s.at].Err = m.failRead("get", m.keys[s.at], m.ctx.Err())
	case s.ridden == flight.SentAway:
		m.open = append(m.open, s.at)
	case end.err == nil && end.away != nil:
		m.isAway(s.at, end.away)
	case end.err == nil && end.direct && (s.Joined || end.value == nil || m.hits != nil):
		m.alone = append(m.alone, s.at)
	default:
		v, ok, err := m.leave(m.ctx, s.seat)
		if !ok {
			m.open = append(m.open, s.at)
		}
		m.got[s.at] = Got[V]{sourced(v), err}
	}
}

// each calls do for 0 to n-1, Config.Loads at a time.
func (m *many[K, V]) each(n int, do func(j int)) { turns.Each(n, m.cfg.Loads, do) }

// loadAway loads what the server cannot serve.
func (m *many[K, V]) loadAway() {
	if m.cfg.LoadMany == nil || len(m.away) == 0 {
		m.each(len(m.away), func(j int) {
			i := m.away[j]
			v, err := m.duringOutage(m.ctx, m.keys[i], m.ids[i], m.cause)
			m.got[i] = Got[V]{sourced(v), err}
		})
		return
	}
	places := map[string]int{} // of each key among ids
	var ids []K
	for _, i := range m.away {
		if _, ok := places[m.keys[i]]; !ok {
			places[m.keys[i]] = len(ids)
			ids = append(ids, m.ids[i])
		}
	}
	results := m.loadManyDirect(m.ctx, ids, m.cause)
	for _, i := range m.away {
		r := results[places[m.keys[i]]]
		if p := (*source.Panic)(nil); errors.As(r.Err, &p) {
			panic(p)
		}
		if r.Err == nil && len(ids) < len(m.away) { // an id may occur twice
			r.Result.Value = m.form.Copy(r.Result.Value)
		}
		m.got[i] = Got[V]{sourced(r.Result.Value), m.directError(m.keys[i], r.Err)}
	}
}

// loadStale reads alone what is past its TTL.
func (m *many[K, V]) loadStale() {
	m.each(len(m.stale), func(j int) {
		g := &m.got[m.stale[j]]
		g.Entry, g.Err = m.GetEntry(m.ctx, m.ids[m.stale[j]])
	})
}

// failures gives the ids that failed; nil when there are none.
func (m *many[K, V]) failures() error {
	e := Errors[K]{}
	for i := range m.got {
		if err := m.got[i].Err; err != nil && !errors.Is(err, ErrNotFound) {
			e[m.ids[i]] = err
		}
	}
	return e.OrNil()
}

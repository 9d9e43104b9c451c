package cache

import (
	"context"
	"slices"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/near"
	"github.com/redstart-go/redstart/internal/wake"
)

// lookNear answers what is kept in the process, and gives the rest. (An id that
// is near is not looked for again.)
func (m *many[K, V]) lookNear(open []int) (rest []int) {
	rest = make([]int, 0, len(open))
	for _, i := range open {
		e, found, err := m.nearEntry(m.ids[i])
		if !found {
			rest = append(rest, i)
			continue
		}
		m.got[i] = Got[V]{e, err}
		if m.hits != nil {
			m.hits[i] = true
		}
	}
	return rest
}

// readMany reads the open ids by from; with a near tier over the connections on
// which the server then tells of them, as far as there are such, and keeps what
// it gives.
func (m *many[K, V]) readMany(from *entry.Reader, open []int, tell func(i int, r *entry.Reply, err error)) {
	if m.near == nil {
		m.readSome(m.ctx, from, open, tell)
		return
	}
	marks := map[int]*near.Mark[K, kept[V]]{}
	elsewhere := map[string]*wake.Session{}
	parts := map[*wake.Session][]int{}
	var rest []int
	for _, i := range open {
		if mk := m.mark(m.ids[i], m.keys[i], m.labelsOf(i), elsewhere); mk != nil {
			marks[i] = mk
			parts[mk.Session()] = append(parts[mk.Session()], i)
		} else {
			rest = append(rest, i)
		}
	}
	defer func() { // of what was not told, should a panic end this
		for _, mk := range marks {
			mk.Drop()
		}
	}()
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.Near.MaxStale/4)
	defer cancel() // see fetchNear
	for session, part := range parts {
		m.readSome(ctx, m.reader.Over(m.over(session, elsewhere)), part, func(i int, r *entry.Reply, err error) {
			if session != nil && (err != nil || r.Err != nil) && m.ctx.Err() == nil {
				rest = append(rest, i) // the key has moved, or the session is gone
				return
			}
			if err == nil && r.Err == nil {
				e, v := m.form.Read(r, true)
				m.keep(marks[i], r, &e, v, len(m.labelsOf(i)))
			}
			tell(i, r, err)
		})
	}
	slices.Sort(rest)
	m.readSome(m.ctx, from, rest, tell)
}

// readSome reads the ids whose places are in at, if there are any.
func (m *many[K, V]) readSome(ctx context.Context, from *entry.Reader, at []int, tell func(i int, r *entry.Reply, err error)) {
	if len(at) > 0 {
		from.Many(ctx, m.keys, at, m.labels, tell)
	}
}

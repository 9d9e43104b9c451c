package entry

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/stamp"
)

// together bounds what is read in one round trip, and with it an MGET, for the
// server serves nobody else while it answers one (some 0.2 ms). The size of
// replies is not known before; that of a value is bounded by Config.MaxBytes.
const together = 1000 // commands, and keys

// Many is Fetch for those of keys whose places are in at, which is sorted: tell has the reply to each,
// which it must not keep, or the error. labels are those of each
// key; nil for none.
//
// It is an MGET for every 1,000 and a PTTL each where entries are timed, in a
// cluster a GET each, and a GET for each tag, asked once however many entries
// have it: all in one round trip a node for up to 1,000 commands. What only the
// entries tell is asked for in a second one.
func (d *Reader) Many(ctx context.Context, keys []string, at []int, labels [][]stamp.Label, tell func(i int, r *Reply, err error)) {
	m := many{Reader: d, ctx: ctx, keys: keys, labels: labels, tell: tell}
	m.entries(at)
	m.rest()
}

// Raw gives what stands at keys, and no more.
func (d *Reader) Raw(ctx context.Context, keys []string, tell func(i int, raw []byte, err error)) {
	at := make([]int, len(keys))
	for i := range at {
		at[i] = i
	}
	plain := Reader{Client: d.Client}
	m := many{Reader: &plain, ctx: ctx, keys: keys, tell: func(i int, r *Reply, err error) {
		if err == nil {
			err = r.Err
		}
		tell(i, r.Raw, err)
	}, raw: true}
	m.entries(at)
}

// many is a Many under way.
type many struct {
	*Reader
	ctx    context.Context
	keys   []string
	labels [][]stamp.Label
	tell   func(i int, r *Reply, err error)
	raw    bool // nothing is asked about entries

	commands []rueidis.Completed
	asked    [][]int           // the places of those whose entries each GET or MGET asks for
	tags     []stamp.Label     // for whose stamps this round trip asks
	stamps   map[string]answer // by the tags' names
	pending  []pending
}

// answer is the stamp at a tag's key, or why it is not known.
type answer struct {
	stamp frame.Tag
	err   error
}

// pending is an entry of which more must be asked.
type pending struct {
	at   int
	r    Reply
	late bool // also its time
}

// entries reads what is at keys, and tells what needs no more.
func (m *many) entries(at []int) {
	cluster := m.Client.Mode() == rueidis.ClientModeCluster
	perKey, most := 1, together
	if m.Timed {
		perKey++
	}
	if cluster {
		most = 1
	}
	for len(at) > 0 {
		m.commands, m.asked, m.tags = m.commands[:0], m.asked[:0], m.tags[:0]
		for n := 0; len(at) > 0 && n < together && len(m.commands)+perKey <= together+1; n += len(m.asked[len(m.asked)-1]) {
			some := at[:min(len(at), most)]
			at = at[len(some):]
			m.ask(some, cluster)
		}
		for _, l := range m.tags {
			m.commands = append(m.commands, m.Client.B().Get().Key(l.Key).Build())
		}
		results := m.first(len(m.tags)).DoMulti(m.ctx, m.commands...)
		m.learn(results[len(results)-len(m.tags):])
		for _, some := range m.asked {
			var times []rueidis.RedisResult
			if m.Timed {
				times, results = results[:len(some)], results[len(some):]
			}
			m.answered(some, times, results[0], cluster)
			results = results[1:]
		}
	}
}

// ask adds the questions about some keys.
func (m *many) ask(some []int, cluster bool) {
	b := m.Client.B()
	if m.Timed {
		for _, i := range some {
			m.commands = append(m.commands, b.Pttl().Key(m.keys[i]).Build())
		}
	}
	if cluster { // the client sorts them by their nodes
		m.commands = append(m.commands, b.Get().Key(m.keys[some[0]]).Build())
	} else {
		var names []string
		if first := some[0]; some[len(some)-1]-first == len(some)-1 { // they are sorted
			names = m.keys[first : first+len(some)]
		} else {
			names = make([]string, len(some))
			for j, i := range some {
				names[j] = m.keys[i]
			}
		}
		m.commands = append(m.commands, b.Mget().Key(names...).Build())
	}
	m.asked = append(m.asked, some)
	if m.labels == nil {
		return
	}
	for _, i := range some {
		for _, l := range m.labels[i] {
			m.want(l)
		}
	}
}

// want asks for a stamp, if nobody has.
func (m *many) want(l stamp.Label) {
	if _, ok := m.stamps[l.Name]; ok {
		return
	}
	if m.stamps == nil {
		m.stamps = map[string]answer{}
	}
	m.stamps[l.Name] = answer{}
	m.tags = append(m.tags, l)
}

// learn takes the stamps for which this round trip asked.
func (m *many) learn(results []rueidis.RedisResult) {
	for i, l := range m.tags {
		var a answer
		a.stamp, a.err = standing(l, results[i])
		m.stamps[l.Name] = a
	}
}

// answered takes the answer to one MGET, or GET.
func (m *many) answered(some []int, times []rueidis.RedisResult, res rueidis.RedisResult, cluster bool) {
	var messages []rueidis.RedisMessage
	var failed error
	if !cluster {
		messages, failed = res.ToArray()
	}
	var r Reply
	for j, i := range some {
		r = Reply{Stamps: r.Stamps[:0]}
		err := failed
		switch {
		case err != nil:
		case cluster:
			err = r.entry(res)
		default:
			r.message(&messages[j])
		}
		if err == nil && m.Timed {
			err = r.time(times[j])
		}
		if err == nil && !m.raw {
			var done bool
			if done, err = m.complete(i, &r); !done && err == nil {
				continue
			}
		}
		m.tell(i, &r, err)
	}
}

// message takes an entry of an MGET's answer.
func (r *Reply) message(m *rueidis.RedisMessage) {
	var err error
	if r.Raw, err = m.AsBytes(); err == nil && r.Raw == nil {
		r.Raw = []byte{}
	} else if !rueidis.IsRedisNil(err) {
		r.Err = err
	}
}

// complete adds the stamps that the id tells, and reports whether that is all
// that must be known.
func (m *many) complete(i int, r *Reply) (done bool, err error) {
	if m.labels != nil {
		for _, l := range m.labels[i] {
			if err := m.add(r, l.Name); err != nil {
				return true, err
			}
		}
	}
	if !frame.Tells(r.Raw) {
		return true, nil
	}
	more, late := m.missing(r, func(name string) bool { return r.has(name) })
	if !late && len(more) == 0 {
		return true, nil
	}
	m.pending = append(m.pending, pending{i, *r, late})
	r.Stamps = nil // now its own
	return false, nil
}

func (m *many) add(r *Reply, name string) error {
	a := m.stamps[name]
	r.Stamps = append(r.Stamps, a.stamp)
	return a.err
}

func (r *Reply) has(name string) bool {
	for _, t := range r.Stamps {
		if t.Name == name {
			return true
		}
	}
	return false
}

// rest asks for what only the entries tell: tags, and times.
func (m *many) rest() {
	for all := m.pending; len(all) > 0; {
		m.commands, m.tags = m.commands[:0], m.tags[:0]
		n := 0
		for ; n < len(all) && len(m.commands)+len(m.tags) < together; n++ {
			p := &all[n]
			if p.late {
				m.commands = append(m.commands, m.Client.B().Pttl().Key(m.keys[p.at]).Build())
			}
			more, _ := m.missing(&p.r, p.r.has)
			for _, l := range more {
				m.want(l)
			}
		}
		for _, l := range m.tags {
			m.commands = append(m.commands, m.Client.B().Get().Key(l.Key).Build())
		}
		results := m.later().DoMulti(m.ctx, m.commands...)
		m.learn(results[len(results)-len(m.tags):])
		for i := range all[:n] {
			p := &all[i]
			var err error
			more, late := m.missing(&p.r, p.r.has)
			if late {
				err = p.r.time(results[0])
				results = results[1:]
				p.r.late(true)
			}
			for _, l := range more {
				if bad := m.add(&p.r, l.Name); err == nil {
					err = bad
				}
			}
			m.tell(p.at, &p.r, err)
		}
		all = all[n:]
	}
}

package entry

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Reply is what the server says of an entry.
type Reply struct {
	Raw    []byte // nil for nothing
	Err    error  // the server's own, instead of an entry
	Timed  bool
	Left   time.Duration // what the key has to live, if timed; noEnd, justNow
	Stamps []frame.Tag   // of all tags that were asked for
}

// What PTTL says where there is no time: the key never expires; the key was not
// there yet when its entry was.
const (
	noEnd   = -1 * time.Millisecond
	justNow = -2 * time.Millisecond
)

// Lasts is how long what was read will last, zero for good; ok is false when
// that is not known, or no time at all.
func (e *Entry[V]) Lasts(r *Reply) (d time.Duration, ok bool) {
	switch {
	case !r.Timed || r.Left == justNow:
		return 0, false
	case r.Left == noEnd:
		return 0, true
	case e.Stands > 0 && e.Frame.Block.There: // for no longer than the block, if its writer dies
		return min(e.Left, r.Left), min(e.Left, r.Left) > 0
	case e.Stands > 0:
		return e.Left, e.Left > 0
	default:
		return r.Left, r.Left > 0
	}
}

// unblocked is the reply as it would be without the block.
func (r *Reply) unblocked(b frame.Block) *Reply {
	own := *r
	if !r.Timed || r.Left < 0 {
		return &own
	}
	lives, forGood := b.Outlives(r.Left)
	if own.Left = lives; forGood {
		own.Left = noEnd
	}
	return &own
}

// Reader reads entries, with what is needed to judge them.
type Reader struct {
	Client *redstart.Client
	First  Asker // who is asked first for an entry without tags that its id tells; nil: the Client
	Tags   *stamp.Tags
	Timed  bool // what is left of an entry's time is of use

	always bool // First is asked for everything
}

// first and later are who is asked for an entry, and for stamps.
func (d *Reader) first(labels int) Asker {
	if d.First == nil || labels > 0 && !d.always {
		return d.Client
	}
	return d.First
}

func (d *Reader) later() Asker { return d.first(1) }

// Asker is whom the questions are sent to: a client, or a connection on which
// the server then tells of what was asked for.
type Asker interface {
	Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult
	DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult
}

// Over is a Reader that asks one and the same for everything.
func (d *Reader) Over(a Asker) *Reader {
	over := *d
	over.First, over.always = a, true
	return &over
}

// Fetch reads an entry, with what the cache needs to judge it: the time that
// it has left, and the stamps of its tags, in the same round trip where the id
// tells them (labels), else in a second one. A read is sent again over another
// connection when the first is lost.
//
// The time is asked for before the entry, so that another client's write
// between the two gives a new value and an old time: it may be thought older
// than it is, and be loaded or flagged for nothing, never younger. Only where
// one of the two was sent again later may a value pass for younger, once.
func (d *Reader) Fetch(ctx context.Context, k string, labels []stamp.Label) (r Reply, err error) {
	from := d.first(len(labels))
	if !d.Timed && len(labels) == 0 {
		err = r.entry(from.Do(ctx, d.Client.B().Get().Key(k).Build()))
		if again(ctx, err) {
			err = r.entry(from.Do(ctx, d.Client.B().Get().Key(k).Build()))
		}
	} else {
		err = d.ask(ctx, from, k, d.Timed, true, labels, &r)
	}
	if err != nil || !frame.Tells(r.Raw) {
		return r, err
	}
	more, late := d.missing(&r, func(name string) bool {
		return slices.ContainsFunc(labels, func(l stamp.Label) bool { return l.Name == name })
	})
	if late || len(more) > 0 {
		err = d.ask(ctx, d.later(), k, late, false, more, &r)
		r.late(late)
	}
	return r, err
}

// missing says what else is to be asked about an entry: the stamps of tags that
// nobody has asked for, and its time, if it has one that was not asked for.
func (d *Reader) missing(r *Reply, asked func(name string) bool) (more []stamp.Label, late bool) {
	f, bad := frame.Parse(r.Raw)
	if bad != nil {
		return nil, false
	}
	for name := range f.Meta.Tags() {
		if asked(name) {
			continue
		}
		l, bad := d.Tags.Label(name)
		if bad != nil {
			return nil, false // dead: nothing was asked for it
		}
		more = append(more, l)
	}
	return more, f.Meta.StaleFor > 0 && !r.Timed
}

// late takes an entry for one at its end whose time was asked for after it was
// read, when it was gone.
func (r *Reply) late(late bool) {
	if late && r.Left == justNow {
		r.Left = 0
	}
}

// entry takes the answer to a GET. The error is one that is not the server's.
func (r *Reply) entry(res rueidis.RedisResult) error {
	var err error
	if r.Raw, err = res.AsBytes(); err == nil {
		if r.Raw == nil {
			r.Raw = []byte{}
		}
		r.Err = nil
		return nil
	}
	if lost := res.NonRedisError(); lost != nil {
		return lost
	}
	if r.Raw, r.Err = nil, err; rueidis.IsRedisNil(err) {
		r.Err = nil
	}
	return nil
}

// ask sends the questions together, and again if a connection was lost.
func (d *Reader) ask(ctx context.Context, from Asker, k string, pttl, get bool, labels []stamp.Label, r *Reply) error {
	err := d.askOnce(ctx, from, k, pttl, get, labels, r)
	if again(ctx, err) {
		err = d.askOnce(ctx, from, k, pttl, get, labels, r)
	}
	return err
}

func (d *Reader) askOnce(ctx context.Context, from Asker, k string, pttl, get bool, labels []stamp.Label, r *Reply) error {
	b := d.Client.B()
	commands := make([]rueidis.Completed, 0, 2+len(labels))
	if pttl {
		commands = append(commands, b.Pttl().Key(k).Build())
	}
	if get {
		commands = append(commands, b.Get().Key(k).Build())
	}
	for _, l := range labels {
		commands = append(commands, b.Get().Key(l.Key).Build())
	}
	results := from.DoMulti(ctx, commands...)
	if pttl {
		if err := r.time(results[0]); err != nil {
			return err
		}
		results = results[1:]
	}
	if get {
		if err := r.entry(results[0]); err != nil {
			return err
		}
		results = results[1:]
	}
	had := len(r.Stamps)
	for i, l := range labels {
		tag, err := standing(l, results[i])
		if err != nil {
			r.Stamps = r.Stamps[:had]
			return err
		}
		r.Stamps = append(r.Stamps, tag)
	}
	return nil
}

func (r *Reply) time(res rueidis.RedisResult) error {
	ms, err := res.AsInt64()
	r.Timed, r.Left = err == nil, time.Duration(ms)*time.Millisecond
	return err
}

// standing is the stamp that stands at a tag's key; none is an empty one.
func standing(l stamp.Label, res rueidis.RedisResult) (frame.Tag, error) {
	text, err := res.ToString()
	if rueidis.IsRedisNil(err) {
		err = nil
	}
	return frame.Tag{Name: l.Name, Stamp: text}, err
}

// again reports whether a read that failed is worth another connection.
func again(ctx context.Context, err error) bool {
	return err != nil && redstart.Away(err) && redstart.OutcomeOf(err) == redstart.Unknown && ctx.Err() == nil
}

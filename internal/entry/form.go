// Package entry is what lies at a cache's keys: how it is written, how it is
// read with what stands around it, and what it then means for a reader.
package entry

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/pack"
	"github.com/redstart-go/redstart/internal/schema"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Config says how the entries of a cache look.
type Config[V any] struct {
	Codec     codec.Codec[V]
	Version   int
	Adopt     func(raw []byte) (V, error) // decodes a string that is none of ours; nil: a miss
	MaxBytes  int                         // of an encoded value; zero or less: any number
	Timed     bool                        // entries know their TTL, and reads ask what is left of it
	StaleFor  time.Duration               // for which a value stands beyond its TTL
	Packing   frame.Packing
	PackAbove int         // from how many bytes on
	Corrupt   func(error) // hears of entries that cannot be read
}

// Form is the form of a cache's entries. It is shared by all goroutines.
type Form[V any] struct {
	Config[V]
	ID     byte // of the codec
	Schema uint32
	Counts Counts

	simple frame.Simple
	shares bool // decoded values share memory with the reply
	packer *pack.Packer
}

// Counts are entries found so far.
type Counts struct{ Corrupt, OtherSchema, Adopted, Dead atomic.Uint64 }

// ErrTooLarge is cache.ErrTooLarge.
var ErrTooLarge = errors.New("the value exceeds Config.MaxBytes")

var (
	// errPayload is all that is said of bytes that the codec refuses: its own
	// error may repeat them.
	errPayload = errors.New("the codec cannot read the payload")
	errPanic   = errors.New("the codec panicked")
)

// New makes a Form.
func New[V any](cfg Config[V]) *Form[V] {
	name := cfg.Codec.Name()
	f := &Form[V]{
		Config: cfg, ID: codec.ID(name), Schema: schema.Of[V](name, cfg.Version),
		packer: pack.New(cfg.Packing, cfg.MaxBytes),
	}
	f.simple = frame.SimpleOf(f.ID, f.Schema)
	if s, ok := cfg.Codec.(interface{ Shares() bool }); ok {
		f.shares = s.Shares()
	}
	return f
}

// Verdict is what an entry means for a reader.
type Verdict uint8

const (
	Miss   Verdict = iota // nothing that can be served: load
	Hit                   // a value
	Absent                // known not to exist
	Failed                // a load failed a moment ago
	Bypass                // not to be cached for now
	Leased                // someone loads
	Stale                 // a value past its TTL
)

// Entry is what stands at a key.
type Entry[V any] struct {
	Value   V
	Raw     []byte        // all of it
	Replace []byte        // on a miss: what stands there and is to be replaced; nil for nothing
	Frame   frame.Frame   // what Raw is, taken apart
	Stands  time.Duration // what the key has to live; zero when not known
	Left    time.Duration // what the value has; meaningless where Stands is zero
	Age     time.Duration // negative when not known
}

// Resting reports whether the value is not to be loaded now: a load over it failed
// a moment ago, or it is being written.
func (e *Entry[V]) Resting() bool {
	return e.Frame.Block.There || e.Frame.Rider.Resting && e.Frame.Rider.Stands(e.Stands)
}

// Read judges a reply. shared says that others decode the same bytes.
func (f *Form[V]) Read(r *Reply, shared bool) (Entry[V], Verdict) {
	if r.Raw == nil {
		return Entry[V]{}, Miss
	}
	e, v := f.Judge(r.Raw, shared)
	if !e.Frame.HasMeta && len(r.Stamps) == 0 {
		return e, v
	}
	if e.Frame.Block.There {
		r = r.unblocked(e.Frame.Block)
	}
	return f.weigh(e, v, r)
}

// Simple is Read for what most entries are: a value that knows nothing of itself
// and about which nothing was asked. False says that it takes a Read.
func (f *Form[V]) Simple(r *Reply) (v V, ok bool) {
	if len(r.Stamps) > 0 {
		return v, false
	}
	payload, ok := f.simple.Payload(r.Raw)
	if !ok {
		return v, false
	}
	v, err := f.decode(payload)
	return v, err == nil
}

// Judge is Read without what stands around the entry.
func (f *Form[V]) Judge(raw []byte, shared bool) (e Entry[V], _ Verdict) {
	e.Raw, e.Age = raw, -1
	var err error
	if e.Frame, err = frame.Parse(raw); err != nil {
		if f.Adopt != nil && errors.Is(err, frame.ErrForeign) {
			if v, err := f.adopt(raw, shared); err == nil {
				f.Counts.Adopted.Add(1)
				e.Value = v
				return e, Hit
			}
		}
		f.unreadable(err)
		e.Replace = raw
		return e, Miss
	}
	switch e.Frame.Kind {
	case frame.Value:
		if e.Frame.Schema != f.Schema || e.Frame.Codec != f.ID {
			f.Counts.OtherSchema.Add(1)
			break
		}
		if e.Value, err = f.Open(&e.Frame, shared); err == nil {
			return e, Hit
		}
		f.unreadable(errPayload)
	case frame.Absent:
		return e, Absent
	case frame.Failed:
		return e, Failed
	case frame.Bypass:
		return e, Bypass
	case frame.Lease:
		return e, Leased
	default:
		f.unreadable(frame.ErrVersion)
	}
	return f.unserved(e.Raw, e.Frame)
}

// unserved is an entry that cannot be served: to be replaced, unless writers are
// at it, whose block nobody breaks.
func (f *Form[V]) unserved(raw []byte, fr frame.Frame) (Entry[V], Verdict) {
	if fr.Block.There {
		return Entry[V]{Raw: raw, Age: -1}, Bypass
	}
	return Entry[V]{Raw: raw, Replace: raw, Frame: fr, Age: -1}, Miss
}

// Open is the value in a frame. shared says that others decode the same bytes.
func (f *Form[V]) Open(fr *frame.Frame, shared bool) (v V, err error) {
	payload := fr.Payload
	switch {
	case fr.Packing != frame.Plain:
		if payload, err = f.packer.Expand(payload, fr.Packing); err != nil {
			return v, err
		}
	case shared && f.shares:
		payload = append([]byte(nil), payload...)
	}
	return f.decode(payload)
}

func (f *Form[V]) unreadable(err error) {
	f.Counts.Corrupt.Add(1)
	f.Corrupt(err)
}

// adopt is Config.Adopt on bytes of the caller's own; its panic is an error.
func (f *Form[V]) adopt(raw []byte, shared bool) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	if shared {
		raw = append([]byte(nil), raw...)
	}
	return f.Adopt(raw)
}

// decode is the codec's Decode; bytes that make it panic are corrupt.
func (f *Form[V]) decode(payload []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	return f.Codec.Decode(payload)
}

// weigh judges an entry by what stands around it: its tags' stamps and its time.
func (f *Form[V]) weigh(e Entry[V], v Verdict, r *Reply) (Entry[V], Verdict) {
	m := &e.Frame.Meta
	if (v == Hit || v == Absent) && (m.HasTags() || len(r.Stamps) > 0) && !stamp.Alive(m, r.Stamps) {
		f.Counts.Dead.Add(1)
		return f.unserved(e.Raw, frame.Frame{Block: e.Frame.Block})
	}
	if v != Hit || !r.Timed || !e.Frame.HasMeta || m.TTL == 0 || r.Left == noEnd {
		return e, v
	}
	e.Stands = r.Left
	if r.Left == justNow {
		e.Stands = m.TTL + m.StaleFor
	}
	e.Left = e.Stands - m.StaleFor
	e.Age = max(m.TTL-e.Left, 0)
	switch {
	case e.Left > 0 || m.StaleFor == 0:
		return e, Hit
	case -e.Left > f.StaleFor: // another process keeps values longer
		return f.unserved(e.Raw, frame.Frame{Block: e.Frame.Block})
	default:
		return e, Stale
	}
}

// Copy is a value of the caller's own, where the codec can make one.
func (f *Form[V]) Copy(v V) V {
	raw, err := f.Codec.Append(nil, v)
	if err != nil {
		return v
	}
	own, err := f.decode(raw)
	if err != nil {
		return v
	}
	return own
}

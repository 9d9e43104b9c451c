package entry

import (
	"time"

	"github.com/redstart-go/redstart/internal/frame"
)

// About is what an entry knows of itself.
type About struct {
	TTL, Cost time.Duration
	Tags      []frame.Tag
}

// appendMeta appends an entry's metadata to its header, if the cache, or a tag,
// asks for any.
func (f *Form[V]) appendMeta(raw []byte, a About) []byte {
	if !f.Timed && len(a.Tags) == 0 {
		return raw
	}
	return frame.AppendMeta(raw, a.TTL, f.Beyond(a.TTL), a.Cost, a.Tags)
}

// Beyond is how long a value with the TTL stands beyond it.
func (f *Form[V]) Beyond(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return f.StaleFor
}

// Encode is the entry of a value. With check it makes sure that what was
// written can be read again.
func (f *Form[V]) Encode(v V, a About, check bool) (raw []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	raw = f.appendMeta(frame.Begin(make([]byte, 0, 256), frame.Value, f.ID, f.Schema), a)
	at := len(raw)
	if raw, err = f.Codec.Append(raw, v); err != nil {
		return nil, err
	}
	if f.MaxBytes > 0 && len(raw)-at > f.MaxBytes {
		return nil, ErrTooLarge
	}
	if check {
		if _, err = f.decode(raw[at:]); err != nil {
			return nil, err
		}
	}
	return frame.Seal(f.packed(raw, at)), nil
}

// packed compresses the payload of a frame, which begins at the offset, if it
// is large enough and gains by it. MaxBytes has been seen to.
func (f *Form[V]) packed(raw []byte, at int) []byte {
	if f.Packing == frame.Plain || len(raw)-at <= f.PackAbove {
		return raw
	}
	smaller, how := f.packer.Pack(append(make([]byte, 0, len(raw)), raw[:at]...), raw[at:])
	if how == frame.Plain {
		return raw
	}
	frame.Pack(smaller, how)
	return smaller
}

// EncodeAbsent is the entry that says that there is nothing.
func (f *Form[V]) EncodeAbsent(a About) []byte {
	raw := frame.Begin(nil, frame.Absent, 0, 0)
	if len(a.Tags) > 0 {
		raw = frame.AppendMeta(raw, a.TTL, 0, a.Cost, a.Tags)
	}
	return frame.Seal(raw)
}

// EncodeAgain is the entry of an old value that the source has confirmed.
func (f *Form[V]) EncodeAgain(old *frame.Frame, a About) []byte {
	raw := frame.Begin(make([]byte, 0, len(old.Payload)+128), frame.Value, f.ID, f.Schema)
	raw = f.appendMeta(raw, a)
	frame.Pack(raw, old.Packing)
	return frame.Seal(append(raw, old.Payload...))
}

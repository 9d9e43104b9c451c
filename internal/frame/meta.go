package frame

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"time"
)

// Meta is what a frame knows of itself, where something asks for it: a random
// number that no other frame has, and
//
//	uvarint  TTL in ms
//	uvarint  StaleFor in ms
//	uvarint  Cost in µs
//	uvarint  number of tags, and for each the tag and its stamp, both with their lengths as uvarints
type Meta struct {
	TTL      time.Duration // with which it was stored; zero for good
	StaleFor time.Duration // for which it stands beyond that
	Cost     time.Duration // of the load
	tags     []byte
	count    int
}

// Tag is a tag of an entry, and the stamp that stood at its key when the entry
// was loaded.
type Tag struct{ Name, Stamp string }

// AppendMeta appends the metadata to a header that Begin made and that is all
// of buf.
func AppendMeta(buf []byte, ttl, staleFor, cost time.Duration, tags []Tag) []byte {
	buf[flagsAt] |= flagMeta
	buf = binary.LittleEndian.AppendUint64(buf, rand.Uint64())
	buf = binary.AppendUvarint(buf, uint64(max(ttl, 0)/time.Millisecond))
	buf = binary.AppendUvarint(buf, uint64(max(staleFor, 0)/time.Millisecond))
	buf = binary.AppendUvarint(buf, uint64(max(cost, 0)/time.Microsecond))
	buf = binary.AppendUvarint(buf, uint64(len(tags)))
	for _, t := range tags {
		buf = append(binary.AppendUvarint(buf, uint64(len(t.Name))), t.Name...)
		buf = append(binary.AppendUvarint(buf, uint64(len(t.Stamp))), t.Stamp...)
	}
	return buf
}

// Tells reports whether a reader may have to look at more than the payload: the
// frame has metadata, or a claim in front of it.
func Tells(raw []byte) bool {
	return len(raw) >= Size && raw[0] == magic0 && raw[flagsAt]&(flagMeta|flagRidden) != 0
}

// HasTags reports whether the frame was stored with tags.
func (m *Meta) HasTags() bool { return m.count > 0 }

// Tags gives the tags and their stamps.
func (m *Meta) Tags() iter.Seq2[string, string] {
	return func(yield func(name, stamp string) bool) {
		rest := m.tags
		for range m.count {
			var name, stamp []byte
			name, rest, _ = text(rest)
			stamp, rest, _ = text(rest)
			if !yield(string(name), string(stamp)) {
				return
			}
		}
	}
}

// maxDuration keeps sums of durations from running over.
const maxDuration = uint64(1<<62) / uint64(time.Millisecond)

func parseMeta(buf []byte) (m Meta, payload []byte, ok bool) {
	if len(buf) < nonceLength {
		return m, nil, false
	}
	buf = buf[nonceLength:]
	var n [4]uint64
	for i := range n {
		if n[i], buf, ok = number(buf); !ok || n[i] > maxDuration {
			return m, nil, false
		}
	}
	m.TTL, m.StaleFor = time.Duration(n[0])*time.Millisecond, time.Duration(n[1])*time.Millisecond
	m.Cost = time.Duration(n[2]) * time.Microsecond
	if n[3] > uint64(len(buf)) {
		return m, nil, false
	}
	m.count, m.tags = int(n[3]), buf
	for range 2 * m.count {
		if _, buf, ok = text(buf); !ok {
			return m, nil, false
		}
	}
	m.tags = m.tags[:len(m.tags)-len(buf)]
	return m, buf, true
}

func number(buf []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(buf)
	if size <= 0 {
		return 0, nil, false
	}
	return n, buf[size:], true
}

func text(buf []byte) (s, rest []byte, ok bool) {
	n, buf, ok := number(buf)
	if !ok || n > uint64(len(buf)) {
		return nil, nil, false
	}
	return buf[:n], buf[n:], true
}

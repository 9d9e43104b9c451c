// Package frame is the form in which entries lie in the server: one string a
// key, with a header that says what it is. A string without it is not ours.
//
//	0      magic 0xF5, a byte that no UTF-8 text holds
//	1      'R'
//	2      version of this layout
//	3      kind
//	4      flags; one that is not known makes the frame another version's
//	5      codec of the payload
//	6..9   schema of the payload, little-endian
//	10..13 CRC-32C of bytes 0..9 and of everything from 14 on
//	14..   metadata, where a flag says so (see Meta), and the payload
//
// A value on which a claim rides has that in front of it (see Rider), one that is
// being written a Block.
package frame

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Kind says what a frame holds.
type Kind byte

const (
	// Value: the payload is an encoded value.
	Value Kind = iota + 1
	// Absent: the source said that there is no such thing.
	Absent
	// Failed: a load failed a moment ago; no payload.
	Failed
	// Lease: a load is under way; the payload is its token.
	Lease
	// Bypass: the value is not to be cached for now; no payload.
	Bypass
	// ridden: a claim, with another frame behind it.
	ridden
)

// String is the kind for people.
func (k Kind) String() string {
	switch k {
	case Value:
		return "value"
	case Absent:
		return "absent"
	case Failed:
		return "failed"
	case Lease:
		return "lease"
	case Bypass:
		return "bypass"
	default:
		return "unknown"
	}
}

// Packing is how the payload is compressed.
type Packing byte

const (
	// Plain: not at all.
	Plain Packing = 0
	// S2 is the block format of klauspost/compress/s2.
	S2 Packing = 1 << 1
	// Zstd is one Zstandard frame.
	Zstd Packing = 1 << 2
)

// The other flags.
const (
	flagMeta    = 1 << 0
	flagRidden  = 1 << 7
	packings    = byte(S2 | Zstd)
	flags       = flagMeta | packings
	kindAt      = 3
	flagsAt     = 4
	checksumAt  = 10
	nonceLength = 8
)

// Size is the length of the header in bytes.
const Size = 14

const (
	magic0  = 0xF5
	magic1  = 'R'
	version = 1
)

// Frame is a frame taken apart. What is in it shares memory with what was
// parsed.
type Frame struct {
	Kind    Kind
	Codec   byte
	Packing Packing
	Schema  uint32
	Payload []byte
	HasMeta bool
	Meta    Meta   // zero unless HasMeta
	Rider   Rider  // zero unless someone rides on the frame
	Block   Block  // zero unless writers are at it
	Head    []byte // tells this frame from every other at its key; nil without Meta
}

// Why a string is no frame of this version.
var (
	// ErrForeign: it does not begin as a frame does.
	ErrForeign = errors.New("not a frame")
	// ErrVersion: a frame of another version of the layout.
	ErrVersion = errors.New("a frame of another version")
	// ErrCorrupt: cut short, or the checksum does not match.
	ErrCorrupt = errors.New("a corrupt frame")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Begin appends a header to dst; append the payload after it and call Seal.
func Begin(dst []byte, kind Kind, codec byte, schema uint32) []byte {
	dst = append(dst, magic0, magic1, version, byte(kind), 0, codec)
	dst = binary.LittleEndian.AppendUint32(dst, schema)
	return append(dst, 0, 0, 0, 0)
}

// Pack notes in a frame that begins at buf[0] how its payload is compressed.
func Pack(buf []byte, p Packing) { buf[flagsAt] |= byte(p) }

// Seal writes the checksum into a frame that begins at buf[0].
func Seal(buf []byte) []byte {
	binary.LittleEndian.PutUint32(buf[checksumAt:], sum(buf))
	return buf
}

func sum(buf []byte) uint32 {
	return crc32.Update(crc32.Checksum(buf[:checksumAt], castagnoli), castagnoli, buf[Size:])
}

// Make is a whole frame.
func Make(kind Kind, codec byte, schema uint32, payload string) string {
	return string(Seal(append(Begin(make([]byte, 0, Size+len(payload)), kind, codec, schema), payload...)))
}

// Simple is what most frames are: a whole value of one codec and schema, not
// packed, that knows nothing of itself. All such have one header, but for the
// checksum.
type Simple struct {
	head [checksumAt]byte
	sum  uint32 // of head
}

// SimpleOf is what is simple for a codec and schema.
func SimpleOf(codec byte, schema uint32) Simple {
	head := [checksumAt]byte(Begin(nil, Value, codec, schema))
	return Simple{head, crc32.Checksum(head[:], castagnoli)}
}

// Payload is that of a simple frame. What is not simple may be anything: it
// takes a Parse.
func (s *Simple) Payload(raw []byte) (payload []byte, ok bool) {
	if len(raw) < Size || [checksumAt]byte(raw) != s.head ||
		binary.LittleEndian.Uint32(raw[checksumAt:]) != crc32.Update(s.sum, castagnoli, raw[Size:]) {
		return nil, false
	}
	return raw[Size:len(raw):len(raw)], true
}

// Parse takes a frame apart without copying.
func Parse(raw []byte) (Frame, error) {
	switch {
	case len(raw) < 2 || raw[0] != magic0 || raw[1] != magic1:
		return Frame{}, ErrForeign
	case len(raw) < Size:
		return Frame{}, ErrCorrupt
	case raw[2] != version:
		return Frame{}, ErrVersion
	case raw[flagsAt] == flagRidden && Kind(raw[kindAt]) == ridden:
		return parseRidden(raw)
	case raw[flagsAt] == flagRidden && Kind(raw[kindAt]) == blocked:
		return parseBlocked(raw)
	case raw[flagsAt]&^flags != 0 || raw[flagsAt]&packings == packings:
		return Frame{}, ErrVersion
	case binary.LittleEndian.Uint32(raw[checksumAt:]) != sum(raw):
		return Frame{}, ErrCorrupt
	}
	f := Frame{
		Kind:    Kind(raw[kindAt]),
		Codec:   raw[5],
		Packing: Packing(raw[flagsAt] & packings),
		Schema:  binary.LittleEndian.Uint32(raw[6:]),
		Payload: raw[Size:len(raw):len(raw)],
	}
	if raw[flagsAt]&flagMeta != 0 {
		var ok bool
		if f.Meta, f.Payload, ok = parseMeta(f.Payload); !ok {
			return Frame{}, ErrCorrupt
		}
		f.HasMeta, f.Head = true, raw[:Size+nonceLength]
	}
	return f, nil
}

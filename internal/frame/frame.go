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
//	14..   payload
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

// Size is the length of the header in bytes.
const Size = 14

const (
	magic0  = 0xF5
	magic1  = 'R'
	version = 1
)

// Frame is a frame taken apart.
type Frame struct {
	Kind    Kind
	Codec   byte
	Schema  uint32
	Payload []byte // shares memory with what was parsed
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

// Seal writes the checksum into a frame that begins at buf[0].
func Seal(buf []byte) []byte {
	binary.LittleEndian.PutUint32(buf[10:], sum(buf))
	return buf
}

func sum(buf []byte) uint32 {
	return crc32.Update(crc32.Checksum(buf[:10], castagnoli), castagnoli, buf[Size:])
}

// Make is a whole frame.
func Make(kind Kind, codec byte, schema uint32, payload string) string {
	return string(Seal(append(Begin(make([]byte, 0, Size+len(payload)), kind, codec, schema), payload...)))
}

// Parse takes a frame apart without copying.
func Parse(raw []byte) (Frame, error) {
	switch {
	case len(raw) < 2 || raw[0] != magic0 || raw[1] != magic1:
		return Frame{}, ErrForeign
	case len(raw) < Size:
		return Frame{}, ErrCorrupt
	case raw[2] != version || raw[4] != 0:
		return Frame{}, ErrVersion
	case binary.LittleEndian.Uint32(raw[10:]) != sum(raw):
		return Frame{}, ErrCorrupt
	}
	return Frame{
		Kind:    Kind(raw[3]),
		Codec:   raw[5],
		Schema:  binary.LittleEndian.Uint32(raw[6:]),
		Payload: raw[Size:len(raw):len(raw)],
	}, nil
}

package frame

import (
	"encoding/binary"
	"time"
)

// Rider is a claim on a value that stays readable meanwhile: it stands in front
// of the value, in the same key.
//
//	0..13   a header of its own, whose checksum covers the token only
//	14..29  the token of the attempt; all zero after one that failed
//	30..42  when the claim ends, in decimal digits: it stands while the key has
//	        more than so many milliseconds to live
//	43..    the frame as it was
//
// The end is told by the key's own countdown, which every reader can see, and
// needs no clock beside it.
type Rider struct {
	There   bool
	Resting bool          // a load failed; the claim is only the pause after it
	Until   time.Duration // what the key has to live when the claim ends
}

// Stands reports whether the claim holds for a key with so much to live.
func (r Rider) Stands(left time.Duration) bool { return r.There && left > r.Until }

const (
	tokenLength = 16
	markLength  = Size + tokenLength
	digits      = 13
	noToken     = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// Mark is what a claim with the token puts in front of a value, but for the
// digits. A token is 16 bytes.
func Mark(token string) string {
	buf := Begin(make([]byte, 0, markLength), ridden, 0, 0)
	buf[flagsAt] = flagRidden
	return string(Seal(append(buf, token[:tokenLength]...)))
}

// RestMark is the mark of a pause.
func RestMark() string { return Mark(noToken) }

func parseRidden(raw []byte) (Frame, error) {
	if len(raw) < markLength+digits || binary.LittleEndian.Uint32(raw[checksumAt:]) != sum(raw[:markLength]) {
		return Frame{}, ErrCorrupt
	}
	r := Rider{There: true, Resting: string(raw[Size:markLength]) == noToken}
	ms, ok := decimal(raw[markLength : markLength+digits])
	if !ok {
		return Frame{}, ErrCorrupt
	}
	r.Until = time.Duration(ms) * time.Millisecond
	inner := raw[markLength+digits:]
	if len(inner) > flagsAt && inner[flagsAt] == flagRidden {
		return Frame{}, ErrCorrupt // nothing rides on a claim
	}
	f, err := Parse(inner)
	if err == ErrForeign { //nolint:errorlint // as Parse gives it: behind our claim nothing foreign stands
		err = ErrCorrupt
	}
	f.Rider = r
	return f, err
}

// RiddenBy reports whether a load is under way over the frame that begins with
// head.
func RiddenBy(raw, head []byte) bool {
	const at = markLength + digits
	return len(raw) >= at+len(head) && raw[flagsAt] == flagRidden && Kind(raw[kindAt]) == ridden &&
		string(raw[Size:markLength]) != noToken && string(raw[at:at+len(head)]) == string(head)
}

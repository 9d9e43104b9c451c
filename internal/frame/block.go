package frame

import (
	"math"
	"time"
)

// Block is what stands in front of a value while writers are at it in the
// source, or in its place.
//
//	0..13   a header of its own, whose checksum covers nothing else: the server's
//	        scripts change what follows
//	14      '0'; '1' when writers overlapped, so that nobody knows whose write is last;
//	        '2' when the value ends before the block does, and is not to be served
//	15..27  by how many milliseconds the value outlives the key, in decimal digits;
//	        dashes for one without an end
//	28..30  how many writers there are, in decimal digits
//	31..    29 bytes for each: its token, and when its block ends, in decimal digits, in ms
//	        of the server's clock
//	..      the frame as it was; nothing where there was none that can be served
type Block struct {
	There  bool
	beyond time.Duration // by which the value outlives the key; endless
}

const (
	blocked     = ridden + 1
	writersAt   = 31
	writerBytes = 29
	endless     = time.Duration(math.MaxInt64)
)

// BlockHeader is how every block begins.
func BlockHeader() string {
	buf := Begin(make([]byte, 0, Size), blocked, 0, 0)
	buf[flagsAt] = flagRidden
	return string(Seal(buf))
}

// Before is how frames of a kind begin that have no flags beside, as scripts must
// know: values, absences, claims that ride.
func (k Kind) Before() string { return string([]byte{magic0, magic1, version, byte(k)}) }

// RiderBegins is how every claim in front of a value begins, and RiderLength how
// long it is.
func RiderBegins() string { return ridden.Before() + string([]byte{flagRidden}) }

// RiderLength is how many bytes a claim puts in front of a value.
const RiderLength = markLength + digits

// Outlives is what a value has to live whose key has left; endless is true for
// good.
func (b Block) Outlives(left time.Duration) (lives time.Duration, forGood bool) {
	if b.beyond == endless {
		return 0, true
	}
	return left + b.beyond, false
}

// parseBlocked takes a block for a Bypass where no value can be served.
func parseBlocked(raw []byte) (Frame, error) {
	if len(raw) < writersAt || string(raw[:Size]) != BlockHeader() {
		return Frame{}, ErrCorrupt
	}
	b := Block{There: true, beyond: endless}
	if ms, ok := decimal(raw[15:28]); ok {
		b.beyond = time.Duration(ms) * time.Millisecond
	}
	n, ok := decimal(raw[28:writersAt])
	if at := writersAt + int(n)*writerBytes; ok && raw[Size] == '0' && at < len(raw) {
		if inner := raw[at:]; len(inner) > flagsAt && inner[flagsAt] != flagRidden {
			if f, err := Parse(inner); err == nil {
				f.Block = b
				return f, nil
			}
		}
	}
	return Frame{Kind: Bypass, Block: b}, nil
}

func decimal(text []byte) (n int64, ok bool) {
	for _, d := range text {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

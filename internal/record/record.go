// Package record names the records of a log: a stream whose places are a version
// and random digits, so that none is ever used again, whatever a server forgets.
package record

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Record is one in the log.
type Record struct {
	Version int64
	Size    int
	Nonce   string // 16 digits
}

// Of is the record at a place.
func Of(place, id, entry string) Record {
	version, nonce, _ := strings.Cut(place, "-")
	v, _ := strconv.ParseInt(version, 10, 64)
	return Record{v, Size(id, entry), nonce}
}

// apart is what a record takes beside its id and its entry, about.
const apart = 64

// Size is what a record counts as.
func Size(id, entry string) int { return len(id) + len(entry) + apart }

// Place is where the record is.
func (r Record) Place() string { return strconv.FormatInt(r.Version, 10) + "-" + r.Nonce }

// Name is how it is noted as the newest of its id.
func (r Record) Name() string { return fmt.Sprintf("%016d%s", r.Version, r.Nonce) }

// Named reports whether it is the one so noted, with whatever follows.
func (r Record) Named(newest string) bool { return strings.HasPrefix(newest, r.Name()) }

// Version is that of what is noted as the newest.
func Version(newest string) int64 {
	v, _ := strconv.ParseInt(newest[:min(len(newest), 16)], 10, 64)
	return v
}

// Nonce tells a put from every other.
func Nonce() string { return strconv.FormatUint(1e15+rand.Uint64N(9e15), 10) }

// reasonBytes bounds a reason.
const reasonBytes = 256

// Reason is an error's text, cut where a character ends.
func Reason(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) <= reasonBytes {
		return text
	}
	return strings.ToValidUTF8(text[:reasonBytes], "")
}

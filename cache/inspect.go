package cache

import (
	"fmt"
	"time"

	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/frame"
)

// Info is an entry as it lies in the server, for people who look at one.
type Info struct {
	// Kind is "value", "absent" (known not to exist), "lease" (a load is under
	// way), "failed" (a load failed a moment ago) or "bypass" (not to be cached
	// for now).
	Kind string
	// Codec is what wrote the payload: "raw", "json", "msgpack", "msgpack map",
	// "generated", or "own" for one given by the program.
	Codec string
	// Compression is how the payload was packed.
	Compression Compression
	// Schema is the hash of the type, codec and version that wrote it.
	Schema uint32
	// Payload is the encoded value, no longer packed, or the token of a lease.
	Payload []byte
	// TTL is what the value was stored with, and StaleFor what it stands for
	// beyond that; zero where the entry does not say.
	TTL, StaleFor time.Duration
	// Tags are the entry's.
	Tags []string
}

// Inspect takes an entry apart without knowing its type. The error says that
// raw is none: a string of someone else's, a damaged entry, or one written by
// another version of this package.
func Inspect(raw []byte) (Info, error) {
	f, name, err := entry.Inspect(raw)
	if err != nil {
		return Info{}, fmt.Errorf("redstart/cache: inspect: %w", err)
	}
	info := Info{Kind: f.Kind.String(), Codec: name, Schema: f.Schema, Payload: f.Payload, TTL: f.Meta.TTL, StaleFor: f.Meta.StaleFor}
	info.Compression = map[frame.Packing]Compression{frame.S2: S2, frame.Zstd: Zstd}[f.Packing]
	for tag := range f.Meta.Tags() {
		if tag != "" {
			info.Tags = append(info.Tags, tag)
		}
	}
	return info, nil
}

// Text is the payload of a value for people: JSON where the codec allows,
// text, else the bytes in hex. Structs stored as arrays have no field names.
func (i Info) Text() string { return codec.Text(i.Codec, i.Payload) }

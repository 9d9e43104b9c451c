package cache

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/pack"
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
	f, err := frame.Parse(raw)
	if err != nil {
		return Info{}, fmt.Errorf("redstart/cache: inspect: %w", err)
	}
	info := Info{Kind: f.Kind.String(), Codec: "unknown", Schema: f.Schema, TTL: f.Meta.TTL, StaleFor: f.Meta.StaleFor}
	for tag := range f.Meta.Tags() {
		if tag != "" {
			info.Tags = append(info.Tags, tag)
		}
	}
	if info.Payload, err = pack.New(frame.Plain, 0).Expand(f.Payload, f.Packing); err != nil {
		return Info{}, fmt.Errorf("redstart/cache: inspect: %w", frame.ErrCorrupt)
	}
	if int(f.Codec) < len(codec.Names) {
		info.Codec = codec.Names[f.Codec]
	}
	return info, nil
}

// Text is the payload of a value for people: JSON where the codec allows,
// text, else the bytes in hex. Structs stored as arrays have no field names.
func (i Info) Text() string {
	switch i.Codec {
	case "json":
		var v any
		if json.Unmarshal(i.Payload, &v) == nil {
			return indented(v)
		}
	case "msgpack", "msgpack map", "generated":
		var v any
		if msgpack.Unmarshal(i.Payload, &v) == nil {
			return indented(v)
		}
	}
	if utf8.Valid(i.Payload) {
		return string(i.Payload)
	}
	return hex.Dump(i.Payload)
}

func indented(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // a map whose keys are no strings
		return fmt.Sprintf("%+v", v)
	}
	return string(text)
}

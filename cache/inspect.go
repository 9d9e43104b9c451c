package cache

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

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
	// Schema is the hash of the type, codec and version that wrote it.
	Schema uint32
	// Payload is the encoded value, or the token of a lease.
	Payload []byte
}

// Inspect takes an entry apart without knowing its type. The error says that
// raw is none: a string of someone else's, a damaged entry, or one written by
// another version of this package.
func Inspect(raw []byte) (Info, error) {
	f, err := frame.Parse(raw)
	if err != nil {
		return Info{}, fmt.Errorf("redstart/cache: inspect: %w", err)
	}
	info := Info{Kind: f.Kind.String(), Codec: "unknown", Schema: f.Schema, Payload: f.Payload}
	if int(f.Codec) < len(codecNames) {
		info.Codec = codecNames[f.Codec]
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

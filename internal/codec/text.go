package codec

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// Text is what a codec of that name wrote, for people: JSON where the codec
// allows, text, else the bytes in hex.
func Text(name string, payload []byte) string {
	var v any
	switch name {
	case "json":
		if json.Unmarshal(payload, &v) == nil {
			return indented(v)
		}
	case "msgpack", "msgpack map", "generated":
		if msgpack.Unmarshal(payload, &v) == nil {
			return indented(v)
		}
	}
	if utf8.Valid(payload) {
		return string(payload)
	}
	return hex.Dump(payload)
}

func indented(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // a map whose keys are no strings
		return fmt.Sprintf("%+v", v)
	}
	return string(text)
}

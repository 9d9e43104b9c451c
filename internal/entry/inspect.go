package entry

import (
	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/pack"
)

// Inspect takes an entry apart without knowing its type: its frame, with the
// payload no longer packed, and its codec's name.
func Inspect(raw []byte) (f frame.Frame, codecName string, err error) {
	if f, err = frame.Parse(raw); err != nil {
		return f, "", err
	}
	if f.Payload, err = pack.New(frame.Plain, 0).Expand(f.Payload, f.Packing); err != nil {
		return f, "", frame.ErrCorrupt
	}
	if int(f.Codec) < len(codec.Names) {
		return f, codec.Names[f.Codec], nil
	}
	return f, "unknown", nil
}

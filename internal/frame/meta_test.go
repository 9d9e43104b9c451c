package frame

import (
	"bytes"
	"maps"
	"testing"
	"time"
)

// tagged is a frame with everything that metadata can hold.
func tagged(payload string) []byte {
	raw := AppendMeta(Begin(nil, Value, 3, 77), time.Hour, time.Minute, 1500*time.Microsecond,
		[]Tag{{"artist:7", "stamp 1"}, {"", "stamp 2"}})
	Pack(raw, S2)
	return Seal(append(raw, payload...))
}

// ride puts a claim in front of a frame, as the script does.
func ride(mark string, raw []byte) []byte { return append([]byte(mark+"0000000060000"), raw...) }

func TestMetaRoundTrip(t *testing.T) {
	token := "0123456789abcdef"
	for name, raw := range map[string][]byte{
		"alone": tagged("payload"), "ridden": ride(Mark(token), tagged("payload")), "resting": ride(RestMark(), tagged("payload")),
	} {
		f, err := Parse(raw)
		if err != nil || f.Kind != Value || f.Codec != 3 || f.Schema != 77 || f.Packing != S2 || string(f.Payload) != "payload" {
			t.Fatalf("%s: Parse = %+v, %v", name, f, err)
		}
		m := f.Meta
		if !f.HasMeta || m.TTL != time.Hour || m.StaleFor != time.Minute || m.Cost != 1500*time.Microsecond || !m.HasTags() || !Tells(raw) {
			t.Errorf("%s: Meta = %+v", name, m)
		}
		if tags := maps.Collect(m.Tags()); len(tags) != 2 || tags["artist:7"] != "stamp 1" || tags[""] != "stamp 2" {
			t.Errorf("%s: Tags = %q", name, tags)
		}
		r := f.Rider
		if r.There != (name != "alone") || r.Resting != (name == "resting") {
			t.Errorf("%s: Rider = %+v", name, r)
		}
		if r.There && (r.Until != time.Minute || !r.Stands(61*time.Second) || r.Stands(time.Minute)) {
			t.Errorf("%s: Rider = %+v", name, r)
		}
		if got := RiddenBy(raw, f.Head); got != (name == "ridden") {
			t.Errorf("%s: RiddenBy = %v", name, got)
		}
	}
	a, _ := Parse(tagged("same"))
	b, _ := Parse(tagged("same"))
	if bytes.Equal(a.Head, b.Head) {
		t.Error("two frames with one head")
	}
	plain, err := Parse([]byte(Make(Value, 3, 77, "payload")))
	if err != nil || plain.HasMeta || plain.Head != nil || plain.Meta.HasTags() || Tells([]byte(Make(Value, 3, 77, "payload"))) {
		t.Errorf("a plain frame: %+v, %v", plain, err)
	}
}

// Every flipped bit and every cut of a frame with metadata is found. In front
// of a ridden one only the end of the claim is not covered: the value is.
func TestDamageOfMetaIsFound(t *testing.T) {
	for name, raw := range map[string][]byte{"alone": tagged("payload"), "ridden": ride(Mark("0123456789abcdef"), tagged("payload"))} {
		for i := range raw {
			for bit := range 8 {
				bad := bytes.Clone(raw)
				bad[i] ^= 1 << bit
				f, err := Parse(bad)
				ends := name == "ridden" && i >= markLength && i < markLength+digits
				if err == nil && (!ends || string(f.Payload) != "payload") {
					t.Fatalf("%s: bit %d of byte %d flipped: %+v", name, bit, i, f)
				}
			}
		}
		for n := range raw {
			if _, err := Parse(raw[:n]); err == nil {
				t.Fatalf("%s: cut to %d bytes: parsed all the same", name, n)
			}
		}
	}
	for _, raw := range [][]byte{
		ride(Mark("0123456789abcdef"), nil),
		ride(Mark("0123456789abcdef"), []byte("foreign text")),
		ride(Mark("0123456789abcdef"), ride(Mark("0123456789abcdef"), tagged("x"))),
	} {
		if f, err := Parse(raw); err == nil {
			t.Errorf("Parse(%q) = %+v", raw, f)
		}
	}
}

// A flag of a later version makes the frame that version's.
func TestUnknownFlags(t *testing.T) {
	for _, flag := range []byte{1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, byte(S2 | Zstd)} {
		raw := []byte(Make(Value, 1, 1, "payload"))
		raw[flagsAt] |= flag
		if _, err := Parse(Seal(raw)); err != ErrVersion { //nolint:errorlint // as it is given
			t.Errorf("flags %#x: %v, want ErrVersion", raw[flagsAt], err)
		}
	}
}

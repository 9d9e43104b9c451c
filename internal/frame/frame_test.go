package frame

import (
	"bytes"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, payload := range []string{"", "x", Make(Value, 1, 2, "a frame inside a frame")} {
		raw := Make(Value, 3, 0xDEADBEEF, payload)
		f, err := Parse([]byte(raw))
		if err != nil || f.Kind != Value || f.Codec != 3 || f.Schema != 0xDEADBEEF || string(f.Payload) != payload {
			t.Fatalf("Parse(Make(%q)) = %+v, %v", payload, f, err)
		}
	}
}

// Every single flipped bit and every cut is found: a wrong value is never read.
func TestDamageIsFound(t *testing.T) {
	raw := []byte(Make(Value, 2, 77, "some payload"))
	for i := range raw {
		for bit := range 8 {
			bad := bytes.Clone(raw)
			bad[i] ^= 1 << bit
			if _, err := Parse(bad); err == nil {
				t.Fatalf("bit %d of byte %d flipped: parsed all the same", bit, i)
			}
		}
	}
	for n := range raw {
		if _, err := Parse(raw[:n]); err == nil {
			t.Fatalf("cut to %d bytes: parsed all the same", n)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, raw := range []string{"", "plain", `{"json":true}`, "\xf5", "\xf6R\x01\x01"} {
		if _, err := Parse([]byte(raw)); !errors.Is(err, ErrForeign) {
			t.Errorf("Parse(%q) = %v, want ErrForeign", raw, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Make(Lease, 0, 0, "0123456789abcdef")))
	f.Add([]byte("\xf5R\x01\x01"))
	f.Add(tagged("payload"))
	f.Add(ride(Mark("0123456789abcdef"), tagged("payload")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Parse(raw)
		if err != nil {
			return
		}
		tags := 0
		for range got.Meta.Tags() {
			tags++
		}
		if got.HasMeta || got.Rider.There || got.Packing != Plain { // a random number is in it
			if got.HasMeta && len(got.Head) != Size+nonceLength || got.Meta.HasTags() != (tags > 0) {
				t.Fatalf("%q parsed to %+v with %d tags", raw, got, tags)
			}
			return
		}
		if again := Make(got.Kind, got.Codec, got.Schema, string(got.Payload)); again != string(raw) {
			t.Fatalf("%q parsed to %+v, which makes %q", raw, got, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := []byte(Make(Value, 1, 1, string(make([]byte, 1024))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// What is simple is what Parse finds to be so: a whole value of that codec and
// schema with nothing beside it. No flipped bit and no cut is simple.
func TestSimple(t *testing.T) {
	simple := SimpleOf(7, 9)
	for _, payload := range []string{"", "x", "a longer payload, of more than a word or two"} {
		raw := []byte(Make(Value, 7, 9, payload))
		if got, ok := simple.Payload(raw); !ok || string(got) != payload {
			t.Errorf("%q: %q, %v", payload, got, ok)
		}
		for n := range raw {
			if _, ok := simple.Payload(raw[:n]); ok {
				t.Errorf("%q cut to %d bytes is simple", payload, n)
			}
			for bit := range 8 {
				raw[n] ^= 1 << bit
				if _, ok := simple.Payload(raw); ok {
					t.Errorf("%q with bit %d of byte %d flipped is simple", payload, bit, n)
				}
				raw[n] ^= 1 << bit
			}
		}
	}
	packed := Begin(nil, Value, 7, 9)
	Pack(packed, S2)
	for name, raw := range map[string][]byte{
		"another codec": []byte(Make(Value, 8, 9, "x")), "another schema": []byte(Make(Value, 7, 10, "x")),
		"no value": []byte(Make(Absent, 7, 9, "")), "packed": Seal(append(packed, "x"...)), "nothing": nil,
	} {
		if _, ok := simple.Payload(raw); ok {
			t.Errorf("%s is simple", name)
		}
	}
}

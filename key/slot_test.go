package key

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCRC(t *testing.T) {
	if got := crc16("123456789"); got != 0x31C3 {
		t.Errorf("CRC of the check string is %#x, want 0x31C3", got)
	}
	if a, b := crc16("shop:user:7"), crc16([]byte("shop:user:7")); a != b {
		t.Errorf("CRC of a string is %d, of the same bytes %d", a, b)
	}
}

func TestSlot(t *testing.T) {
	for key, want := range map[string]uint16{
		"":                     0,
		"foo":                  12182,
		"bar":                  5061,
		"hello":                866,
		"123456789":            0x31C3 % 16384,
		"{foo}bar":             12182,
		"bar{foo}":             12182,
		"x{foo}{hello}":        12182,
		"x{foo}}":              12182,
		"{user1000}.following": Slot("user1000"),
		"{user1000}.followers": Slot("user1000"),
		"foo{{bar}}zap":        crc16("{bar") % 16384,
		"foo{}{bar}":           crc16("foo{}{bar}") % 16384,
		"foo{bar":              crc16("foo{bar") % 16384,
		"foo}bar{":             crc16("foo}bar{") % 16384,
	} {
		if got := Slot(key); got != want {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	}
}

// randomID gives ids that try to break out: mostly braces, colons and escapes.
func randomID(r *rand.Rand) string {
	const bytes = "{}{}::%%_ab7 \x00\xff"
	var id strings.Builder
	for range r.IntN(8) {
		id.WriteByte(bytes[r.IntN(len(bytes))])
	}
	return id.String()
}

func TestIDsDoNotMoveKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	outside := MustParse("<a>:x{user:<id>}y:<b>")
	fixed := MustParse("<a>:{shop}:<b>")
	untagged := MustParse("shop:<a>:<b>")
	only := MustParse("user:<id>") // its key is the tag of outside
	for range 20000 {
		a, id, b := randomID(r), randomID(r), randomID(r)

		got, err := outside.Slot(a, id, b)
		tag, err2 := only.Key(id)
		if err != nil || err2 != nil || got != crc16(tag)%slots {
			t.Fatalf("%q, %q, %q: slot %d, want that of the tag %q, %d", a, id, b, got, tag, crc16(tag)%slots)
		}
		if got, _ := fixed.Slot(a, b); got != crc16("shop")%slots {
			t.Fatalf("%q, %q moved a key of %s to slot %d", a, b, fixed, got)
		}
		k, err := untagged.Key(a, b)
		if err != nil || strings.ContainsAny(k, "{}") || Slot(k) != crc16(k)%slots {
			t.Fatalf("%q, %q brought a hash tag into %q", a, b, k)
		}
		if got, _ := untagged.Slot(a, b); got != Slot(k) {
			t.Fatalf("Template.Slot is %d, Slot of the key %d", got, Slot(k))
		}
	}
}

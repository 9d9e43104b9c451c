package key

import "testing"

func BenchmarkKey(b *testing.B) {
	tpl := MustParse("shop:user:<id>:profile")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = tpl.Key("usr_0123456789")
	}
}

func BenchmarkKeyTwoIDs(b *testing.B) {
	tpl := MustParse("shop:{user:<id>}:cart:<item>")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = tpl.Key("usr_0123456789", "item_42")
	}
}

func BenchmarkAppendKey(b *testing.B) {
	tpl := MustParse("shop:user:<id>:profile")
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = tpl.AppendKey(dst[:0], "usr_0123456789")
	}
}

// BenchmarkByHand is the concatenation that a template replaces.
func BenchmarkByHand(b *testing.B) {
	id, key := "usr_0123456789", ""
	b.ReportAllocs()
	for b.Loop() {
		key = "shop:user:" + id + ":profile"
	}
	if key == "" {
		b.Fatal("no key")
	}
}

func BenchmarkMatch(b *testing.B) {
	tpl := MustParse("shop:user:<id>:profile")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = tpl.Match("shop:user:usr_0123456789:profile")
	}
}

func BenchmarkSlot(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Slot("shop:{user:usr_0123456789}:profile")
	}
}

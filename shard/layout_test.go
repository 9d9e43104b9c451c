package shard

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/redstart-go/redstart/key"
)

func layout(t testing.TB, members ...Member) Layout {
	t.Helper()
	l, err := NewLayout(members...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func equal(n int) []Member {
	m := make([]Member, n)
	for i := range m {
		m[i] = Member{Name: fmt.Sprintf("shard-%d", i)}
	}
	return m
}

// Owners never change with a release: this is what every process out there
// believes.
func TestLayoutIsForGood(t *testing.T) {
	l := layout(t, Member{Name: "paris", Weight: 2}, Member{Name: "lyon"}, Member{Name: "lille", Weight: 3})
	h := fnv.New64a()
	for slot := range uint16(Slots) {
		_, _ = h.Write([]byte(l.Owner(slot) + "\n"))
	}
	const want = "lille lyon paris paris; all c80974b5a7b51500"
	got := fmt.Sprintf("%s %s %s %s; all %x", l.Owner(0), l.Owner(1), l.OwnerOf("user:{42}:cart"), l.Owner(Slots-1), h.Sum64())
	if got != want {
		t.Errorf("owners %q, want %q", got, want)
	}
	if l.OwnerOf("a{tag}") != l.OwnerOf("b{tag}c") {
		t.Error("a hash tag does not keep keys together")
	}
}

func TestLayoutDoesNotDependOnOrder(t *testing.T) {
	m := []Member{{"a", 1}, {"b", 5}, {"c", 2}, {"d", 9}}
	want := layout(t, m...)
	for range 10 {
		rand.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		if moves := Plan(want, layout(t, m...)); len(moves) != 0 {
			t.Fatalf("%d slots differ in another order", len(moves))
		}
	}
}

// The integer logarithm is that of mathematics, to its last bits.
func TestMinusLog2(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		h := r.Uint64() >> r.IntN(64)
		want := (64 - math.Log2(float64(h|1))) * (1 << logBits)
		if got := float64(minusLog2(h)); math.Abs(got-want) > 2 {
			t.Fatalf("minusLog2(%d) = %v, want %v", h, got, want)
		}
	}
	if top := new(big.Int).Mul(new(big.Int).SetUint64(minusLog2(0)), big.NewInt(MaxWeight)); !top.IsUint64() {
		t.Errorf("cost times weight is %v, more than 64 bits", top)
	}
}

// Adding one of N moves at most 1/N + 2 % of the slots and of keys, all to the
// new one; removing it moves them back, and no others.
func TestOneMoreMovesLittle(t *testing.T) {
	const keys = 20_000
	worst, big := 0.0, layout(t, equal(1)...)
	for n := 1; n <= 32; n++ {
		small := big
		big = layout(t, equal(n+1)...)
		added := fmt.Sprintf("shard-%d", n)
		moves := Plan(small, big)
		for _, m := range moves {
			if m.To != added || m.From != small.Owner(m.Slot) {
				t.Fatalf("adding %s moves %+v", added, m)
			}
		}
		moved := 0
		for i := range keys {
			if k := fmt.Sprintf("shop:user:%d:profile", i); small.OwnerOf(k) != big.OwnerOf(k) {
				moved++
			}
		}
		most := 1/float64(n) + 0.02
		ofSlots, ofKeys := float64(len(moves))/Slots, float64(moved)/keys
		worst = max(worst, ofSlots-1/float64(n+1), ofKeys-1/float64(n+1))
		if ofSlots > most || ofKeys > most {
			t.Errorf("one more than %d moves %.4f of the slots, %.4f of the keys; at most %.4f", n, ofSlots, ofKeys, most)
		}
		back := Plan(big, small)
		if len(back) != len(moves) {
			t.Fatalf("removing %s moves %d slots, adding it moved %d", added, len(back), len(moves))
		}
		for i := range back {
			if back[i] != (Move{moves[i].Slot, moves[i].To, moves[i].From}) {
				t.Fatalf("removing moves %+v where adding moved %+v", back[i], moves[i])
			}
		}
	}
	t.Logf("at most %.4f above 1/(N+1)", worst)

	// The recipe, hash modulo N, cannot keep the promise.
	for n := 2; n <= 32; n++ {
		moved := 0
		for slot := range Slots {
			if h := mix(uint64(slot)); h%uint64(n) != h%uint64(n+1) {
				moved++
			}
		}
		if float64(moved)/Slots <= 1/float64(n)+0.02 {
			t.Errorf("hash modulo N moves only %d slots from %d to %d: this test catches nothing", moved, n, n+1)
		}
	}
}

// Slots are shared by weight: chi-square against the expected shares, with a
// bound that a fair hash passes once in a million.
func TestWeightsAreRespected(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for n := 1; n <= 32; n++ {
		m := equal(n)
		if n%2 == 0 {
			for i := range m {
				m[i].Weight = 1 + r.IntN(8)
			}
		}
		l := layout(t, m...)
		total := 0
		for _, m := range l.Members() {
			total += m.Weight
		}
		count, chi := l.Count(), 0.0
		for _, m := range l.Members() {
			want := float64(Slots) * float64(m.Weight) / float64(total)
			d := float64(count[m.Name]) - want
			chi += d * d / want
		}
		// Wilson and Hilferty's approximation of the quantile at z = 4.75.
		f := float64(max(n-1, 1))
		bound := f * math.Pow(1-2/(9*f)+4.75*math.Sqrt(2/(9*f)), 3)
		if chi > bound {
			t.Errorf("%d shards %v have %v slots: chi-square %.1f, bound %.1f", n, m, count, chi, bound)
		}
	}
}

// More weight takes slots for that shard only.
func TestMoreWeightOnlyTakes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		m := equal(1 + r.IntN(12))
		for i := range m {
			m[i].Weight = 1 + r.IntN(20)
		}
		before := layout(t, m...)
		i := r.IntN(len(m))
		m[i].Weight += 1 + r.IntN(20)
		for _, move := range Plan(before, layout(t, m...)) {
			if move.To != m[i].Name {
				t.Fatalf("more weight for %s moves %+v", m[i].Name, move)
			}
		}
	}
}

func TestLayoutRefuses(t *testing.T) {
	for name, m := range map[string][]Member{
		"none": nil, "no name": {{"", 1}}, "a space": {{"a b", 1}}, "twice": {{"a", 1}, {"a", 2}},
		"negative": {{"a", -1}}, "heavy": {{"a", MaxWeight + 1}}, "many": equal(MaxShards + 1),
	} {
		if l, err := NewLayout(m...); err == nil || l.Owner(0) != "" || l.OwnerOf("k") != "" {
			t.Errorf("%s: %v, %v", name, l.Owner(0), err)
		}
	}
	if Plan(Layout{}, layout(t, equal(2)...)) != nil || layout(t, equal(1)...).Owner(Slots) != "" {
		t.Error("the zero Layout owns something, or a slot beyond the last has an owner")
	}
	if layout(t, equal(1)...).Owner(key.Slot("x")) != "shard-0" {
		t.Error("one shard does not own everything")
	}
}

package faults

import (
	"testing"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
)

// moved is the share of the keys whose owner changes when one shard is added
// to n, and how many of these go to another than the new one.
func moved(keys int, before, after func(key string) string, added string) (share float64, astray int) {
	n := 0
	for i := range keys {
		key := shopKey(i)
		if to := after(key); to != before(key) {
			n++
			if to != added {
				astray++
			}
		}
	}
	return float64(n) / float64(keys), astray
}

// tooMuch is the promise: adding one to n moves at most 1/n + 2 % of the keys,
// and all of them to it.
func tooMuch(share float64, astray, n int) bool {
	return share > 1/float64(n)+0.02 || astray > 0
}

// H1: one shard more moves few keys, and every process agrees on the owners.
func TestH1OneShardMoreMovesLittle(t *testing.T) {
	form := harness.Run(t)
	keys := harness.Choose(form, 20_000, 200_000)
	const most = 16
	worst, four, naiveFour, caught := 0.0, 0.0, 0.0, 0
	for n := 1; n <= most; n++ {
		names := shardNames(n + 1)
		small, err := layoutOf(names[:n])
		if err != nil {
			t.Fatal(err)
		}
		large, err := layoutOf(names)
		if err != nil {
			t.Fatal(err)
		}
		share, astray := moved(keys, small.OwnerOf, large.OwnerOf, names[n])
		if tooMuch(share, astray, n) {
			t.Errorf("one more than %d moves %.4f of the keys, %d of them elsewhere", n, share, astray)
		}
		worst = max(worst, share-1/float64(n+1))

		modulo := func(n int) func(string) string {
			return func(key string) string { return names[naive.Modulo(key, n)] }
		}
		naiveShare, naiveAstray := moved(keys, modulo(n), modulo(n+1), names[n])
		if tooMuch(naiveShare, naiveAstray, n) {
			caught++
		}
		if n == 4 {
			four, naiveFour = share, naiveShare
		}
	}
	if caught < most-1 { // from one to two, half of the keys move in any case
		t.Errorf("the checker catches hash modulo N for only %d of %d sizes", caught, most)
	}

	// Two other processes, with the shards in an order of their own.
	type ask struct{ Shards, Keys int }
	want, err := ownersOf(t.Context(), ask{most, keys})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got uint64
		child := harness.Start(t, "copier", copierArg{})
		if err := child.Call(t.Context(), "owners", ask{most, keys}, &got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Error("another process has other owners")
		}
	}
	keep(t, form, "H1", []string{"no server"}, "adding one shard to 1 to %d moves at most %.1f points more than 1/(N+1) of %d keys, all to the new one (4 to 5: %.1f %%; hash modulo N: %.1f %%); three processes agree on the owner of every key",
		most, 100*worst, keys, 100*four, 100*naiveFour)
}

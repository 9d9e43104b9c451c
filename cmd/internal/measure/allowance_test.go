package measure

import (
	"math/rand/v2"
	"testing"
	"time"
)

func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func points(ms ...int) []Grant {
	var out []Grant
	for _, m := range ms {
		out = append(out, Grant{at(m), at(m)})
	}
	return out
}

func TestExcess(t *testing.T) {
	a := Allowance{Burst: 3, Every: 100 * time.Millisecond}
	for _, c := range []struct {
		name       string
		grants     []Grant
		over, most int
	}{
		{"none", nil, 0, 0},
		{"the burst", points(0, 0, 0), 0, 3},
		{"one more than the burst", points(0, 0, 0, 0), 1, 4},
		{"the burst and then evenly", points(0, 0, 0, 100, 200, 300), 0, 3},
		{"a little too early", points(0, 0, 0, 90), 1, 3},
		{"two bursts around an edge", points(280, 290, 299, 300, 305, 310), 3, 6},
		{"two bursts a while apart", points(0, 0, 0, 300, 300, 300), 0, 3},
		{"who is over takes nothing from the next", points(0, 0, 0, 10, 20, 30, 100), 3, 6},
		{"a late reply excuses", append(points(0, 0, 0), Grant{at(10), at(100)}), 0, 3},
		{"but not one that came too soon", append(points(0, 0, 0), Grant{at(10), at(99)}), 1, 3},
		{"sent later and answered earlier", []Grant{{at(0), at(0)}, {at(0), at(0)}, {at(0), at(200)}, {at(90), at(99)}}, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			marked := 0
			over, n, most := a.Excess(c.grants)
			for _, o := range over {
				if o {
					marked++
				}
			}
			if n != c.over || marked != c.over || most != c.most {
				t.Errorf("%d over (%d marked), the most %d; want %d and %d", n, marked, most, c.over, c.most)
			}
		})
	}
}

// TestExcessAgainstAllWindows holds it to the words of its promise: what is left breaks no window, and no grant is taken
// away that would not break one. Where the times of the decisions are known less well, never more are over than were.
func TestExcessAgainstAllWindows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		a := Allowance{Burst: 1 + rng.IntN(4), Every: time.Duration(1+rng.IntN(40)) * time.Millisecond}
		var exact, known []Grant
		now := 0
		for range rng.IntN(30) {
			now += rng.IntN(30)
			exact = append(exact, Grant{at(now), at(now)})
			known = append(known, Grant{at(now - rng.IntN(20)), at(now + rng.IntN(20))})
		}
		over, n, most := a.Excess(exact)
		var kept []Grant
		for i, g := range exact {
			if !over[i] {
				kept = append(kept, g)
			} else if !a.broken(append(append([]Grant(nil), kept...), g)) {
				t.Fatalf("%+v: grant %d of %v is over, and breaks no window", a, i, exact)
			}
		}
		if a.broken(kept) || len(kept)+n != len(exact) {
			t.Fatalf("%+v: %d over in %v, and what is left breaks a window", a, n, exact)
		}
		if _, less, fewer := a.Excess(known); less > n || fewer > most {
			t.Fatalf("%+v: %d over and at most %d by %v, by the times of the decisions %d and %d", a, less, fewer, known, n, most)
		}
	}
}

// broken looks at every window.
func (a Allowance) broken(grants []Grant) bool {
	for i := range grants {
		for j := i; j < len(grants); j++ {
			every := float64(a.Every) * (1 - drift)
			if float64(j-i+1)*every > float64(a.Burst)*float64(a.Every)+float64(grants[j].Got.Sub(grants[i].Sent))+100 {
				return true
			}
		}
	}
	return false
}

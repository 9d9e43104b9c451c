package flight

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ride lets a seat be ridden beside the test.
func ride(ctx context.Context, s Seat[int, string], patience time.Duration) <-chan Ridden {
	ended := make(chan Ridden, 1)
	go func() { ended <- s.Ride(ctx, patience) }()
	return ended
}

// stays fails the test if the ride has ended.
func stays(t *testing.T, what string, ended <-chan Ridden) {
	t.Helper()
	select {
	case how := <-ended:
		t.Errorf("%s: the ride ended as %d", what, how)
	default:
	}
}

func TestAllHaveOneEnd(t *testing.T) {
	flights := New[int, string]()
	first := flights.Board(t.Context(), "k", 1)
	second := flights.Board(t.Context(), "k", 2)
	other := flights.Board(t.Context(), "other", 3)
	if first.Joined || !second.Joined || other.Joined || second.Flight != first.Flight || second.On != 1 {
		t.Fatalf("joined: %v, %v, %v; about %d", first.Joined, second.Joined, other.Joined, second.On)
	}
	a, b := ride(t.Context(), first, 0), ride(t.Context(), second, time.Hour)
	first.Land("the end")
	if how, too := <-a, <-b; how != Landed || too != Landed || *second.End() != "the end" {
		t.Errorf("the rides ended as %d and %d with %q", how, too, *second.End())
	}
	if next := flights.Board(t.Context(), "k", 4); next.Joined {
		t.Error("a flight that has landed took a caller")
	} else {
		next.Land("")
	}
	other.Land("")
	if n := flights.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// A flight's context has its first caller's values and not his end.
func TestContextOutlivesTheFirstCaller(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	flights := New[int, string]()
	first := flights.Board(ctx, "k", 1)
	second := flights.Board(t.Context(), "k", 1)
	cancel()
	if how := first.Ride(ctx, 0); how != Alighted {
		t.Errorf("the first ride ended as %d", how)
	}
	if second.Ctx.Err() != nil || second.Ctx.Value(key{}) != "value" {
		t.Errorf("the flight of one who still waits: %v, value %v", second.Ctx.Err(), second.Ctx.Value(key{}))
	}
	second.Land("")
	second.Cancel()
}

// Who gets off last gives the flight up, but for one that loads here or that an
// impatient caller left to go on.
func TestTheLastToGetOff(t *testing.T) {
	for _, test := range []struct {
		name    string
		claimed bool
		leave   func(t *testing.T, s Seat[int, string]) Ridden
		want    Ridden
		givenUp bool
	}{
		{"nobody waits", false, gone, Alighted, true},
		{"this process loads", true, gone, Alighted, false},
		{"his patience has ended", false, impatient, Impatient, false},
	} {
		flights := New[int, string]()
		s := flights.Board(t.Context(), "k", 1)
		other := flights.Board(t.Context(), "k", 1)
		if test.claimed {
			s.Claimed(s.Send())
		}
		if how := test.leave(t, s); how != test.want {
			t.Errorf("%s: the ride ended as %d", test.name, how)
		}
		if s.Ctx.Err() != nil || flights.Len() != 1 {
			t.Errorf("%s: given up although one waits", test.name)
		}
		test.leave(t, other)
		if givenUp := s.Ctx.Err() != nil; givenUp != test.givenUp || flights.Len() == 1 == givenUp {
			t.Errorf("%s: given up %v, %d to join", test.name, givenUp, flights.Len())
		}
		s.Land("")
		s.Cancel()
	}
}

func gone(t *testing.T, s Seat[int, string]) Ridden {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return s.Ride(ctx, 0)
}

func impatient(t *testing.T, s Seat[int, string]) Ridden { return s.Ride(t.Context(), time.Nanosecond) }

// A lost lease sends away who came after the claim was sent, once; who came
// before may have what it loads.
func TestLeaseLost(t *testing.T) {
	for name, lose := range map[string]func(*Flights[int, string], Seat[int, string]){
		"LeaseLost": func(_ *Flights[int, string], s Seat[int, string]) { s.LeaseLost() },
		"Forget":    func(f *Flights[int, string], _ Seat[int, string]) { f.Forget("k") },
	} {
		flights := New[int, string]()
		before := flights.Board(t.Context(), "k", 1)
		claim := before.Send()
		after := flights.Board(t.Context(), "k", 1)
		before.Claimed(claim)
		if before.Number >= claim || after.Number < claim || before.Claim() != claim {
			t.Fatalf("seats %d and %d, claim %d", before.Number, after.Number, claim)
		}
		early, late := ride(t.Context(), before, 0), ride(t.Context(), after, 0)
		lose(flights, before)
		before.LeaseLost() // again does no harm
		if how := <-late; how != SentAway {
			t.Errorf("%s: who came after the claim: %d", name, how)
		}
		stays(t, name, early)
		if next := flights.Board(t.Context(), "k", 1); next.Joined {
			t.Errorf("%s: it still takes callers", name)
		} else {
			next.Land("")
		}
		before.Land("the end")
		if how := <-early; how != Landed {
			t.Errorf("%s: who came before the claim: %d", name, how)
		}
	}
}

// What is forgotten before it has claimed anything takes nobody else, and sends
// nobody away: its claim is still to come.
func TestForgetBeforeTheClaim(t *testing.T) {
	flights := New[int, string]()
	s := flights.Board(t.Context(), "k", 1)
	riding := ride(t.Context(), s, 0)
	flights.Forget("k")
	flights.Forget("none")
	if flights.Len() != 0 {
		t.Error("it still takes callers")
	}
	stays(t, "forgotten", riding)
	s.Land("")
	if how := <-riding; how != Landed {
		t.Errorf("the ride ended as %d", how)
	}
}

func TestAloneCannotBeJoined(t *testing.T) {
	flights := New[int, string]()
	alone := flights.Alone(t.Context(), "k", 1)
	s := flights.Board(t.Context(), "k", 2)
	if s.Joined || s.Flight == alone {
		t.Error("it was joined")
	}
	alone.Land("") // and takes no other down
	if flights.Len() != 1 {
		t.Error("the key's flight is gone with it")
	}
	s.Land("")
}

// For any order of boardings, commands, ends and losses: a seat's number is how
// many commands were sent before it, one flight a key takes callers, and nobody
// joins one that has ended, was lost or was given up.
func TestBoarding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flights := New[int, string]()
		var open *Flight[int, string] // by the model
		sent := map[*Flight[int, string]]int{}
		var all []*Flight[int, string]
		landed := map[*Flight[int, string]]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"board": func(t *rapid.T) {
				s := flights.Board(context.Background(), "k", 1)
				if s.Joined != (open != nil) || open != nil && s.Flight != open {
					t.Fatalf("joined is %v", s.Joined)
				}
				if !s.Joined {
					open, all = s.Flight, append(all, s.Flight)
				}
				if s.Number != sent[s.Flight] {
					t.Fatalf("seat %d after %d commands", s.Number, sent[s.Flight])
				}
			},
			"send": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none")
				}
				f := all[rapid.IntRange(0, len(all)-1).Draw(t, "flight")]
				if sent[f]++; f.Send() != sent[f] {
					t.Fatal("a command was miscounted")
				}
			},
			"claim": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none")
				}
				f := all[rapid.IntRange(0, len(all)-1).Draw(t, "flight")]
				f.Claimed(sent[f])
			},
			"land": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none")
				}
				f := all[rapid.IntRange(0, len(all)-1).Draw(t, "flight")]
				if landed[f] {
					t.Skip("it has landed")
				}
				landed[f] = true
				f.Land("")
				if f == open {
					open = nil
				}
			},
			"lose": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "by key") {
					flights.Forget("k")
					open = nil
				} else if len(all) > 0 {
					f := all[rapid.IntRange(0, len(all)-1).Draw(t, "flight")]
					f.LeaseLost()
					if f == open {
						open = nil
					}
				}
			},
			"": func(t *rapid.T) {
				if n := flights.Len(); n != 0 != (open != nil) {
					t.Fatalf("%d to join", n)
				}
			},
		})
		for _, f := range all {
			f.Cancel()
		}
	})
}

// Many come and go at once; each who stays has the end of his own flight.
func TestManyAtOnce(t *testing.T) {
	flights := New[int, int]()
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s := flights.Board(ctx, string(rune('a'+n%5)), n)
			if !s.Joined {
				go s.Land(s.On)
			} else if n%7 == 0 {
				cancel()
			}
			if how := s.Ride(ctx, 0); how == Landed && *s.End() != s.On {
				t.Errorf("an end of another flight: %d for %d", *s.End(), s.On)
			} else if how != Landed && n%7 != 0 {
				t.Errorf("the ride ended as %d", how)
			}
		})
	}
	wg.Wait()
	if n := flights.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestGroup(t *testing.T) {
	flights := New[int, string]()
	a, b := flights.Board(t.Context(), "a", 1), flights.Board(t.Context(), "b", 1)
	b.Send()
	g := Group[int, string]{a.Flight, b.Flight}
	if keys, sent := g.Keys(), g.Send(); keys[0] != "a" || keys[1] != "b" || sent[0] != 1 || sent[1] != 2 {
		t.Errorf("%q, %d", keys, sent)
	}
	g.Cancel()
	g.Land("the end")
	for _, s := range []Seat[int, string]{a, b} {
		if s.Ctx.Err() == nil || s.Ride(t.Context(), 0) != Landed || *s.End() != "the end" {
			t.Errorf("%s: %v, %q", s.Key, s.Ctx.Err(), *s.End())
		}
	}
}

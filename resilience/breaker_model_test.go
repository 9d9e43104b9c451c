package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// model is the breaker as one would write it down: one call after the other,
// every call of the window kept.
type model struct {
	cfg      BreakerConfig
	state    State
	since    int // changes of state so far
	inARow   int
	calls    []modelCall
	due      time.Duration
	probes   []modelProbe
	finished int // probes that succeeded
}

type modelCall struct {
	step   time.Duration
	failed bool
}

type modelProbe struct {
	id    int
	until time.Duration
}

type modelToken struct {
	since, id int
	probe     bool
}

func (m *model) change(to State) { m.state, m.since = to, m.since+1 }

func (m *model) open(now time.Duration) {
	m.change(Open)
	m.due = now + m.cfg.Cooldown
}

func (m *model) close() {
	m.change(Closed)
	m.inARow, m.calls = 0, nil
}

func (m *model) allow(now time.Duration, id int) (modelToken, bool) {
	if m.state == Open && now >= m.due {
		m.change(HalfOpen)
		m.probes, m.finished = nil, 0
	}
	switch m.state {
	case Open:
		return modelToken{}, false
	case HalfOpen:
		if len(m.probes)+m.finished == m.cfg.Probes { // all places taken; is one's time over?
			over := slices.IndexFunc(m.probes, func(p modelProbe) bool { return p.until <= now })
			if over < 0 {
				return modelToken{}, false
			}
			m.probes = slices.Delete(m.probes, over, over+1)
		}
		m.probes = append(m.probes, modelProbe{id, now + m.cfg.ProbeTimeout})
		return modelToken{since: m.since, id: id, probe: true}, true
	default:
		return modelToken{since: m.since, id: id}, true
	}
}

func (m *model) record(now time.Duration, token modelToken, verdict string) {
	if token.since != m.since {
		return
	}
	if token.probe {
		at := slices.IndexFunc(m.probes, func(p modelProbe) bool { return p.id == token.id })
		if at < 0 {
			return
		}
		m.probes = slices.Delete(m.probes, at, at+1)
		switch verdict {
		case "failure":
			m.open(now)
		case "success":
			if m.finished++; m.finished == m.cfg.Probes {
				m.close()
			}
		}
		return
	}
	if verdict == "nothing" {
		return
	}
	m.calls = append(m.calls, modelCall{now / (m.cfg.Window / steps), verdict == "failure"})
	if verdict == "success" {
		m.inARow = 0
		return
	}
	m.inARow++
	calls, failures := m.window(now)
	if m.cfg.Failures > 0 && m.inARow >= m.cfg.Failures ||
		m.cfg.Rate > 0 && calls >= m.cfg.MinCalls && float64(failures) >= m.cfg.Rate*float64(calls) {
		m.open(now)
	}
}

func (m *model) window(now time.Duration) (calls, failures int) {
	for _, c := range m.calls {
		if c.step > now/(m.cfg.Window/steps)-steps {
			calls++
			if c.failed {
				failures++
			}
		}
	}
	return calls, failures
}

// Random histories of overlapping calls, in simulated time, give the same
// answers as the model.
func TestBreakerFollowsItsModel(t *testing.T) {
	verdicts := map[string]error{"success": nil, "failure": errDown, "nothing": context.Canceled}
	names := []string{"success", "failure", "nothing"}
	var opened, probed int
	for seed := range uint64(300) {
		source := rand.New(rand.NewPCG(seed, 9))
		cfg := BreakerConfig{Failures: 3, Probes: 1 + source.IntN(3), ProbeTimeout: 3 * time.Second, Cooldown: 5 * time.Second}
		if seed%3 > 0 {
			cfg.Rate, cfg.MinCalls, cfg.Window = 0.4, 5, 4*time.Second
			cfg.Failures = []int{0, 6}[seed%2]
		}
		failing := 1 + source.IntN(9) // of 10
		synctest.Test(t, func(t *testing.T) {
			b := must(NewBreaker(cfg))
			m := &model{cfg: b.cfg}
			began := time.Now()
			type flight struct {
				token Token
				model modelToken
			}
			var flights []flight
			for op := range 400 {
				now := time.Since(began)
				var did string
				switch n := source.IntN(100); {
				case n < 40:
					did = "allow"
					token, err := b.Allow()
					want, ok := m.allow(now, op)
					if (err == nil) != ok {
						t.Fatalf("seed %d, op %d: allowed with %v, the model says %v", seed, op, err, ok)
					}
					if ok {
						flights = append(flights, flight{token, want})
						if want.probe {
							probed++
						}
					} else if got, want := RetryAfter(err), max(m.due-now, 0); got != want || !errors.Is(err, ErrOpen) {
						t.Fatalf("seed %d, op %d: %v, come back in %v, the model says %v", seed, op, err, got, want)
					}
				case n < 80 && len(flights) > 0:
					i := source.IntN(len(flights))
					name := "failure"
					if source.IntN(10) >= failing {
						name = names[source.IntN(len(names))]
					}
					did = "record " + name
					b.Record(t.Context(), flights[i].token, verdicts[name])
					m.record(now, flights[i].model, name)
					flights = slices.Delete(flights, i, i+1)
				case n == 80:
					did = "trip"
					b.Trip(nil)
					m.open(now)
				case n == 81:
					did = "reset"
					b.Reset()
					if m.state != Closed {
						m.close()
					}
				default:
					did = "wait"
					time.Sleep(time.Duration(source.Int64N(int64(600*time.Millisecond)) | 1)) // never together with a step
					synctest.Wait()
				}
				if b.State() != m.state {
					t.Fatalf("seed %d, op %d (%s): %v, the model says %v", seed, op, did, b.State(), m.state)
				}
				if b.State() == Open {
					opened++
				}
				if b.window != nil && m.state == Closed {
					check(t, fmt.Sprintf("seed %d, op %d (%s)", seed, op, did), b, m, time.Since(began))
				}
			}
		})
	}
	if opened < 1000 || probed < 1000 {
		t.Errorf("too tame: %d times seen open, %d probes", opened, probed)
	}
}

// check compares the sums of the window, as the timer left them.
func check(t *testing.T, where string, b *Breaker, m *model, now time.Duration) {
	t.Helper()
	calls, failures := b.window.sum()
	wantCalls, wantFailures := m.window(now)
	if int(calls) != wantCalls || int(failures) != wantFailures {
		t.Fatalf("%s: %d of %d in the window, the model says %d of %d", where, failures, calls, wantFailures, wantCalls)
	}
}

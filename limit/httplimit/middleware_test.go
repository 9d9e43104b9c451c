package httplimit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/limit"
)

// A client sees what it has left, until it is denied.
func TestOneLimit(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := serve(t, limiter(t, url, limit.Config{Limits: []limit.Limit{limit.PerHour(3)}}), Config{})
		for left := int64(2); left >= 0; left-- {
			a := s.get()
			if a.status != http.StatusOK || a.header.Get("Retry-After") != "" {
				t.Fatalf("%d left: %d, %v", left, a.status, a.header)
			}
			policy, state := a.field(t, "RateLimit-Policy"), a.field(t, "RateLimit")
			if len(policy) != 1 || policy[0].name != "default" || !maps.Equal(policy[0].params, map[string]any{"q": int64(3), "w": int64(3600)}) {
				t.Errorf("RateLimit-Policy: %v", policy)
			}
			if len(state) != 1 || state[0].name != "default" || state[0].params["r"] != left {
				t.Errorf("RateLimit: %v, want %d left", state, left)
			}
			if next, ok := state[0].params["t"].(int64); !ok || next < 1 || next > 1200 {
				t.Errorf("RateLimit: %v: an hour of 3 gives one within 1200 s", state)
			}
		}
		a := s.get()
		if a.status != http.StatusTooManyRequests {
			t.Fatalf("the fourth: %d", a.status)
		}
		retry, state := a.retry(t), a.field(t, "RateLimit")
		if retry < 1 || retry > 1200 || len(state) != 1 || state[0].params["r"] != int64(0) || state[0].params["t"] != retry {
			t.Errorf("Retry-After %d, RateLimit %v", retry, state)
		}
		kind, violated := a.problem(t)
		if kind != "https://iana.org/assignments/http-problem-types#quota-exceeded" || !slices.Equal(violated, []string{"default"}) {
			t.Errorf("%s", a.body)
		}
	})
}

// Several limits are several items; those that denied are named, and only they
// say when they have more. A shadow is not to be seen, but by the hook.
func TestSeveralLimits(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var shadowed, denied []Info
		s := serve(t, limiter(t, url, limit.Config{Limits: []limit.Limit{
			{Name: "hour", Rate: 2, Per: time.Hour},
			{Name: "trial", Rate: 1, Per: 90 * day, Shadow: true},
			{Name: "day", Algorithm: limit.SlidingLog, Rate: 2, Per: day},
			{Name: "month", Algorithm: limit.SlidingCounter, Rate: 50, Per: 30 * day},
		}}), Config{Events: Events{
			Shadowed: func(i Info) { shadowed = append(shadowed, i) },
			Denied:   func(i Info) { denied = append(denied, i) },
		}})
		names := func(a answer, field string) (out []string) {
			for _, e := range a.field(t, field) {
				out = append(out, e.name)
			}
			return out
		}
		all := []string{"hour", "day", "month"}
		for i := range 3 {
			a := s.get()
			if !slices.Equal(names(a, "RateLimit-Policy"), all) || !slices.Equal(names(a, "RateLimit"), all) {
				t.Errorf("request %d: %v", i, a.header)
			}
			switch i {
			case 0:
				if a.status != http.StatusOK || len(shadowed) != 0 {
					t.Errorf("the first: %d, shadowed %v", a.status, shadowed)
				}
			case 1:
				if a.status != http.StatusOK || len(shadowed) != 1 || !slices.Equal(shadowed[0].Policies, []string{"trial"}) ||
					shadowed[0].Request == nil || !shadowed[0].Decision.Allowed {
					t.Errorf("the second: %d, shadowed %+v", a.status, shadowed)
				}
			case 2:
				_, violated := a.problem(t)
				if a.status != http.StatusTooManyRequests || !slices.Equal(violated, []string{"hour", "day"}) {
					t.Errorf("the third: %d, %s", a.status, a.body)
				}
				if len(denied) != 1 || !slices.Equal(denied[0].Policies, violated) || len(shadowed) != 1 {
					t.Errorf("denied %+v, shadowed %d", denied, len(shadowed))
				}
				retry := a.retry(t)
				for _, e := range a.field(t, "RateLimit") {
					next, told := e.params["t"].(int64)
					if told != (e.name != "month") || next > retry {
						t.Errorf("Retry-After %d with %v", retry, e)
					}
				}
				if retry <= 3600 {
					t.Errorf("Retry-After %d: the day is not over", retry)
				}
			}
		}
	})
}

// A shadow alone denies nothing and sets no field.
func TestShadowAlone(t *testing.T) {
	shadowed := 0
	l := limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{{Rate: 1, Per: time.Hour, Shadow: true}}})
	s := serve(t, l, Config{Events: Events{Shadowed: func(i Info) {
		if slices.Equal(i.Policies, []string{"default"}) {
			shadowed++
		}
	}}})
	for range 4 {
		a := s.get()
		if a.status != http.StatusOK || a.field(t, "RateLimit") != nil || a.field(t, "RateLimit-Policy") != nil {
			t.Errorf("%d, %v", a.status, a.header)
		}
	}
	if shadowed != 3 {
		t.Errorf("told of %d requests, not 3", shadowed)
	}
}

// A request may cost many units, none, or more than there ever are.
func TestCost(t *testing.T) {
	costs := map[string]int64{"big": 4, "free": 0, "huge": 11, "negative": -1}
	failed := 0
	s := serve(t, limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{
		{Name: "size", Rate: 10, Per: time.Hour}, {Name: "more", Rate: 100, Per: time.Hour},
	}}), Config{
		Unit: "content-bytes",
		Cost: func(r *http.Request) (int64, error) {
			n, ok := costs[r.Header.Get("Kind")]
			if !ok {
				return 0, errors.New("no kind")
			}
			return n, nil
		},
		Events: Events{Failed: func(Info) { failed++ }},
	})
	big := func(want int, left int64) {
		t.Helper()
		a := s.get("Kind", "big")
		if e := a.field(t, "RateLimit"); a.status != want || e[0].params["r"] != left {
			t.Errorf("big: %d, %v", a.status, a.header)
		}
		if e := a.field(t, "RateLimit-Policy"); e[0].params["qu"] != "content-bytes" {
			t.Errorf("%v", e)
		}
	}
	big(http.StatusOK, 6)
	for range 20 {
		if a := s.get("Kind", "free"); a.status != http.StatusOK || a.header.Get(policyName) != "" {
			t.Errorf("free: %d, %v", a.status, a.header)
		}
	}
	never := s.get("Kind", "huge")
	kind, violated := never.problem(t)
	if never.status != http.StatusTooManyRequests || never.retry(t) != -1 || kind != quotaExceeded || !slices.Equal(violated, []string{"size"}) {
		t.Errorf("huge: %d, %v, %s", never.status, never.header, never.body)
	}
	if a := s.get("Kind", "negative"); a.status != http.StatusServiceUnavailable {
		t.Errorf("negative: %d", a.status)
	}
	if a := s.get(); a.status != http.StatusBadRequest {
		t.Errorf("unknown: %d", a.status)
	}
	if failed != 2 {
		t.Errorf("%d failures told", failed)
	}
	big(http.StatusOK, 2)
	big(http.StatusTooManyRequests, 2)
}

// A request without a key is refused, or passes where that was asked for, and
// no answer says anything of keys.
func TestFailures(t *testing.T) {
	const secret = "a-secret-key"
	key := func(r *http.Request) (string, error) {
		switch r.Header.Get("User") {
		case "":
			return "", nil
		case "bad":
			return "", errors.New("cannot read " + secret)
		default:
			return secret, nil
		}
	}
	for _, onFailure := range []Failure{Refuse, Pass} {
		var failed []Info
		l := limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{limit.PerHour(1)}})
		s := serve(t, l, Config{Key: key, OnFailure: onFailure, Events: Events{Failed: func(i Info) { failed = append(failed, i) }}})
		want := http.StatusBadRequest
		if onFailure == Pass {
			want = http.StatusOK
		}
		for i, headers := range [][]string{nil, {"User", "bad"}} {
			a := s.get(headers...)
			if a.status != want || a.field(t, "RateLimit-Policy") != nil || len(failed) != i+1 || failed[i].Err == nil {
				t.Errorf("%d: %v: %d, %v", onFailure, headers, a.status, failed)
			}
			if want != http.StatusOK {
				if kind, violated := a.problem(t); kind != "about:blank" || violated != nil {
					t.Errorf("%s", a.body)
				}
			}
			hides(t, a, secret)
		}
		for range 2 {
			hides(t, s.get("User", "good"), secret)
		}
	}
}

func hides(t *testing.T, a answer, secret string) {
	t.Helper()
	if strings.Contains(string(a.body), secret) {
		t.Errorf("the body tells: %s", a.body)
	}
	for name, values := range a.header {
		if strings.Contains(strings.Join(values, ","), secret) {
			t.Errorf("%s tells: %q", name, values)
		}
	}
}

// An error of the limiter that is no outage: the key holds something else.
func TestLimiterFails(t *testing.T) {
	for onFailure, want := range map[Failure]int{Refuse: http.StatusServiceUnavailable, Pass: http.StatusOK} {
		url := inProcess(t).URL()
		l := limiter(t, url, limit.Config{Limits: []limit.Limit{limit.PerHour(1)}})
		c, err := redstart.Open(t.Context(), url, redstart.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if err := c.Do(t.Context(), c.B().Lpush().Key("limit:{one}").Element("a list").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var failed error
		s := serve(t, l, Config{OnFailure: onFailure, Events: Events{Failed: func(i Info) { failed = i.Err }}})
		a := s.get()
		if a.status != want || failed == nil || a.field(t, "RateLimit") != nil {
			t.Errorf("%d: %d, %v", onFailure, a.status, failed)
		}
		if want != http.StatusOK {
			a.problem(t)
			hides(t, a, "WRONGTYPE")
		}
	}
}

// While the server is away the limiter's policy decides, and no field tells
// what nobody knows.
func TestOutage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		outage limit.Outage
		want   []int
		kind   string
	}{
		{"allow", limit.Allow, []int{200, 200, 200}, ""},
		{"deny", limit.Deny, []int{503, 503, 503}, reducedCapacity},
		{"local", limit.Local, []int{200, 200, 429}, quotaExceeded},
	} {
		for _, shadowAt := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, the shadow at %d", tc.name, shadowAt), func(t *testing.T) {
				limits := []limit.Limit{{Name: "hour", Rate: 2, Per: time.Hour}}
				limits = slices.Insert(limits, shadowAt, limit.Limit{Name: "seen", Rate: 3, Per: time.Hour, Shadow: true})
				outage(t, limits, tc.outage, tc.want, tc.kind)
			})
		}
	}
}

func outage(t *testing.T, limits []limit.Limit, policy limit.Outage, statuses []int, problem string) {
	t.Helper()
	server := inProcess(t)
	denied := 0
	l := limiter(t, server.URL(), limit.Config{Limits: limits, OnOutage: policy})
	s := serve(t, l, Config{OnFailure: Refuse, Events: Events{Denied: func(Info) { denied++ }}})
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, want := range statuses {
		a := s.get()
		if a.status != want {
			t.Fatalf("request %d: %d, want %d: %s", i, a.status, want, a.body)
		}
		if e := a.field(t, "RateLimit-Policy"); len(e) != 1 || e[0].name != "hour" {
			t.Errorf("RateLimit-Policy: %v", e)
		}
		if e := a.field(t, "RateLimit"); (e != nil) != (policy == limit.Local) {
			t.Errorf("RateLimit: %v", e)
		}
		if want == http.StatusOK {
			continue
		}
		refused++
		if kind, _ := a.problem(t); kind != problem || a.retry(t) < 1 {
			t.Errorf("%v, %s", a.header, a.body)
		}
	}
	if denied != refused {
		t.Errorf("told of %d denials, there were %d", denied, refused)
	}
}

// A request whose context has ended is not served, whatever the policy.
func TestEndedContext(t *testing.T) {
	l := limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{limit.PerHour(1)}})
	m, err := New(l, Config{Key: one, OnFailure: Pass})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	if m.Allow(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)) || w.Code != http.StatusServiceUnavailable {
		t.Errorf("went on, or status %d", w.Code)
	}
}

// Two middlewares in each other both tell, in one list.
func TestTwoMiddlewares(t *testing.T) {
	url := inProcess(t).URL()
	middleware := func(name string, n int64) *Middleware {
		m, err := New(limiter(t, url, limit.Config{Key: name + ":{<id>}", Limits: []limit.Limit{{Name: name, Rate: n, Per: time.Hour}}}), Config{Key: one})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	outer, inner := middleware("address", 5), middleware("user", 1)
	s := serveHandler(t, func(h http.Handler) http.Handler { return outer.Handler(inner.Handler(h)) })
	for _, want := range []int{200, 429} {
		a := s.get()
		for _, field := range []string{"RateLimit", "RateLimit-Policy"} {
			if e := a.field(t, field); a.status != want || len(e) != 2 || e[0].name != "address" || e[1].name != "user" {
				t.Errorf("%d, %s: %v", a.status, field, e)
			}
		}
	}
}

// Limits by id: each sees its own in the fields.
func TestLimitsOf(t *testing.T) {
	rates := map[string]int64{"free": 2, "paid": 200}
	l := limiter(t, inProcess(t).URL(), limit.Config{LimitsOf: func(id string) []limit.Limit {
		if n := rates[id]; n > 0 {
			return []limit.Limit{limit.PerHour(n)}
		}
		return nil
	}})
	s := serve(t, l, Config{Key: func(r *http.Request) (string, error) { return r.Header.Get("Plan"), nil }})
	for range 2 {
		for plan, n := range rates {
			if e := s.get("Plan", plan).field(t, "RateLimit-Policy"); len(e) != 1 || e[0].params["q"] != n {
				t.Errorf("%s: %v", plan, e)
			}
		}
	}
	if a := s.get("Plan", "none"); a.status != http.StatusServiceUnavailable {
		t.Errorf("an id without limits: %d", a.status)
	}
}

// A hook that panics is ignored.
func TestHookPanics(t *testing.T) {
	l := limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{limit.PerHour(1)}})
	s := serve(t, l, Config{Events: Events{Denied: func(Info) { panic("hook") }}})
	if a, b := s.get(), s.get(); a.status != http.StatusOK || b.status != http.StatusTooManyRequests {
		t.Errorf("%d, %d", a.status, b.status)
	}
}

func TestConfig(t *testing.T) {
	_, err := New(nil, Config{Unit: "Requests!", OnFailure: 7})
	if err == nil {
		t.Fatal("all wrong, and no error")
	}
	for _, part := range []string{"the limiter is missing", "Key: ", "Unit: ", "OnFailure: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

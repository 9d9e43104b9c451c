package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// TB is what this package needs of *testing.T.
type TB interface {
	redstarttest.TB
	Errorf(format string, args ...any)
}

// Servers are the embedded server and every server found, name to URL.
func Servers(t TB) map[string]string {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	urls := map[string]string{"embedded": s.URL()}
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
	}
	for _, l := range launchers {
		urls[l.Name] = redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL()
	}
	return urls
}

// Start runs a service for a test on a server, and gives its address. At the
// end of the test it must end without an error.
func Start(t TB, serve Serve, url string) (addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	client, err := redstart.Open(ctx, url, redstart.Config{Namespace: "shop"})
	if err != nil {
		cancel()
		t.Fatalf("%v", err)
	}
	var lc net.ListenConfig
	on, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		client.Close()
		t.Fatalf("%v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, on, client) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
		client.Close()
	})
	return on.Addr().String()
}

// Visit tries a shop over HTTP as a visitor would who invents an address for
// every request: what he gets, what he is told, and when he is told to go.
func Visit(t TB, serve Serve, url string) {
	t.Helper()
	base := "http://" + Start(t, serve, url)
	for i := range 7 {
		r := ask(t, http.MethodGet, base+"/products/lamp", i)
		r.is(t, "RateLimit-Policy", `^"hour";q=5;w=3600, "day";q=1000;w=86400$`)
		if i < 5 {
			r.served(t, "lamp")
			r.is(t, "RateLimit", fmt.Sprintf(`^"hour";r=%d;t=[1-9][0-9]*, "day";r=%d;t=[1-9][0-9]*$`, 4-i, 999-i))
			continue
		}
		r.denied(t, "hour", 720)
		r.is(t, "RateLimit", `^"hour";r=0;t=[1-9][0-9]*, "day";r=995$`)
	}
	// Another part has limits of its own, and what has none is always there.
	for i := range 4 {
		r := ask(t, http.MethodPost, base+"/login", i)
		r.is(t, "RateLimit-Policy", `^"login";q=2;w=3600$`)
		if i < 2 {
			r.served(t, "welcome")
		} else {
			r.denied(t, "login", 1800)
		}
		health := ask(t, http.MethodGet, base+"/health", i)
		health.served(t, "well")
		health.is(t, "RateLimit-Policy", `^$`)
	}
}

// reply is what the visitor got.
type reply struct {
	status int
	header http.Header
	body   string
}

func ask(t TB, method, url string, i int) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, http.NoBody)
	if err != nil {
		t.Fatalf("%v", err)
	}
	invented := "6.6.6." + strconv.Itoa(i)
	r.Header.Set("X-Forwarded-For", invented)
	r.Header.Set("X-Real-IP", invented)
	r.Header.Set("Forwarded", "for="+invented)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	body, err := io.ReadAll(got.Body)
	_ = got.Body.Close() // all of it was read
	if err != nil {
		t.Fatalf("%v", err)
	}
	return reply{got.StatusCode, got.Header, string(body)}
}

func (r reply) is(t TB, header, pattern string) {
	t.Helper()
	if got := r.header.Get(header); !regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("%s: %q, not %q", header, got, pattern)
	}
}

func (r reply) served(t TB, body string) {
	t.Helper()
	if r.status != http.StatusOK || r.body != body || r.header.Get("Retry-After") != "" {
		t.Errorf("%d, %q, Retry-After %q; want %q", r.status, r.body, r.header.Get("Retry-After"), body)
	}
}

// denied: 429, when to come back, and a problem that names the limit and
// nothing else.
func (r reply) denied(t TB, policy string, within int) {
	t.Helper()
	retry, err := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != http.StatusTooManyRequests || err != nil || retry < 1 || retry > within {
		t.Errorf("%d, Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
	var p struct {
		Type     string   `json:"type"`
		Title    string   `json:"title"`
		Detail   string   `json:"detail"`
		Status   int      `json:"status"`
		Violated []string `json:"violated-policies"`
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%q is no problem: %v", r.body, err)
	}
	if p.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || p.Status != r.status ||
		p.Title == "" || p.Detail == "" || !slices.Equal(p.Violated, []string{policy}) {
		t.Errorf("%s", r.body)
	}
}

package httplimit

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onServers runs a test on the embedded server and on every server found.
func onServers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, inProcess(t).URL()) })
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			test(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL())
		})
	}
}

func inProcess(t testing.TB) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// limiter makes one that is patient, since the machine may be busy.
func limiter(t testing.TB, url string, cfg limit.Config) *limit.Limiter {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	l, err := limit.New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// random gives numbers that REDSTART_SEED=n gives again.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("REDSTART_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("REDSTART_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// one is a key for tests that are not about keys.
func one(*http.Request) (string, error) { return "one", nil }

// service is a server behind a middleware, and how often its handler ran.
type service struct {
	t    *testing.T
	url  string
	http *http.Client
	runs atomic.Int64
}

func serve(t *testing.T, l *limit.Limiter, cfg Config) *service {
	t.Helper()
	if cfg.Key == nil {
		cfg.Key = one
	}
	m, err := New(l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return serveHandler(t, m.Handler)
}

func serveHandler(t *testing.T, wrap func(http.Handler) http.Handler) *service {
	t.Helper()
	s := &service{t: t}
	server := httptest.NewServer(wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.runs.Add(1)
		_, _ = io.WriteString(w, "served")
	})))
	t.Cleanup(server.Close)
	s.url, s.http = server.URL, server.Client()
	return s
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks once, with headers in pairs. One request is under way at a time.
func (s *service) get(headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	before := s.runs.Load()
	reply, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if passed := reply.StatusCode == http.StatusOK; passed != (s.runs.Load() == before+1) || passed != (string(body) == "served") {
		s.t.Fatalf("status %d, body %q, and the handler ran %d times", reply.StatusCode, body, s.runs.Load()-before)
	}
	return answer{reply.StatusCode, reply.Header, body}
}

// entry is an item of a field: its name and parameters, an Integer as int64, a
// String as string.
type entry struct {
	name   string
	params map[string]any
}

// field reads a List of Strings with parameters as RFC 9651 says.
func (a answer) field(t testing.TB, name string) []entry {
	t.Helper()
	return parse(t, a.header.Values(name))
}

func parse(t testing.TB, lines []string) []entry {
	t.Helper()
	if len(lines) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil || len(list) == 0 {
		t.Fatalf("%q: %d items, %v", lines, len(list), err)
	}
	var out []entry
	for _, member := range list {
		i, ok := member.(httpsfv.Item)
		if !ok {
			t.Fatalf("%q: %T is no item", lines, member)
		}
		name, ok := i.Value.(string)
		if !ok {
			t.Fatalf("%q: %T is no String", lines, i.Value)
		}
		e := entry{name, map[string]any{}}
		for _, p := range i.Params.Names() {
			e.params[p], _ = i.Params.Get(p)
		}
		out = append(out, e)
	}
	return out
}

// problem reads the body of a refusal, which must be a whole problem and
// nothing else, and match the answer around it.
func (a answer) problem(t testing.TB) (kind string, violated []string) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	var members map[string]json.RawMessage
	var p struct {
		Type, Title, Detail string
		Status              int
		Violated            []string `json:"violated-policies"`
	}
	if err := json.Unmarshal(a.body, &members); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	for name := range members {
		switch name {
		case "type", "title", "status", "detail", "violated-policies":
		default:
			t.Errorf("member %q", name)
		}
	}
	if p.Status != a.status || p.Title == "" || p.Detail == "" || p.Type == "" {
		t.Errorf("status %d with %s", a.status, a.body)
	}
	return p.Type, p.Violated
}

// retry is Retry-After, -1 where there is none.
func (a answer) retry(t testing.TB) int64 {
	t.Helper()
	text := a.header.Get("Retry-After")
	if text == "" {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("Retry-After: %q", text)
	}
	return n
}

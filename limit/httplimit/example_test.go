package httplimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/limit/httplimit"
)

// limits gives a limiter on a server in the process; a service has
// redstart.Open with the URL of its server.
func limits(cfg limit.Config) (*limit.Limiter, func(), error) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		return nil, nil, err
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		_ = server.Close()
		return nil, nil, err
	}
	done := func() {
		client.Close()
		_ = server.Close()
	}
	cfg.Timeout = 5 * time.Second // the machine that runs examples may be busy
	l, err := limit.New(client, cfg)
	return l, done, err
}

func ExampleNew() {
	limiter, done, err := limits(limit.Config{Limits: []limit.Limit{
		{Name: "hour", Rate: 2, Per: time.Hour},
		{Name: "day", Rate: 1000, Per: 24 * time.Hour},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	byAddress, err := httplimit.ByAddress(httplimit.Addresses{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := httplimit.New(limiter, httplimit.Config{Key: byAddress})
	if err != nil {
		fmt.Println(err)
		return
	}

	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	service := httptest.NewServer(m.Handler(hello))
	defer service.Close()
	for range 3 {
		reply, err := http.Get(service.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = reply.Body.Close()
		fmt.Println(reply.Status)
		fmt.Println("  policy:     ", reply.Header.Get("Ratelimit-Policy"))
		if reply.StatusCode != http.StatusOK {
			fmt.Println("  type:       ", reply.Header.Get("Content-Type"))
		}
	}
	// Output:
	// 200 OK
	//   policy:      "hour";q=2;w=3600, "day";q=1000;w=86400
	// 200 OK
	//   policy:      "hour";q=2;w=3600, "day";q=1000;w=86400
	// 429 Too Many Requests
	//   policy:      "hour";q=2;w=3600, "day";q=1000;w=86400
	//   type:        application/problem+json
}

func ExampleByAddress() {
	key, err := httplimit.ByAddress(httplimit.Addresses{
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4711" // our proxy
	// The client wrote the first address itself; our proxy added the second.
	r.Header.Set("X-Forwarded-For", "198.51.100.9, 2001:db8:1:2:3:4:5:6")
	fmt.Println(key(r))

	r.RemoteAddr = "203.0.113.7:4711" // not our proxy
	fmt.Println(key(r))
	// Output:
	// 2001:db8:1:2::/64 <nil>
	// 203.0.113.7 <nil>
}

func ExampleByHeader() {
	byKey, err := httplimit.ByHeader("X-Api-Key")
	if err != nil {
		fmt.Println(err)
		return
	}
	byAddress, err := httplimit.ByAddress(httplimit.Addresses{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Those who sign in have their own quota, everyone else that of an address.
	// What checks the key has run before.
	key := func(r *http.Request) (string, error) {
		if r.Header.Get("X-Api-Key") != "" {
			return byKey(r)
		}
		return byAddress(r)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "203.0.113.7:4711"
	fmt.Println(key(r))
	r.Header.Set("X-Api-Key", "sesame")
	id, err := key(r)
	fmt.Println(len(id), err)
	// Output:
	// 203.0.113.7 <nil>
	// 43 <nil>
}

// A framework whose middleware has another shape calls Allow.
func ExampleMiddleware_Allow() {
	limiter, done, err := limits(limit.Config{Limits: []limit.Limit{limit.PerHour(1)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	m, err := httplimit.New(limiter, httplimit.Config{
		Key: func(r *http.Request) (string, error) { return r.URL.Query().Get("user"), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, user := range []string{"ann", "ann", "bob", ""} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/?user="+user, nil)
		if m.Allow(w, r) {
			fmt.Fprint(w, "welcome")
		}
		fmt.Printf("%q: %d\n", user, w.Code)
	}
	// Output:
	// "ann": 200
	// "ann": 429
	// "bob": 200
	// "": 400
}

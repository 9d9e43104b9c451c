package httplimit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/redstart-go/redstart/limit"
)

// A client that invents an address for every request, over real connections
// and real proxies: it has one quota. A service that believes the leftmost
// address gives it as many as it likes.
func TestInventedAddressesOverHTTP(t *testing.T) {
	naive := func(r *http.Request) (string, error) { return leftmost(r, xff), nil }
	for _, tc := range []struct {
		name    string
		key     KeyFunc
		proxies int
		passed  int
	}{
		{"no proxy", byAddress(t, Addresses{}), 0, 3},
		{"three proxies", byAddress(t, Addresses{Proxies: loopback, IPv6Bits: 64}), 3, 3},
		{"twelve proxies", byAddress(t, Addresses{Proxies: loopback}), 12, 3},
		{"three proxies, the naive key", naive, 3, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{limit.PerHour(3)}}), Config{Key: tc.key})
			for range tc.proxies {
				s.url = proxy(t, s.url)
			}
			passed := 0
			for i := range 10 {
				if a := s.get(xff, fmt.Sprintf("6.6.6.%d", i), fwd, fmt.Sprintf("for=6.6.6.%d", i), "X-Real-Ip", fmt.Sprintf("6.6.6.%d", i)); a.status == http.StatusOK {
					passed++
				}
			}
			if passed != tc.passed {
				t.Errorf("%d of 10 passed, want %d", passed, tc.passed)
			}
		})
	}
}

// loopback is where the proxies of the test are, but not its client: see proxy.
var loopback = prefixes("127.0.0.0/8")

// proxy stands in front of a service and adds to X-Forwarded-For whoever
// connected to it. Since all connections of a test come from 127.0.0.1, which
// is a proxy of ours, the first one writes another address for its client.
func proxy(t *testing.T, target string) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header[xff] = r.In.Header[xff]
			r.Out.Header[fwd] = r.In.Header[fwd]
			via := "203.0.113.7"
			if r.In.Header.Get("Via") != "" {
				via = netip.MustParseAddrPort(r.In.RemoteAddr).Addr().String()
			}
			r.Out.Header.Set("Via", "1.1 test")
			r.Out.Header.Set(xff, r.Out.Header.Get(xff)+", "+via)
		},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}

// Over a Unix socket there is no address: the proxy on it is believed only
// where the service says so.
func TestSocket(t *testing.T) {
	for _, tc := range []struct {
		cfg    Addresses
		status int
	}{{Addresses{}, http.StatusBadRequest}, {Addresses{Socket: true}, http.StatusOK}} {
		path := filepath.Join(t.TempDir(), "s")
		on, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(limiter(t, inProcess(t).URL(), limit.Config{Limits: []limit.Limit{limit.PerHour(1)}}), Config{Key: byAddress(t, tc.cfg)})
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(on) }()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(xff, "203.0.113.7")
		reply, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		if reply.StatusCode != tc.status {
			t.Errorf("%+v: %d, want %d", tc.cfg, reply.StatusCode, tc.status)
		}
		_ = server.Close()
		<-ended
	}
}

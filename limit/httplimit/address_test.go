package httplimit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// from is a request over a connection, with lines of a header.
func from(remote, header string, lines ...string) *http.Request {
	return &http.Request{RemoteAddr: remote, Header: http.Header{header: lines}}
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func byAddress(t testing.TB, cfg Addresses) KeyFunc {
	t.Helper()
	k, err := ByAddress(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ours are the proxies of the tests.
var ours = prefixes("10.0.0.0/8", "fd00::/8")

const (
	xff = "X-Forwarded-For"
	fwd = "Forwarded"
)

func TestByAddress(t *testing.T) {
	direct := Addresses{}
	behind := Addresses{Proxies: ours}
	forwarded := Addresses{Proxies: ours, Header: Forwarded}
	socket := Addresses{Socket: true}
	for _, tc := range []struct {
		name string
		cfg  Addresses
		r    *http.Request
		want string // "": an error
	}{
		{"IPv4", direct, from("203.0.113.7:99", xff), "203.0.113.7"},
		{"IPv6 by network", direct, from("[2001:db8:1:2:aaaa::1]:99", xff), "2001:db8:1:2::/64"},
		{"its neighbour", direct, from("[2001:db8:1:2:bbbb::9]:1", xff), "2001:db8:1:2::/64"},
		{"another network", direct, from("[2001:db8:1:3::1]:99", xff), "2001:db8:1:3::/64"},
		{"a wider network", Addresses{IPv6Bits: 48}, from("[2001:db8:1:3::1]:99", xff), "2001:db8:1::/48"},
		{"one address", Addresses{IPv6Bits: 128}, from("[2001:db8::1]:99", xff), "2001:db8::1/128"},
		{"IPv4 in IPv6", direct, from("[::ffff:203.0.113.7]:99", xff), "203.0.113.7"},
		{"a zone", direct, from("[fe80::1%eth0]:99", xff), "fe80::/64"},
		{"no proxy is ours", direct, from("203.0.113.7:99", xff, "6.6.6.6"), "203.0.113.7"},
		{"a proxy that is not ours", behind, from("203.0.113.7:99", xff, "6.6.6.6"), "203.0.113.7"},
		{"no address", direct, from("what", xff), ""},

		{"one proxy", behind, from("10.0.0.1:99", xff, "203.0.113.7"), "203.0.113.7"},
		{"an invented one in front", behind, from("10.0.0.1:99", xff, "6.6.6.6, 203.0.113.7"), "203.0.113.7"},
		{"an invented proxy in front", behind, from("10.0.0.1:99", xff, "6.6.6.6, 10.9.9.9, 203.0.113.7"), "203.0.113.7"},
		{"an invented line in front", behind, from("10.0.0.1:99", xff, "6.6.6.6", "203.0.113.7"), "203.0.113.7"},
		{"three proxies", behind, from("10.0.0.1:99", xff, "6.6.6.6, 203.0.113.7, 10.3.3.3", "fd00::2"), "203.0.113.7"},
		{"a proxy in IPv4-in-IPv6", behind, from("[::ffff:10.0.0.1]:99", xff, "203.0.113.7"), "203.0.113.7"},
		{"prefixes in IPv4-in-IPv6", Addresses{Proxies: prefixes("::ffff:10.0.0.0/104")}, from("10.0.0.1:99", xff, "203.0.113.7"), "203.0.113.7"},
		{"with a port", behind, from("10.0.0.1:99", xff, "203.0.113.7:4711"), "203.0.113.7"},
		{"IPv6 with a port", behind, from("10.0.0.1:99", xff, "[2001:db8::1]:4711"), "2001:db8::/64"},
		{"IPv6 in brackets", behind, from("10.0.0.1:99", xff, "[2001:db8::1]"), "2001:db8::/64"},
		{"IPv6 bare", behind, from("10.0.0.1:99", xff, "2001:db8::1"), "2001:db8::/64"},
		{"spaces, empty ones", behind, from("10.0.0.1:99", xff, " ,203.0.113.7\t, ,"), "203.0.113.7"},
		{"garbage from the client", behind, from("10.0.0.1:99", xff, "\x00,;\"x, 203.0.113.7"), "203.0.113.7"},
		{"unknown to our proxy", behind, from("10.0.0.1:99", xff, "6.6.6.6, unknown"), "10.0.0.1"},
		{"unknown to the one behind", behind, from("10.0.0.1:99", xff, "6.6.6.6, unknown, 10.0.0.2"), "10.0.0.2"},
		{"no header", behind, from("10.0.0.1:99", xff), "10.0.0.1"},
		{"a client inside", behind, from("10.0.0.1:99", xff, "10.5.5.5"), "10.5.5.5"},
		{"the other header", behind, from("10.0.0.1:99", fwd, "for=6.6.6.6"), "10.0.0.1"},
		{"brackets around IPv4", behind, from("10.0.0.1:99", xff, "[203.0.113.7]"), "10.0.0.1"},

		{"for", forwarded, from("10.0.0.1:99", fwd, "for=203.0.113.7;proto=http;by=10.0.0.1"), "203.0.113.7"},
		{"For, quoted", forwarded, from("10.0.0.1:99", fwd, `proto=https; For="[2001:db8:cafe::17]:4711"`), "2001:db8:cafe::/64"},
		{"an invented for in front", forwarded, from("10.0.0.1:99", fwd, "for=6.6.6.6, for=203.0.113.7"), "203.0.113.7"},
		{"a quote left open", forwarded, from("10.0.0.1:99", fwd, `for=6.6.6.6;x=", for=203.0.113.7`), "203.0.113.7"},
		{"a quote for our quote to close", forwarded, from("10.0.0.1:99", fwd, `for=6.6.6.6;x=", for="203.0.113.7"`), "203.0.113.7"},
		{"an open escape", forwarded, from("10.0.0.1:99", fwd, `for=6.6.6.6;x="\, for="203.0.113.7"`), "203.0.113.7"},
		{"a list inside a host", forwarded, from("10.0.0.1:99", fwd, `for=203.0.113.7;host="a, for=6.6.6.6;for=6.6.6.6"`), "203.0.113.7"},
		{"an escaped quote in a host", forwarded, from("10.0.0.1:99", fwd, `for=203.0.113.7;host="a\", for=6.6.6.6"`), "203.0.113.7"},
		{"two for in one", forwarded, from("10.0.0.1:99", fwd, "for=6.6.6.6;for=203.0.113.7"), "10.0.0.1"},
		{"obfuscated", forwarded, from("10.0.0.1:99", fwd, "for=6.6.6.6, for=_hidden"), "10.0.0.1"},
		{"no for", forwarded, from("10.0.0.1:99", fwd, "for=6.6.6.6, proto=http"), "10.0.0.1"},
		{"two proxies", forwarded, from("10.0.0.1:99", fwd, "for=203.0.113.7", `for="[fd00::1]"`), "203.0.113.7"},
		{"the other header again", forwarded, from("10.0.0.1:99", xff, "6.6.6.6"), "10.0.0.1"},

		{"a socket", direct, from("@", xff, "203.0.113.7"), ""},
		{"our socket", socket, from("@", xff, "6.6.6.6, 203.0.113.7"), "203.0.113.7"},
		{"our socket, unnamed", socket, from("", xff, "203.0.113.7"), "203.0.113.7"},
		{"our socket without a header", socket, from("@", xff), ""},
		{"no socket", socket, from("what", xff, "203.0.113.7"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := byAddress(t, tc.cfg)(tc.r)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestAddressesConfig(t *testing.T) {
	_, err := ByAddress(Addresses{
		Proxies: []netip.Prefix{{}, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("::ffff:0.0.0.0/96")},
		Header:  9, IPv6Bits: -1,
	})
	if err == nil {
		t.Fatal("all wrong, and no error")
	}
	for _, part := range []string{"at 0 is not valid", "at 1 holds all", "at 2 holds all", "at 3 holds all", "Header: ", "IPv6Bits: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

// chain builds what a request looks like after a chain of our proxies, each of
// which adds from whom it got the request; some begin a line of their own.
func chain(rnd *rand.Rand, header, client string, invented []string) *http.Request {
	lines := append([]string(nil), invented...)
	at := client
	for i := range 1 + rnd.IntN(20) {
		entry := at
		if header == fwd {
			entry = fmt.Sprintf(`for="%s";proto=http`, at)
			if rnd.IntN(2) == 0 {
				entry = fmt.Sprintf(`by=_us;host="a,b;c";For="%s:%d"`, at, 1+rnd.IntN(65535))
			}
		}
		if len(lines) == 0 || rnd.IntN(3) == 0 {
			lines = append(lines, entry)
		} else {
			lines[len(lines)-1] += ", " + entry
		}
		at = fmt.Sprintf("10.%d.%d.%d", rnd.IntN(256), i, rnd.IntN(256))
	}
	return from(at+":99", header, lines...)
}

// pieces are what invented headers are made of: addresses, among them those of
// our proxies, and whatever could lead a reader astray.
var pieces = []string{
	"6.6.6.6", "10.1.1.1", "fd00::9", "[2001:db8::6]:1", "for=6.6.6.6", `for="[fd00::9]"`, "for=", "by=", ",", ", ", ";", `"`, `\`, `\"`, "=",
	"unknown", "_x", " ", "\t", "\x00", "é", "For=\"6.6.6.6", `x="`, `"; for=6.6.6.6`,
}

func invent(rnd *rand.Rand) (lines []string) {
	for range rnd.IntN(3) {
		var b strings.Builder
		for range rnd.IntN(12) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		lines = append(lines, b.String())
	}
	return lines
}

// leftmost is how many services read the header: the first address in it.
func leftmost(r *http.Request, header string) string {
	first, _, _ := strings.Cut(strings.Join(r.Header[header], ","), ",")
	return strings.Trim(first, " ")
}

// Whatever a client invents, through however many proxies: it is who connected
// to the first of them. The recipe of the tutorials falls for it.
func TestInventedHeadersChooseNothing(t *testing.T) {
	rnd := random(t)
	const client = "203.0.113.7"
	fooled, tries := 0, 20_000
	for header, cfg := range map[string]Addresses{xff: {Proxies: ours}, fwd: {Proxies: ours, Header: Forwarded}} {
		key := byAddress(t, cfg)
		for range tries {
			r := chain(rnd, header, client, invent(rnd))
			if got, err := key(r); got != client || err != nil {
				t.Fatalf("%s %q from %s: %q, %v", header, r.Header[header], r.RemoteAddr, got, err)
			}
			if header == xff && leftmost(r, header) != client {
				fooled++
			}
		}
	}
	if fooled == 0 {
		t.Error("the leftmost address was always right: nothing was invented")
	}
	t.Logf("%d requests through 1 to 20 proxies by each header: 0 wrong; the leftmost address wrong in %d", tries, fooled)
}

// A header of any form gives an id of an address or an error, and a client
// without a proxy is its connection's address.
func FuzzByAddress(f *testing.F) {
	for _, p := range pieces {
		f.Add(p, p)
	}
	f.Add(`for="[fd00::1]:1"`, `for=a;for="\"`)
	var keys []KeyFunc
	for _, h := range []Header{XForwardedFor, Forwarded} {
		keys = append(keys, byAddress(f, Addresses{Proxies: ours, Header: h, Socket: true}))
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		for i, key := range keys {
			header := []string{xff, fwd}[i]
			if id, err := key(from("203.0.113.7:1", header, one, two)); id != "203.0.113.7" || err != nil {
				t.Errorf("%q, %v", id, err)
			}
			for _, remote := range []string{"10.0.0.1:1", "@"} {
				id, err := key(from(remote, header, one, two))
				_, notPrefix := netip.ParsePrefix(id)
				_, notAddress := netip.ParseAddr(id)
				if err == nil && notPrefix != nil && notAddress != nil {
					t.Errorf("id %q", id)
				}
			}
		}
	})
}

func TestByHeader(t *testing.T) {
	key, err := ByHeader("x-api-key")
	if err != nil {
		t.Fatal(err)
	}
	id := func(values ...string) string {
		r := &http.Request{Header: http.Header{}}
		for _, v := range values {
			r.Header.Add("X-Api-Key", v)
		}
		got, err := key(r)
		if (err == nil) != (got != "") {
			t.Errorf("%q: %q, %v", values, got, err)
		}
		return got
	}
	a, b := id("secret-a"), id("secret-b")
	if a == b || len(a) != 43 || strings.Contains(a, "secret") || a != id("secret-a") {
		t.Errorf("%q and %q", a, b)
	}
	if id() != "" || id("") != "" || id("secret-a", "secret-b") != "" {
		t.Error("an id of no header, an empty one or two")
	}
	for _, name := range []string{"", "a b", "a:b", "é"} {
		if _, err := ByHeader(name); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

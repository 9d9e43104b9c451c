package httplimit

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Header is the one in which proxies write down from whom a request came.
type Header uint8

const (
	// XForwardedFor: a list of addresses, as most proxies write it.
	XForwardedFor Header = iota
	// Forwarded: the for parameters of RFC 7239.
	Forwarded
)

// Addresses says how the address of a client is found. The zero value takes
// the connection's: right where no proxy stands in front.
type Addresses struct {
	// Proxies are the addresses of those proxies of yours that add to Header
	// whoever connected to them. What a header says is believed as far as they
	// wrote it. None may hold all addresses: then everyone would be believed.
	// Default: none, and headers are not looked at.
	Proxies []netip.Prefix

	// Header is the one that these proxies write. The other is never looked at:
	// they pass it on as the client sent it. Default: XForwardedFor.
	Header Header

	// Socket: a connection without an address, over a Unix socket, comes from a
	// proxy of yours. Default: such a request has no id.
	Socket bool

	// IPv6Bits is how much of an IPv6 address is the client, since a customer has
	// a whole network of them. 1 to 128. Default: 64.
	IPv6Bits int
}

const defaultIPv6Bits = 64

var (
	errNoAddress = errors.New("redstart/limit/httplimit: the connection has no address")
	errSocket    = errors.New("redstart/limit/httplimit: the proxy on the socket named no address")
)

// ByAddress makes ids of the client's address: "203.0.113.7", and for IPv6 the
// network, "2001:db8:1:2::/64".
//
// It walks from the connection backwards through Header, as long as whoever
// added an entry is a proxy of yours, and takes the first address that is none.
// So what a client wrote there itself, further to the left, never counts, of
// whatever length or form. Where a proxy of yours added something that is no
// address ("unknown"), the walk ends at that proxy: its clients share an id.
//
// Whatever rewrites RemoteAddr from a header that a client may send must not
// run before (several routers have a middleware for it).
func ByAddress(cfg Addresses) (KeyFunc, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/limit/httplimit: by address: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	proxies := make([]netip.Prefix, len(cfg.Proxies))
	for i, p := range cfg.Proxies {
		proxies[i] = unmapped(p)
		switch {
		case !p.IsValid():
			bad("Proxies", "the prefix at %d is not valid", i)
		case proxies[i].Bits() == 0:
			bad("Proxies", "the prefix at %d holds all addresses, so that anyone's header would be believed", i)
		}
	}
	if cfg.Header > Forwarded {
		bad("Header", "%d is none of XForwardedFor and Forwarded", cfg.Header)
	}
	if cfg.IPv6Bits == 0 {
		cfg.IPv6Bits = defaultIPv6Bits
	}
	if cfg.IPv6Bits < 1 || cfg.IPv6Bits > 128 {
		bad("IPv6Bits", "%d is not between 1 and 128", cfg.IPv6Bits)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	cfg.Proxies = proxies
	return func(r *http.Request) (string, error) {
		a, err := cfg.client(r)
		if err != nil {
			return "", err
		}
		return cfg.id(a), nil
	}, nil
}

// client finds the address.
func (cfg *Addresses) client(r *http.Request) (netip.Addr, error) {
	at, ok := address(r.RemoteAddr)
	switch {
	case ok && !cfg.trusts(at):
		return at, nil
	case !ok && !socket(r.RemoteAddr):
		return netip.Addr{}, errNoAddress
	case !ok && !cfg.Socket:
		return netip.Addr{}, errNoAddress
	}
	for entry := range cfg.entries(r.Header) {
		a, ok := address(entry)
		if !ok {
			break
		}
		at = a
		if !cfg.trusts(at) {
			break
		}
	}
	if !at.IsValid() {
		return netip.Addr{}, errSocket
	}
	return at, nil
}

// socket says whether net/http means a Unix socket: its own side has a path or
// none, the client's mostly none.
func socket(remote string) bool {
	return remote == "" || remote[0] == '@' || remote[0] == '/'
}

func (cfg *Addresses) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(cfg.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// entries gives what proxies added, the last first.
func (cfg *Addresses) entries(h http.Header) func(yield func(string) bool) {
	name, split := "X-Forwarded-For", lastOf
	if cfg.Header == Forwarded {
		name, split = "Forwarded", lastElement
	}
	return func(yield func(string) bool) {
		for _, line := range slices.Backward(h[name]) {
			for more := true; more; {
				var entry string
				line, entry, more = split(line)
				if entry = strings.Trim(entry, " \t"); entry == "" {
					continue // a list may have empty elements, and they count for nothing
				}
				if cfg.Header == Forwarded {
					entry = forOf(entry)
				}
				if !yield(entry) {
					return
				}
			}
		}
	}
}

// lastOf cuts the last element off a list.
func lastOf(list string) (rest, last string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// address reads an address, with or without a port. IPv4 is IPv4 in whatever
// spelling, and a zone is left out: it means nothing elsewhere.
func address(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			a, err = netip.ParseAddr(inner[:len(inner)-1])
			if err == nil && !a.Is6() {
				return netip.Addr{}, false
			}
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			a = ap.Addr()
		}
	}
	return a.Unmap().WithZone(""), err == nil
}

// unmapped is a prefix of IPv4 addresses in IPv6 spelling as one of IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// id is the client that has the address.
func (cfg *Addresses) id(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, cfg.IPv6Bits).Masked().String()
}

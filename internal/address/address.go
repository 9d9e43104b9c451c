// Package address reads the URL of a server, of several, or of a name that
// sentinels know.
package address

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is where a URL points, with what it says about how to get in.
type Target struct {
	Network, Addr      string // "tcp" and host:port, or "unix" and a path
	Host               string // for the certificate's name
	TLS                bool
	Username, Password string
	Database           int      // -1: not said
	Sentinels          []string // host:port of each; Addr is then the primary's name
	Cluster            []string // host:port of some nodes; Addr is then the first
}

// Shown is the target for people: never credentials.
func (t Target) Shown() string {
	switch {
	case len(t.Sentinels) > 0:
		return "redis+sentinel://" + strings.Join(t.Sentinels, ",") + "/" + t.Addr
	case len(t.Cluster) > 0:
		return "redis+cluster://" + strings.Join(t.Cluster, ",")
	case t.Network == "unix":
		return "unix://" + t.Addr
	case t.TLS:
		return "rediss://" + t.Addr
	default:
		return "redis://" + t.Addr
	}
}

// Secured is the TLS to use with the target, given the caller's own, which may
// be nil; nil for none.
func (t Target) Secured(own *tls.Config) *tls.Config {
	if !t.TLS && own == nil {
		return nil
	}
	if own == nil {
		return &tls.Config{ServerName: t.Host, MinVersion: tls.VersionTLS12} // no name: each node has its own
	}
	own = own.Clone()
	if own.ServerName == "" {
		own.ServerName = t.Host
	}
	return own
}

const schemes = "redis://host:port/db, rediss://host:port/db, unix:///path/to/socket?db=0, redis+sentinel://host1,host2/name/db or redis+cluster://host1,host2"

// Parse reads a server's URL. Its errors never repeat the URL, which may
// hold a password.
func Parse(raw string) (Target, error) {
	t := Target{Network: "tcp", Database: -1}
	fail := func(format string, args ...any) (Target, error) {
		return t, fmt.Errorf("redstart: url: "+format, args...)
	}
	if !strings.Contains(raw, "://") {
		return fail("has no scheme; want %s", schemes)
	}
	rest, hosts := raw, ""
	switch scheme, _, _ := strings.Cut(raw, "://"); scheme {
	case "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
		rest, hosts = withoutHosts(raw)
	}
	u, err := url.Parse(rest)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && strings.Contains(ue.Err.Error(), "port") {
			return fail("the port is not a number between 1 and 65535 (special characters in a password must be percent-encoded)")
		}
		return fail("cannot be read; a user, password or path with special characters must be percent-encoded")
	}
	if u.User != nil {
		t.Username = u.User.Username()
		t.Password, _ = u.User.Password()
	}
	if u.Fragment != "" {
		return fail("ends in a #fragment; a # in a password must be written %%23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("the query after ? cannot be read")
	}
	db := ""
	for name, values := range query {
		if name != "db" || len(values) != 1 {
			return fail("has a parameter that is not known; only db is, the rest is set in Config (a ? in a password must be written %%3F)")
		}
		db = values[0]
	}
	switch u.Scheme {
	case "redis", "rediss":
		t.TLS = u.Scheme == "rediss"
		if t.Host = u.Hostname(); t.Host == "" {
			t.Host = "127.0.0.1"
		}
		port := u.Port()
		if port == "" {
			port = "6379"
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fail("the port is not a number between 1 and 65535")
		}
		t.Addr = net.JoinHostPort(t.Host, port)
		if path := strings.Trim(u.Path, "/"); path != "" {
			if db != "" {
				return fail("names the database twice, in its path and as ?db=")
			}
			db = path
		}
	case "unix":
		t.Network, t.Addr = "unix", u.Path
		if u.Host != "" || t.Addr == "" {
			return fail("a socket is written with three slashes: unix:///path/to/socket")
		}
	case "redis+sentinel", "rediss+sentinel":
		t.TLS = u.Scheme == "rediss+sentinel"
		name, path, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
		if t.Addr = name; name == "" {
			return fail("names no primary; want redis+sentinel://host1,host2/name, with the name that the sentinels know")
		}
		if t.Sentinels, err = hostPorts(hosts, "26379"); err != nil {
			return fail("one of the sentinels is no host:port with a port between 1 and 65535")
		}
		if path != "" {
			if db != "" {
				return fail("names the database twice, in its path and as ?db=")
			}
			db = path
		}
	case "redis+cluster", "rediss+cluster":
		t.TLS = u.Scheme == "rediss+cluster"
		if t.Cluster, err = hostPorts(hosts, "6379"); err != nil {
			return fail("one of the nodes is no host:port with a port between 1 and 65535")
		}
		t.Addr = t.Cluster[0]
		if path := strings.Trim(u.Path, "/"); path != "" {
			if db != "" {
				return fail("names the database twice, in its path and as ?db=")
			}
			db = path
		}
	default:
		return fail("has an unknown scheme; want %s", schemes)
	}
	if db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return fail("the database is not a number from 0 on")
		}
		t.Database = n
	}
	return t, nil
}

// withoutHosts takes the list of hosts, which is none that a URL may have, out
// of the URL.
func withoutHosts(raw string) (rest, hosts string) {
	scheme, rest, _ := strings.Cut(raw, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	return scheme + "://" + rest[:at] + "hosts" + rest[end:], rest[at:end]
}

// hostPorts is hostPort for a list.
func hostPorts(hosts, port string) ([]string, error) {
	var all []string
	for host := range strings.SplitSeq(hosts, ",") {
		at, err := hostPort(host, port)
		if err != nil {
			return nil, err
		}
		all = append(all, at)
	}
	return all, nil
}

// hostPort completes a host by the default port and checks it.
func hostPort(host, port string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || host == "" {
		return "", errors.New("no host:port")
	}
	return net.JoinHostPort(host, port), nil
}

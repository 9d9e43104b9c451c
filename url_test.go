package redstart

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]target{
		"redis://localhost":           {network: "tcp", addr: "localhost:6379", host: "localhost", database: -1},
		"redis://":                    {network: "tcp", addr: "127.0.0.1:6379", host: "127.0.0.1", database: -1},
		"redis://h:1/2":               {network: "tcp", addr: "h:1", host: "h", database: 2},
		"redis://h:1/":                {network: "tcp", addr: "h:1", host: "h", database: -1},
		"redis://h?db=3":              {network: "tcp", addr: "h:6379", host: "h", database: 3},
		"rediss://u:p%40w@[::1]:7000": {network: "tcp", addr: "[::1]:7000", host: "::1", tls: true, username: "u", password: "p@w", database: -1},
		"redis://:secret@h":           {network: "tcp", addr: "h:6379", host: "h", password: "secret", database: -1},
		"redis+sentinel://u:p@h1,h2:7,[::1]:8/mymaster/3": {network: "tcp", addr: "mymaster", username: "u", password: "p", database: 3, sentinels: []string{"h1:26379", "h2:7", "[::1]:8"}},
		"rediss+sentinel://h1/m?db=1":                     {network: "tcp", addr: "m", tls: true, database: 1, sentinels: []string{"h1:26379"}},
		"redis+cluster://u:p@h1,h2:7":                     {network: "tcp", addr: "h1:6379", username: "u", password: "p", database: -1, cluster: []string{"h1:6379", "h2:7"}},
		"unix:///run/redis.sock?db=1":                     {network: "unix", addr: "/run/redis.sock", database: 1},
		"unix://user:secret@/run/redis.soc":               {network: "unix", addr: "/run/redis.soc", username: "user", password: "secret", database: -1},
	} {
		got, err := parseURL(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parseURL(%q) =\n %+v, %v\nwant\n %+v", raw, got, err, want)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	for raw, want := range map[string]string{
		"localhost:6379":                   "no scheme",
		"http://h":                         "unknown scheme",
		"redis+cluster://u:hunter2@h:0":    "one of the nodes",
		"redis+sentinel://u:hunter2@h":     "names no primary",
		"redis+sentinel://u:hunter2@h,/m":  "one of the sentinels",
		"redis+sentinel://u:hunter2@h:x/m": "one of the sentinels",
		"redis://u:hunter2@h:port":         "port is not a number",
		"redis://u:hunter2@h:0":            "port is not a number",
		"redis://u:hunter2@h:70000":        "port is not a number",
		"redis://u:hunter2@h/abc":          "database is not a number",
		"redis://u:hunter2@h/-1":           "database is not a number",
		"redis://u:hunter2@h/1?db=2":       "twice",
		"redis://u:hunter2@h?timeout=1s":   "parameter that is not known",
		"redis://u:hunter#2@h":             "percent-encoded",
		"redis://u:hunter2%zz@h":           "cannot be read",
		"redis://u:1?hunter2@h:6379/0":     "parameter that is not known",
		"unix://run/redis.sock":            "three slashes",
		"redis://u:hunter2@h:1#x":          "fragment",
		"redis://u:hunter2@h:1?db=1;db=%%": "query",
	} {
		_, err := parseURL(raw)
		switch {
		case err == nil:
			t.Errorf("parseURL(%q): no error", raw)
		case !strings.Contains(err.Error(), want):
			t.Errorf("parseURL(%q) = %v, want %q", raw, err, want)
		case strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "\n"):
			t.Errorf("parseURL(%q) = %q: credentials or a second line in it", raw, err)
		}
	}
}

package address

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]Target{
		"redis://localhost":           {Network: "tcp", Addr: "localhost:6379", Host: "localhost", Database: -1},
		"redis://":                    {Network: "tcp", Addr: "127.0.0.1:6379", Host: "127.0.0.1", Database: -1},
		"redis://h:1/2":               {Network: "tcp", Addr: "h:1", Host: "h", Database: 2},
		"redis://h:1/":                {Network: "tcp", Addr: "h:1", Host: "h", Database: -1},
		"redis://h?db=3":              {Network: "tcp", Addr: "h:6379", Host: "h", Database: 3},
		"rediss://u:p%40w@[::1]:7000": {Network: "tcp", Addr: "[::1]:7000", Host: "::1", TLS: true, Username: "u", Password: "p@w", Database: -1},
		"redis://:secret@h":           {Network: "tcp", Addr: "h:6379", Host: "h", Password: "secret", Database: -1},
		"redis+sentinel://u:p@h1,h2:7,[::1]:8/mymaster/3": {Network: "tcp", Addr: "mymaster", Username: "u", Password: "p", Database: 3, Sentinels: []string{"h1:26379", "h2:7", "[::1]:8"}},
		"rediss+sentinel://h1/m?db=1":                     {Network: "tcp", Addr: "m", TLS: true, Database: 1, Sentinels: []string{"h1:26379"}},
		"redis+cluster://u:p@h1,h2:7":                     {Network: "tcp", Addr: "h1:6379", Username: "u", Password: "p", Database: -1, Cluster: []string{"h1:6379", "h2:7"}},
		"unix:///run/redis.sock?db=1":                     {Network: "unix", Addr: "/run/redis.sock", Database: 1},
		"unix://user:secret@/run/redis.soc":               {Network: "unix", Addr: "/run/redis.soc", Username: "user", Password: "secret", Database: -1},
	} {
		got, err := Parse(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q) =\n %+v, %v\nwant\n %+v", raw, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
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
		_, err := Parse(raw)
		switch {
		case err == nil:
			t.Errorf("Parse(%q): no error", raw)
		case !strings.Contains(err.Error(), want):
			t.Errorf("Parse(%q) = %v, want %q", raw, err, want)
		case strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "\n"):
			t.Errorf("Parse(%q) = %q: credentials or a second line in it", raw, err)
		}
	}
}

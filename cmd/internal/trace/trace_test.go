package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRequestPath(t *testing.T) {
	const head = `10.0.0.1 - - [17/May/2015:10:05:03 +0000] `
	for _, c := range []struct{ line, want string }{
		{head + `"GET /a/b.html HTTP/1.1" 200 17`, "/a/b.html"},
		{head + `"GET /a/b.html HTTP/1.1" 200 17 "http://ref/" "agent [x] \"y\""`, "/a/b.html"},
		{head + `"GET /a?b=c&d=?e HTTP/1.0" 304 -`, "/a"},
		{head + `"GET / HTTP/2.0" 200 -`, "/"},
		{head + `"GET http://example.org/x?y HTTP/1.1" 200 -`, "/x"},
		{head + `"GET http://example.org HTTP/1.1" 200 -`, "/"},
		{head + `"GET /go?to=http://example.org/ HTTP/1.1" 302 -`, "/go"},
		{head + `"GET /to/http://example.org HTTP/1.1" 404 -`, "/to/http://example.org"},
		{head + `"OPTIONS * HTTP/1.0" 200 -`, "*"},
		{head + `"GET /old-client" 200 5`, "/old-client"},
		{head + `"GET /with blank HTTP/1.1" 400 5`, "/with blank"},
		{head + `"GET /quote\"d HTTP/1.1" 200 5`, `/quote\"d`},
		{`::1 - frank smith [10/Oct/2000:13:55:36 -0700] "GET /v6 HTTP/1.0" 200 2326`, "/v6"},

		{head + `"-" 408 -`, ""},
		{head + `"\x16\x03\x01" 400 226`, ""},
		{head + `"get /lower HTTP/1.1" 400 226`, ""},
		{head + `"GET /no-status HTTP/1.1"`, ""},
		{head + `"GET /bad-status HTTP/1.1" 20x 1`, ""},
		{head + `"GET /cut off`, ""},
		{head + `"GET ?q HTTP/1.1" 200 1`, ""},
		{`GET /a HTTP/1.1`, ""},
		{`user:[1]`, ""},
		{``, ""},
	} {
		got, ok := requestPath(c.line)
		if got != c.want && ok || ok != (c.want != "") {
			t.Errorf("%s\n got %q %v, want %q", c.line, got, ok, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		o        Options
		keys     []string
		requests []int32
		skipped  int
	}{
		{name: "lines", in: "a\nb\r\n\na\nc", keys: []string{"a", "b", "c"}, requests: []int32{0, 1, 0, 2}},
		{name: "lines limited", in: "a\nb\na\nc", o: Options{Limit: 3}, keys: []string{"a", "b"}, requests: []int32{0, 1, 0}},
		{name: "lines with too long a key", in: "a\n" + strings.Repeat("x", MaxKey+1) + "\na", keys: []string{"a"}, requests: []int32{0, 0}, skipped: 1},
		{
			name: "csv", in: "\ufeffid,key,size\n1,\"a,b\",3\n2,c\n3\n4,,9\n5,c,1\n", o: Options{Column: "key"},
			keys: []string{"a,b", "c"}, requests: []int32{0, 1, 1}, skipped: 2,
		},
		{name: "csv first column", in: "\ufeffid\n7\n7\n", o: Options{Column: "id"}, keys: []string{"7"}, requests: []int32{0, 0}},
		{
			name: "log with noise", in: "h - - [t] \"GET /a HTTP/1.1\" 200 1\njunk\nh - - [t] \"-\" 408 -\nh - - [t] \"GET /a HTTP/1.1\" 200 1\n",
			keys: []string{"/a"}, requests: []int32{0, 0}, skipped: 2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, err := Read(strings.NewReader(c.in), "in", c.o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tr.Keys, c.keys) || !slices.Equal(tr.Requests, c.requests) || tr.Skipped != c.skipped {
				t.Errorf("got keys %q requests %v skipped %d", tr.Keys, tr.Requests, tr.Skipped)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file, in string
		o              Options
		want           string
	}{
		{"empty", "x", "", Options{}, "no request in it"},
		{"csv without a column", "x.csv", "id,key\n1,a\n", Options{}, "--key-column NAME, one of: id,key"},
		{"csv with an unknown column", "x.csv", "id,key\n1,a\n", Options{Column: "Key"}, `no column "Key"; there are: id, key`},
		{"empty csv", "x.csv", "", Options{Column: "key"}, "no request in it"},
		{"csv with a header only", "x.csv", "key\n", Options{Column: "key"}, "no request in it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.in), c.file, c.o)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
	_, err := Read(strings.NewReader(strings.Repeat("x", maxLine+1)), "x", Options{})
	if err == nil {
		t.Error("a line without end was taken")
	}
}

func TestExcerpts(t *testing.T) {
	log, err := Open("testdata/access.log", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Requests) != 7 || len(log.Keys) != 6 || log.Skipped != 0 || log.Keys[0] != "/presentations/logstash-monitorama-2013/images/kibana-search.png" {
		t.Errorf("access.log: %d requests, keys %q", len(log.Requests), log.Keys)
	}
	blocks, err := Open("testdata/blocks.csv", Options{Column: "lbn"})
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks.Requests) != 7 || blocks.Keys[0] != "42932745" {
		t.Errorf("blocks.csv: %d requests, keys %q", len(blocks.Requests), blocks.Keys)
	}
}

func TestGzip(t *testing.T) {
	plain, err := os.ReadFile("testdata/access.log")
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(plain)
	z.Close()
	path := filepath.Join(t.TempDir(), "access.log.1.gz")
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := Open(path, Options{})
	if err != nil || len(tr.Requests) != 7 || !strings.Contains(tr.Source, "access log") {
		t.Errorf("got %+v, %v", tr, err)
	}
}

func TestWholeFiles(t *testing.T) {
	log, err := Open(redstarttest.Data(t, "apache_access.log"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Requests) != 10_000 || log.Skipped != 0 {
		t.Errorf("%d requests, %d skipped", len(log.Requests), log.Skipped)
	}
	blocks, err := Open(redstarttest.Data(t, "cloudphysics_io.csv"), Options{Column: "lbn"})
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks.Requests) != 113_872 {
		t.Errorf("%d accesses", len(blocks.Requests))
	}
}

func TestResize(t *testing.T) {
	tr, err := Read(strings.NewReader("a\nb\nc"), "in", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := tr.Resize(7); !slices.Equal(got.Requests, []int32{0, 1, 2, 0, 1, 2, 0}) || len(got.Keys) != 3 {
		t.Errorf("longer: %+v", got)
	}
	if got := tr.Resize(2); !slices.Equal(got.Requests, []int32{0, 1}) || len(got.Keys) != 2 {
		t.Errorf("shorter: %+v", got)
	}
	if got := tr.Resize(0); got != tr {
		t.Errorf("zero: %+v", got)
	}
}

func TestZipf(t *testing.T) {
	a, b, other := Zipf(5000, 1, "/a/%d"), Zipf(5000, 1, "/a/%d"), Zipf(5000, 2, "/a/%d")
	if !slices.Equal(a.Requests, b.Requests) || !slices.Equal(a.Keys, b.Keys) {
		t.Error("one seed, two loads")
	}
	if slices.Equal(a.Requests, other.Requests) && slices.Equal(a.Keys, other.Keys) {
		t.Error("two seeds, one load")
	}
	count := make([]int, len(a.Keys))
	for _, k := range a.Requests {
		count[k]++
	}
	slices.Sort(count)
	tenth := 0
	for _, n := range count[len(count)*9/10:] {
		tenth += n
	}
	if tenth < 2000 {
		t.Errorf("the most popular tenth of %d keys takes only %d of 5,000 requests", len(a.Keys), tenth)
	}
}

func FuzzRequestPath(f *testing.F) {
	f.Add(`h - - [t] "GET http://e/a?b HTTP/1.1" 200 1`)
	f.Fuzz(func(t *testing.T, line string) {
		if path, ok := requestPath(line); ok && (path == "" || strings.Contains(path, "?")) {
			t.Errorf("%q gives %q", line, path)
		}
	})
}

func TestByClient(t *testing.T) {
	log := `2001:db8::1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1
192.0.2.1 - x [17/May/2015:10:05:04 +0000] "GET /b HTTP/1.1" 200 1
192.0.2.1 - - [17/May/2015:10:05:04 +0000] "junk" 400 1
2001:db8::1 - - [17/May/2015:10:05:04 +0000] "GET /b HTTP/1.1" 200 1
`
	tr, err := Read(strings.NewReader(log), "access.log", Options{By: Clients})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tr.Keys, []string{"2001:db8::1", "192.0.2.1"}) || !slices.Equal(tr.Requests, []int32{0, 1, 0}) || tr.Skipped != 1 {
		t.Errorf("%+v", tr)
	}
}

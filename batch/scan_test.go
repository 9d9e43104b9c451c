package batch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func TestScan(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		const n = 3000
		written(t, c, n)
		for _, name := range []string{"user:7", "user:7:cart", "user:%_", "users"} {
			if err := c.Do(ctx, c.B().Sadd().Key(name).Member("x").Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		for _, cfg := range []ScanConfig{{}, {Count: 7}, {Count: 10_000, Window: 1}} {
			seen := map[string]int{}
			for k, err := range Scan(ctx, c, "key:*", cfg) {
				if err != nil {
					t.Fatal(err)
				}
				seen[k]++
			}
			if len(seen) != n {
				t.Errorf("%+v: %d keys, want %d", cfg, len(seen), n)
			}
			for k, times := range seen {
				if !strings.HasPrefix(k, "key:") || times > 1 && cfg.Window != 1 {
					t.Errorf("%+v: %s %d times", cfg, k, times)
				}
			}
		}
		var found []string
		for k, err := range ScanTemplate(ctx, c, key.MustParse("user:<id>"), ScanConfig{}) {
			if found = append(found, k); err != nil {
				t.Fatal(err)
			}
		}
		if len(found) != 2 {
			t.Errorf("keys of the template: %q", found)
		}
		sets := 0
		for _, err := range Scan(ctx, c, "*", ScanConfig{Type: "set"}) {
			if sets++; err != nil {
				t.Fatal(err)
			}
		}
		if sets != 4 {
			t.Errorf("%d sets", sets)
		}
		for _, err := range Scan(ctx, c, "none:*", ScanConfig{}) {
			t.Errorf("nothing to find: %v", err)
		}
	})
}

// A scan that is left, or broken off, goes on where it was, in another process
// too, and misses nothing.
func TestScanGoesOn(t *testing.T) {
	s, p, c := proxied(t)
	const n = 5000
	written(t, c, n)
	seen := map[string]bool{}
	repeats, rounds := 0, 0
	for cursor := ""; rounds == 0 || cursor != ""; rounds++ {
		here := 0
		for k, err := range Scan(t.Context(), c, "*", ScanConfig{Cursor: &cursor, Count: 50}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[k] {
				repeats++
			}
			seen[k] = true
			if here++; here == 333 {
				break
			}
		}
	}
	if len(seen) != n || rounds < 10 || repeats > rounds*100 {
		t.Errorf("%d keys in %d rounds, %d repeats", len(seen), rounds, repeats)
	}

	// Connections are cut on the way: the scan goes on with the same cursor.
	h := p.AddRule(proxy.Rule{Match: every(20, 4, "SCAN"), Action: proxy.SwallowReply(proxy.CutConnection)})
	count := 0
	for _, err := range Scan(t.Context(), c, "*", ScanConfig{Count: 50}) {
		if count++; err != nil {
			t.Fatal(err)
		}
	}
	if count != n || h.Hits() != 4 {
		t.Errorf("%d keys, %d cuts", count, h.Hits())
	}
	if got := p.Commands()["KEYS"]; got != 0 {
		t.Errorf("KEYS was sent %d times", got)
	}

	// The server of before is gone: its cursor means nothing to the next one.
	cursor := ""
	for _, err := range Scan(t.Context(), c, "*", ScanConfig{Cursor: &cursor}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	for _, err := range Scan(t.Context(), c, "*", ScanConfig{Cursor: &cursor}) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == n+1000 {
			break
		}
	}
	if cursor == "" {
		t.Fatal("no cursor in the middle")
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, patient, "the server is back", func() bool { return c.Do(t.Context(), c.B().Ping().Build()).Error() == nil })
	written(t, c, n)
	count = 0
	for _, err := range Scan(t.Context(), c, "*", ScanConfig{Cursor: &cursor}) {
		if count++; err != nil {
			t.Fatal(err)
		}
	}
	if count != n || cursor != "" {
		t.Errorf("%d keys after a restart, want all %d; cursor %q", count, n, cursor)
	}
}

// The server restarts in the midst of a scan.
func TestScanOverARestart(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
	c := open(t, s.URL(), redstart.Config{})
	const n = 5000
	written(t, c, n)
	seen := map[string]bool{}
	for k, err := range Scan(t.Context(), c, "*", ScanConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[k] = true; len(seen) == n/2 {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d keys of %d", len(seen), n)
	}
}

func TestScanRefusesForeignCursors(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		for _, cursor := range []string{"17", "1;;x", "2;;a:1", "1;a b;", "1;;a:-1", "1;;:1"} {
			n := 0
			for k, err := range Scan(t.Context(), c, "*", ScanConfig{Cursor: &cursor}) {
				if n++; k != "" || !errors.Is(err, errPosition) {
					t.Errorf("%q: %q, %v", cursor, k, err)
				}
			}
			if n != 1 {
				t.Errorf("%q: %d results", cursor, n)
			}
		}
	})
}

func TestPositionText(t *testing.T) {
	for _, p := range []position{{}, {node: "a", cursor: 1<<64 - 1}, {done: []string{"a", "b"}}, {done: []string{"a"}, node: "b"}} {
		if back, err := parsePosition(p.String()); err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
			t.Errorf("%+v as %q is %+v, %v", p, p.String(), back, err)
		}
	}
}

func TestWindow(t *testing.T) {
	for size := range 5 {
		w := newWindow(size)
		var last []string
		for i := range 100 {
			k := fmt.Sprint(i * i % 7)
			want := false
			for _, l := range last {
				want = want || l == k
			}
			if got := w.seen(k); got != want {
				t.Fatalf("window of %d: %s seen %v, after %v", size, k, got, last)
			}
			if !want {
				if last = append(last, k); len(last) > size {
					last = last[1:]
				}
			}
		}
		if len(w.keys) > size {
			t.Errorf("window of %d holds %d", size, len(w.keys))
		}
	}
}

package cache

import (
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

var update = flag.Bool("update", false, "rewrite testdata/commands.golden")

// The commands of each call are pinned, so that one more round trip is seen in
// review.
func TestCommandsOfEachCall(t *testing.T) { alone(t, commandsOfEachCall) } // a proxy stands before it

func commandsOfEachCall(t *testing.T, s *redstarttest.Server) {
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	us := users(t, open(t, p.URL(), redstart.Config{Pipelines: 1}), func(_ context.Context, id int) (user, error) {
		if id == 404 {
			return user{}, ErrNotFound
		}
		return user{ID: id}, nil
	})
	_, _ = us.Get(t.Context(), 9) // so that the server knows the scripts
	rec := p.Transcript()
	var got strings.Builder
	for _, step := range []struct {
		name string
		call func(context.Context) error
	}{
		{"Get, a miss", func(ctx context.Context) error { _, err := us.Get(ctx, 1); return err }},
		{"Get, a hit", func(ctx context.Context) error { _, err := us.Get(ctx, 1); return err }},
		{"Get, not found", func(ctx context.Context) error { _, _ = us.Get(ctx, 404); return nil }},
		{"Peek", func(ctx context.Context) error { _, _, err := us.Peek(ctx, 1); return err }},
		{"Set", func(ctx context.Context) error { return us.Set(ctx, 1, user{ID: 2}) }},
		{"Invalidate", func(ctx context.Context) error { return us.Invalidate(ctx, 1) }},
	} {
		rec.Clear()
		if err := step.call(t.Context()); err != nil {
			t.Fatal(err)
		}
		got.WriteString("# " + step.name + "\n")
		for _, line := range rec.Lines() {
			if strings.Contains(line, "PING") || strings.Contains(line, "PONG") {
				continue // the connection's own
			}
			got.WriteString(stable(line) + "\n")
		}
	}
	golden(t, "testdata/commands.golden", got.String())
}

// The commands of each refinement, by name and key.
func TestCommandsOfRefinements(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, c := behind(t, s, redstart.Config{Pipelines: 1})
	load := func(tags ...string) func(*Config[int, user]) {
		return func(cfg *Config[int, user]) {
			cfg.LoadResult = func(context.Context, int, Old[user]) (Result[user], error) { return Result[user]{Tags: tags}, nil }
		}
	}
	us := func(change ...func(*Config[int, user])) *Cache[int, user] { return users(t, c, nil, change...) }
	aged := us(load(), keep, early)
	byIDs := us(load(), byID)
	told := us(load("told"), func(cfg *Config[int, user]) { cfg.ResultTags = true })
	clearable := us(load(), func(cfg *Config[int, user]) { cfg.Clearable = true })
	get := func(us *Cache[int, user]) func() error {
		return func() error { _, err := us.Get(t.Context(), 1); return err }
	}
	drop := func() { command(t, s, "DEL", "user:1") }
	settled := func(us *Cache[int, user]) {
		redstarttest.Eventually(t, 10*time.Second, "no refresh is under way", func() bool {
			return us.refreshing.Busy() == 0
		})
	}
	for _, us := range []*Cache[int, user]{aged, byIDs, told, clearable} { // so that the server knows the scripts
		_ = get(us)()
		expire(t, aged)
		_ = get(us)()
		_ = us.InvalidateTag(t.Context(), "told")
		_ = us.InvalidateTag(t.Context(), "all")
		_ = get(us)()
		drop()
	}
	rec := p.Transcript()
	var got strings.Builder
	for _, step := range []struct {
		name    string
		prepare func()
		call    func() error
	}{
		{"Refresh, StaleFor: Get, a miss", drop, get(aged)},
		{"Refresh, StaleFor: Get, a hit", func() {}, get(aged)},
		{"Refresh: Get that starts a refresh", func() { age(t, aged.client, "user:1", 65*time.Minute) }, func() error { defer settled(aged); return get(aged)() }},
		{"StaleFor: Get past the TTL", func() { expire(t, aged) }, get(aged)},
		{"Tags: Get, a miss", drop, get(byIDs)},
		{"Tags: Get, a hit", func() {}, get(byIDs)},
		{"Tags: InvalidateTag", func() {}, func() error { return byIDs.InvalidateTag(t.Context(), "all") }},
		{"Tags: Get of what is dead", func() {}, get(byIDs)},
		{"Tags: Set", func() {}, func() error { return byIDs.Set(t.Context(), 1, user{}) }},
		{"ResultTags: Get, a miss", drop, get(told)},
		{"ResultTags: Get, a hit", func() {}, get(told)},
		{"ResultTags: InvalidateTag", func() {}, func() error { return told.InvalidateTag(t.Context(), "told") }},
		{"Clearable: Get, a miss", drop, get(clearable)},
		{"Clearable: Get, a hit", func() {}, get(clearable)},
		{"Clear", func() {}, func() error { return clearable.Clear(t.Context()) }},
	} {
		step.prepare()
		rec.Clear()
		if err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got.WriteString("# " + step.name + "\n")
		for _, line := range rec.Lines() {
			if short := brief(line); short != "" {
				got.WriteString(short + "\n")
			}
		}
	}
	golden(t, "testdata/refinements.golden", got.String())
}

// brief is a line's command and first key; nothing for a reply.
func brief(line string) string {
	words := strings.Fields(line)
	switch {
	case words[0] == "S", words[1] == "PING":
		return ""
	case words[1] == "EVALSHA":
		return "C script " + words[4]
	default:
		return "C " + words[1] + " " + words[2]
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the commands have changed; if that is meant, run go test ./cache -update\n got:\n%s\nwant:\n%s", got, want)
	}
}

var (
	binary = regexp.MustCompile(`"\\xf5R(\\.|[^"\\])*"`)
	sha    = regexp.MustCompile(`"[0-9a-f]{40}"`)
	ttl    = regexp.MustCompile(`"(5[4-9]|60)[0-9]{4}"`)
)

// stable replaces what differs from run to run.
func stable(line string) string {
	line = binary.ReplaceAllString(line, "<entry>")
	line = sha.ReplaceAllString(line, "<script>")
	return ttl.ReplaceAllString(line, "<ttl>")
}

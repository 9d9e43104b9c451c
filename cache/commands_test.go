package cache

import (
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

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
	const golden = "testdata/commands.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the commands have changed; if that is meant, run go test ./cache -update\n got:\n%s\nwant:\n%s", got.String(), want)
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

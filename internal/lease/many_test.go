package lease

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// heldBy fails the test unless exactly the leases at those places are held.
func heldBy(t *testing.T, answers []Answer, places ...int) {
	t.Helper()
	var got []int
	for i, a := range answers {
		if a.Err != nil {
			t.Errorf("%d: %v", i, a.Err)
		}
		if a.Held {
			got = append(got, i)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(places) {
		t.Errorf("held %v, want %v", got, places)
	}
}

func TestManyLife(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		set := func(k, v string) {
			t.Helper()
			if err := c.Do(ctx, c.B().Set().Key(k).Value(v).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		m := Many{Client: c, Time: time.Minute, Within: 10 * time.Second}
		if n := len(m.Take(ctx, nil, "m", "s")) + len(m.Put(ctx, nil)); n != 0 {
			t.Errorf("%d answers about nothing", n)
		}
		set("theirs", "v")
		set("empty", "")
		set("old", "o")
		set("changed", "n")
		mark := Token()
		all := []Held{{Key: "free"}, {Key: "theirs"}, {Key: "empty"}, {Key: "old", Seen: []byte("o")}, {Key: "changed", Seen: []byte("o")}, {Key: "gone", Seen: []byte("o")}}
		answers := m.Take(ctx, all, mark, Token())
		heldBy(t, answers, 0, 3)
		for i, want := range map[int]string{1: "v", 2: "", 4: "n", 5: ""} {
			if string(answers[i].Current) != want {
				t.Errorf("%s: %q stands there", all[i].Key, answers[i].Current)
			}
		}
		for i := range all {
			if all[i].Mark != mark {
				t.Errorf("%s has another mark", all[i].Key)
			}
			all[i].Value, all[i].TTL = strings.Repeat("x", 400_000), time.Duration(i)*time.Minute // several pipelines
		}
		heldBy(t, m.Extend(ctx, all), 0, 3)
		heldBy(t, m.Put(ctx, all), 0, 3)
		heldBy(t, m.Put(ctx, all), 0, 3) // what it wrote itself
		heldBy(t, m.Extend(ctx, all))
		for k, forGood := range map[string]bool{"free": true, "old": false} {
			if n, err := c.Do(ctx, c.B().Pttl().Key(k).Build()).AsInt64(); err != nil || (n == -1) != forGood || n > 3*60_000 {
				t.Errorf("PTTL of %s = %d, %v", k, n, err)
			}
		}
		more := make([]Held, 1200)
		for i := range more {
			more[i].Key = fmt.Sprint("k", i)
		}
		heldBy(t, m.Take(ctx, more, mark, Token()), places(1200)...)
		set("k7", "v")
		if released := m.Release(ctx, more); released[7].Held || !released[1199].Held {
			t.Error("what was overwritten is released, or the last is not")
		}
		if n, err := c.Do(ctx, c.B().Dbsize().Build()).AsInt64(); err != nil || n != 6 {
			t.Errorf("%d keys are left, %v", n, err)
		}
	})
}

// Kept leases outlive their time, one that is lost is told once, stopped ones end.
func TestManyKeep(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		const short = 300 * time.Millisecond
		m := Many{Client: c, Time: short, Within: 10 * time.Second}
		all := []Held{{Key: "a"}, {Key: "b"}, {Key: "c"}}
		heldBy(t, m.Take(t.Context(), all, Token(), Token()), 0, 1, 2)
		var mu sync.Mutex
		var lost []int
		told := func() string { mu.Lock(); defer mu.Unlock(); return fmt.Sprint(lost) }
		stop := m.Keep(all, func(i int) { mu.Lock(); defer mu.Unlock(); lost = append(lost, i) })
		defer stop()
		passed := func(began time.Time) func() bool { return func() bool { return time.Since(began) > 3*short } }
		redstarttest.Eventually(t, 10*time.Second, "three times the lease has passed", passed(time.Now()))
		if s := told(); s != "[]" {
			t.Fatalf("lost %s although kept", s)
		}
		if err := c.Do(t.Context(), c.B().Del().Key("b").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		redstarttest.Eventually(t, 10*time.Second, "the loss is told", func() bool { return told() == "[1]" })
		redstarttest.Eventually(t, 10*time.Second, "three times the lease has passed", passed(time.Now()))
		if s := told(); s != "[1]" {
			t.Errorf("told of %s", s)
		}
		heldBy(t, m.Extend(t.Context(), all), 0, 2)
		stop()
		redstarttest.Eventually(t, 10*time.Second, "the leases run out", func() bool {
			n, err := c.Do(t.Context(), c.B().Exists().Key("a", "c").Build()).AsInt64()
			return err == nil && n == 0
		})
	})
}

// A pipeline of claims whose replies are lost in the middle is told apart: all
// are held, each by the mark that stands there; nothing is claimed twice.
func TestManyLostReplies(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := redstart.Open(t.Context(), p.URL(), redstart.Config{Pipelines: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := Many{Client: c.FailFast(), Time: time.Minute, Within: 10 * time.Second}
	all := make([]Held, 50)
	for i := range all {
		all[i].Key = fmt.Sprint("k", i)
	}
	h := p.AddRule(proxy.Rule{Match: proxy.Named("SET"), Nth: 20, Action: proxy.SwallowReply(proxy.CutConnection)})
	heldBy(t, m.Take(t.Context(), all, "first", "second"), places(50)...)
	marks := map[string]int{}
	for i := range all {
		marks[all[i].Mark]++
		if v, err := s.Do(t.Context(), "GET", all[i].Key); err != nil || v != all[i].Mark {
			t.Errorf("%s is held by %q, not by %q, %v", all[i].Key, v, all[i].Mark, err)
		}
		all[i].Value = "v"
	}
	if h.Hits() != 1 {
		t.Errorf("%d replies lost", h.Hits())
	}
	t.Logf("marks: %v", marks)
	h = p.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 20, Action: proxy.SwallowReply(proxy.CutConnection)})
	heldBy(t, m.Put(t.Context(), all), places(50)...)
	if h.Hits() != 1 {
		t.Errorf("%d replies lost", h.Hits())
	}
}

package batch

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func incr(key string) Command { return Command{Words: []string{"INCR", key}, Key: key} }

func TestAtomic(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		if r, err := Atomic(ctx, c); r != nil || err != nil {
			t.Errorf("nothing to do: %v, %v", r, err)
		}
		add := redstart.NewScript("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
		for i := range int64(3) {
			if err := c.Do(ctx, c.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatal(err)
			}
			r, err := Atomic(ctx, c, incr("{a}1"), Command{Words: []string{"RPUSH", "{a}list", "x"}, Key: "{a}list"}, incr("{a}list"),
				Command{Words: []string{"GET", "{a}none"}, Key: "{a}none"}, Command{Words: []string{"PING"}}, Eval(c, add, []string{"{a}1"}, []string{"10"}))
			if err != nil || len(r) != 6 {
				t.Fatalf("%v, %v", r, err)
			}
			n, _ := r[0].Reply.AsInt64()
			m, _ := r[5].Reply.AsInt64()
			if n != 11*i+1 || m != 11*i+11 || r[0].Key != "{a}1" || r[4].Index != 4 || !r[3].Reply.IsNil() {
				t.Errorf("round %d: %+v", i, r)
			}
			if r[2].Err == nil || strings.Contains(r[2].Err.Error(), "{a}") || redstart.OutcomeOf(r[2].Err) != redstart.NotApplied {
				t.Errorf("INCR of a list within: %v", r[2].Err)
			}
		}
	})
}

func TestAtomicRefuses(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		_, err := Atomic(ctx, c, incr("a"), incr("b"), incr("{a}b"))
		var e *redstart.Error
		if !errors.As(err, &e) || e.Code != "CROSSSLOT" || e.Outcome != redstart.NotApplied || !strings.Contains(err.Error(), "15495, 3300") {
			t.Errorf("two slots: %v", err)
		}
		if _, err := AtomicWatch(ctx, c, []string{"a"}, func(read Reader) ([]Command, error) {
			if err := read(Command{Words: []string{"GET", "b"}, Key: "b"}).Error(); !errors.As(err, &e) || e.Code != "CROSSSLOT" {
				t.Errorf("a read of another slot: %v", err)
			}
			return []Command{incr("b")}, nil
		}); !errors.As(err, &e) || e.Code != "CROSSSLOT" {
			t.Errorf("two slots: %v", err)
		}
		for _, words := range [][]string{nil, {"EXEC"}, {"BLPOP", "a", "0"}, {"SUBSCRIBE", "x"}} {
			if _, err := Atomic(ctx, c, incr("a"), Command{Words: words, Key: "a"}); !errors.Is(err, redstart.ErrRefused) || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("%v: %v", words, err)
			}
		}
		if _, err := AtomicWatch(ctx, c, nil, nil); !errors.Is(err, redstart.ErrRefused) {
			t.Errorf("nothing to watch: %v", err)
		}
		// What the server refuses refuses all; the embedded server runs the rest, and that is seen.
		server, err := c.Server(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if server.Flavour == "embedded" {
			if _, err := Atomic(ctx, c, incr("z"), Command{Words: []string{"NOSUCH", "z"}, Key: "z"}); err == nil || redstart.OutcomeOf(err) != redstart.Unknown {
				t.Errorf("half a step: %v", err)
			}
		} else if _, err := Atomic(ctx, c, incr("a"), Command{Words: []string{"NOSUCH", "a"}, Key: "a"}); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("an unknown command: %v", err)
		}
		dead, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := Atomic(dead, c, incr("a")); !errors.Is(err, context.Canceled) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("a dead context: %v", err)
		}
		if err := c.Do(ctx, c.B().Get().Key("a").Build()).Error(); !rueidis.IsRedisNil(err) {
			t.Errorf("something ran: %v", err)
		}
	})
}

// Money is neither made nor lost while many move it, and who loses the race
// knows that nothing was done.
func TestAtomicWatch(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		const from, to = "{bank}from", "{bank}to"
		if err := c.Do(ctx, c.B().Set().Key(from).Value("100").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		moved, conflicts := 0, 0
		errEmpty := errors.New("empty")
		for range 8 {
			wg.Go(func() {
				for {
					r, err := AtomicWatch(ctx, c, []string{from}, func(read Reader) ([]Command, error) {
						n, err := read(Command{Words: []string{"GET", from}, Key: from}).AsInt64()
						if err != nil {
							return nil, err
						}
						if n == 0 {
							return nil, errEmpty
						}
						return []Command{{Words: []string{"DECR", from}, Key: from}, incr(to)}, nil
					})
					mu.Lock()
					switch {
					case err == nil && len(r) == 2:
						moved++
					case errors.Is(err, ErrConflict) && redstart.OutcomeOf(err) == redstart.NotApplied:
						conflicts++
					case err == errEmpty: //nolint:errorlint // it is returned as it is
						mu.Unlock()
						return
					default:
						t.Errorf("%v, %v", r, err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if n, err := c.Do(ctx, c.B().Get().Key(to).Build()).AsInt64(); n != 100 || err != nil || moved != 100 {
			t.Errorf("%d arrived, %v; %d moved", n, err, moved)
		}
		t.Logf("100 moves by 8, %d conflicts", conflicts)

		// A decide that panics gives its connection back as well.
		for range 60 {
			func() {
				defer func() { _ = recover() }()
				_, err := AtomicWatch(ctx, c, []string{from}, func(Reader) ([]Command, error) { panic("decide") })
				t.Errorf("a panic became %v", err)
			}()
		}

		// A connection that goes back without EXEC does not go on watching.
		for range 20 {
			if r, err := AtomicWatch(ctx, c, []string{from}, func(Reader) ([]Command, error) { return nil, nil }); r != nil || err != nil {
				t.Fatalf("nothing to do: %v, %v", r, err)
			}
			if err := c.Do(ctx, c.B().Incr().Key(from).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			if _, err := AtomicWatch(ctx, c, []string{"{bank}other"}, func(Reader) ([]Command, error) { return []Command{incr(to)}, nil }); err != nil {
				t.Fatalf("a conflict about a key that an earlier call watched: %v", err)
			}
		}
	})
}

// A step whose reply was lost ran once or not at all, and says that it is not
// known; one that the server refused for now is tried again.
func TestAtomicUnderFaults(t *testing.T) {
	s, p, c := proxied(t)
	ctx := t.Context()
	good, unknown := 0, 0
	h := p.AddRule(proxy.Rule{Match: every(5, 20, "EXEC"), Action: proxy.SwallowReply(proxy.CutConnection)})
	for i := range 200 {
		var err error
		if i%2 == 0 {
			_, err = Atomic(ctx, c, incr("{n}1"), incr("{n}2"))
		} else {
			_, err = AtomicWatch(ctx, c, []string{"{n}1"}, func(Reader) ([]Command, error) { return []Command{incr("{n}1"), incr("{n}2")}, nil })
		}
		switch {
		case err == nil:
			good++
		case redstart.OutcomeOf(err) == redstart.Unknown:
			unknown++
		default:
			t.Fatalf("step %d: %v", i, err)
		}
	}
	one, two := command(t, s, "GET", "{n}1"), command(t, s, "GET", "{n}2")
	if h.Hits() != 20 || good != 180 || unknown != 20 || one != "200" || two != one {
		t.Errorf("%d cuts: %d good, %d unknown, counted %v and %v", h.Hits(), good, unknown, one, two)
	}
	h.Remove()

	for _, refusal := range []string{"TRYAGAIN Multiple keys request during rehashing of slot", "OOM command not allowed when used memory > 'maxmemory'.", "LOADING Redis is loading the dataset in memory"} {
		for _, verb := range []string{"MULTI", "INCR", "EXEC"} {
			if verb != "INCR" && !strings.HasPrefix(refusal, "LOADING") {
				continue
			}
			before := command(t, s, "GET", "{n}1").(string)
			h := p.AddRule(proxy.Rule{Match: func(cmd []string) bool { return cmd[0] == verb }, Nth: 1, Action: proxy.AnswerError(refusal)})
			_, err := Atomic(ctx, c, incr("{n}1"))
			after := command(t, s, "GET", "{n}1").(string)
			// The proxy answers in the server's place, which knows of no refusal: for it, EXEC runs what is left.
			switch ran := before != after; {
			case h.Hits() != 1:
				t.Errorf("%s to %s did not happen", refusal, verb)
			case ran && err != nil && redstart.OutcomeOf(err) == redstart.NotApplied:
				t.Errorf("%s to %s: it ran, and %v says NotApplied", refusal, verb, err)
			case !ran && err == nil && verb != "INCR":
				t.Errorf("%s to %s: nothing ran, and no error", refusal, verb)
			}
			h.Remove()
		}
	}
}

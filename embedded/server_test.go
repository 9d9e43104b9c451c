package embedded_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/embedded"
)

func TestSetGetAndClose(t *testing.T) {
	s, c := start(t, embedded.Config{})
	if host, _, err := net.SplitHostPort(s.Addr()); err != nil || host != "127.0.0.1" {
		t.Fatalf("listens on %q (%v), want 127.0.0.1", s.Addr(), err)
	}
	if err := do(t, c, "SET", "k", "v").Error(); err != nil {
		t.Fatal(err)
	}
	if v, err := do(t, c, "GET", "k").ToString(); err != nil || v != "v" {
		t.Fatalf("GET = %q, %v", v, err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		conn.Close()
		t.Fatal("the port is still open after Close")
	}
}

func TestCloseEndsBlockedCommands(t *testing.T) {
	s, c := start(t, embedded.Config{})
	ended := make(chan error, 1)
	ctx := deadline(t)
	go func() { ended <- c.Do(ctx, c.B().Blpop().Key("empty").Timeout(0).Build()).Error() }()
	watcher := client(t, s)
	eventually(t, "BLPOP's connection is open", func() bool {
		text, _ := do(t, watcher, "INFO", "clients").ToString()
		return strings.Contains(text, "connected_clients:3")
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("BLPOP on an empty list answered without an error")
	}
}

func TestTTLRunsWithTheClock(t *testing.T) {
	_, c := start(t, embedded.Config{})
	for round := range 20 {
		const ttl = 30 * time.Millisecond
		before := time.Now()
		if err := do(t, c, "SET", "k", "v", "NX", "PX", "30").Error(); err != nil {
			t.Fatalf("round %d: the key of the round before is not gone: %v", round, err)
		}
		eventually(t, "the key is gone", func() bool {
			return rueidis.IsRedisNil(do(t, c, "GET", "k").Error())
		})
		if lived := time.Since(before); lived < ttl-time.Millisecond {
			t.Fatalf("round %d: expired after %v, its TTL is %v", round, lived, ttl)
		}
	}
}

// With many keys plain reads let the clock lag behind, because moving it is dear.
// A command that looks at the clock must not see that: a TTL would come out short.
func TestClockIsExactWhereItMatters(t *testing.T) {
	_, c := start(t, embedded.Config{})
	fill := []string{"MSET"}
	for i := range 10000 {
		fill = append(fill, "filler:"+strconv.Itoa(i), "x")
	}
	if err := do(t, c, fill...).Error(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for range 5 {
			if err := do(t, c, "GET", "filler:1").Error(); err != nil {
				t.Fatal(err)
			}
		}
		before := time.Now()
		if lag := before.Sub(serverTime(t, c)); lag > time.Millisecond {
			t.Fatalf("the server's clock lags %v behind", lag)
		}
	}
}

// serverTime is what TIME answers.
func serverTime(t *testing.T, c rueidis.Client) time.Time {
	t.Helper()
	p, err := do(t, c, "TIME").AsStrSlice()
	if err != nil || len(p) != 2 {
		t.Fatalf("TIME = %v, %v", p, err)
	}
	sec, err1 := strconv.ParseInt(p[0], 10, 64)
	micro, err2 := strconv.ParseInt(p[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return time.Unix(sec, micro*1000)
}

func TestPTTLFalls(t *testing.T) {
	_, c := start(t, embedded.Config{})
	do(t, c, "SET", "k", "v", "PX", "60000")
	do(t, c, "HSET", "h", "f", "v")
	do(t, c, "HEXPIRE", "h", "60", "FIELDS", "1", "f")
	eventually(t, "PTTL is below what was set", func() bool {
		n, err := do(t, c, "PTTL", "k").AsInt64()
		return err == nil && n > 0 && n < 60000
	})
	eventually(t, "HPTTL is below what was set", func() bool {
		n, err := do(t, c, "HPTTL", "h", "FIELDS", "1", "f").AsIntSlice()
		return err == nil && len(n) == 1 && n[0] > 0 && n[0] < 60000
	})
}

func TestClockStandsInsideScript(t *testing.T) {
	_, c := start(t, embedded.Config{})
	same, err := do(t, c, "EVAL", `local a = redis.call('TIME')
for i = 1, 20000 do local x = {i} end
local b = redis.call('TIME')
if a[1] == b[1] and a[2] == b[2] then return 1 end
return 0`, "0").AsInt64()
	if err != nil || same != 1 {
		t.Fatalf("TIME moved inside a script (%d, %v)", same, err)
	}
	first := serverTime(t, c)
	eventually(t, "TIME moves between commands", func() bool { return serverTime(t, c).After(first) })
}

func TestScriptsAndNOSCRIPT(t *testing.T) {
	_, c := start(t, embedded.Config{})
	const src = `redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])`
	sha, err := do(t, c, "SCRIPT", "LOAD", src).ToString()
	if err != nil {
		t.Fatal(err)
	}
	run := func() rueidis.RedisResult { return do(t, c, "EVALSHA", sha, "1", "k", "v") }
	if v, err := run().ToString(); err != nil || v != "v" {
		t.Fatalf("EVALSHA = %q, %v", v, err)
	}
	if err := do(t, c, "SCRIPT", "FLUSH").Error(); err != nil {
		t.Fatal(err)
	}
	var re *rueidis.RedisError
	if err := run().Error(); !errors.As(err, &re) || !strings.HasPrefix(re.Error(), "NOSCRIPT") {
		t.Fatalf("EVALSHA after SCRIPT FLUSH = %v, want NOSCRIPT", err)
	}
	if v, err := do(t, c, "EVAL", src, "1", "k", "w").ToString(); err != nil || v != "w" {
		t.Fatalf("EVAL = %q, %v", v, err)
	}
	if err := run().Error(); err != nil {
		t.Fatalf("EVALSHA after EVAL: %v", err)
	}
}

func TestSeedRepeats(t *testing.T) {
	pick := func() string {
		_, c := start(t, embedded.Config{Seed: 7})
		args := []string{"SADD", "s"}
		for i := range 100 {
			args = append(args, strconv.Itoa(i))
		}
		if err := do(t, c, args...).Error(); err != nil {
			t.Fatal(err)
		}
		var picked []string
		for range 20 {
			v, err := do(t, c, "SPOP", "s").ToString()
			if err != nil {
				t.Fatal(err)
			}
			picked = append(picked, v)
		}
		return fmt.Sprint(picked)
	}
	if a, b := pick(), pick(); a != b {
		t.Fatalf("two servers of one seed chose\n%s\n%s", a, b)
	}
}

func TestConcurrentClients(t *testing.T) {
	s, _ := start(t, embedded.Config{})
	const clients, each = 8, 100
	var wg sync.WaitGroup
	for i := range clients {
		c := client(t, s)
		ctx := deadline(t)
		wg.Go(func() {
			for j := range each {
				cmds := rueidis.Commands{
					c.B().Incr().Key("n").Build(),
					c.B().Set().Key(fmt.Sprintf("k:%d:%d", i, j)).Value("v").PxMilliseconds(5).Build(),
					c.B().Eval().Script(`return redis.call('INCR', KEYS[1])`).Numkeys(1).Key("m").Build(),
					c.B().Info().Section("stats").Build(),
					c.B().Arbitrary("COMMAND", "COUNT").Build(),
				}
				for _, r := range c.DoMulti(ctx, cmds...) {
					if err := r.Error(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	c := client(t, s)
	for _, key := range []string{"n", "m"} {
		if n, err := do(t, c, "GET", key).AsInt64(); err != nil || n != clients*each {
			t.Errorf("%s = %d, %v; want %d", key, n, err, clients*each)
		}
	}
}

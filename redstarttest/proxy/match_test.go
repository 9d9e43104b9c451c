package proxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// proxyInStep checks, on a connection that the test has used, that every ECHO recorded has its own reply.
func proxyInStep(t *testing.T, tr *Transcript) (echoes int) {
	t.Helper()
	for _, x := range tr.Exchanges() {
		arg, ok := strings.CutPrefix(x.Command, "ECHO ")
		if !ok {
			continue
		}
		echoes++
		if len(x.Replies) != 1 || x.Replies[0] != "S "+arg {
			t.Fatalf("out of step: ECHO %s has the replies %q", arg, x.Replies)
		}
	}
	return echoes
}

// proxyScript sends lines of a conversation; "> frame" is what must come.
func proxyScript(t *testing.T, p *Proxy, c *proxyClient, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if frame, ok := strings.CutPrefix(line, "> "); ok {
			c.want(frame)
		} else if line != "" {
			c.send(strings.Split(line, "; ")...)
		}
	}
}

// proxyNoneAwaited checks that the proxy has no reply outstanding when the client has them all.
func proxyNoneAwaited(t *testing.T, p *Proxy) {
	t.Helper()
	for _, pc := range p.open() {
		pc.mu.Lock()
		e := pc.queue.awaited()
		pc.mu.Unlock()
		if e != nil {
			t.Errorf("a command of kind %d still waits for %d replies", e.kind, e.frames)
		}
	}
}

func TestProxyPubSubRESP2(t *testing.T) {
	p, c, direct := inFrontOf(t)
	tr := p.Transcript()
	proxyScript(t, p, c, `
		SUBSCRIBE a b; PSUBSCRIBE x*; SUBSCRIBE; PING
		> ["subscribe" "a" :1]
		> ["subscribe" "b" :2]
		> ["psubscribe" "x*" :3]
		> -ERR wrong number of arguments for 'subscribe' command
		> ["pong" ""]`)
	direct.send("PUBLISH a 1", "PUBLISH x1 2", "PUBLISH b 3")
	direct.want(":1", ":1", ":1")
	proxyScript(t, p, c, `
		> ["message" "a" "1"]
		> ["pmessage" "x*" "x1" "2"]
		> ["message" "b" "3"]
		UNSUBSCRIBE a nope; PUNSUBSCRIBE; UNSUBSCRIBE; UNSUBSCRIBE; SSUBSCRIBE s; SUNSUBSCRIBE; ECHO end
		> ["unsubscribe" "a" :2]
		> ["unsubscribe" "nope" :2]
		> ["punsubscribe" "x*" :1]
		> ["unsubscribe" "b" :0]
		> ["unsubscribe" nil :0]
		> ["ssubscribe" "s" :1]
		> ["sunsubscribe" "s" :0]
		> "end"
		MULTI; SUBSCRIBE q; ECHO in; EXEC
		> +OK
		> +QUEUED
		> +QUEUED
		> [["subscribe" "q" :1] "in"]`)
	c.do("UNSUBSCRIBE", `["unsubscribe" "q" :0]`)
	c.do("MULTI", "+OK")
	c.send("SUBSCRIBE q", "EXEC")
	c.want("+QUEUED", `[["subscribe" "q" :1]]`)
	p.Blackhole(ToServer)
	c.send("PING")
	eventually(t, "PING waits for its reply", func() bool { return p.Faults().HeldBytes > 0 })
	direct.do("PUBLISH q 1", ":1") // is not it, though the proxy could not see that q is subscribed
	c.want(`["message" "q" "1"]`)
	p.Heal()
	c.want(`["pong" ""]`)
	if all := tr.Lines(); all[len(all)-1] != `S ["message" "q" "1"]` || all[len(all)-2] != `S ["pong" ""]` {
		t.Errorf("the transcript ends with %q", all[len(all)-2:])
	}
	proxyScript(t, p, c, `
		RESET; RPUSH l message b c; LRANGE l 0 -1; ECHO last
		> +RESET
		> :3
		> ["message" "b" "c"]
		> "last"`)
	proxyNoneAwaited(t, p)
	if n := proxyInStepOutside(t, tr); n != 2 {
		t.Errorf("%d echoes, want 2", n)
	}
}

// proxyInStepOutside is proxyInStep without the ECHO inside a transaction.
func proxyInStepOutside(t *testing.T, tr *Transcript) (echoes int) {
	t.Helper()
	for _, x := range tr.Exchanges() {
		if x.Command == `ECHO "end"` || x.Command == `ECHO "last"` {
			echoes++
			if len(x.Replies) != 1 || x.Replies[0] != "S "+strings.TrimPrefix(x.Command, "ECHO ") {
				t.Fatalf("out of step: %s has the replies %q", x.Command, x.Replies)
			}
		}
	}
	return echoes
}

func TestProxyPubSubRESP3(t *testing.T) {
	p, c, direct := inFrontOf(t)
	tr := p.Transcript()
	c.send("HELLO 3")
	c.recv()
	proxyScript(t, p, c, `
		SUBSCRIBE a b; ECHO 1; PSUBSCRIBE x*
		> >["subscribe" "a" :1]
		> >["subscribe" "b" :2]
		> "1"
		> >["psubscribe" "x*" :3]`)
	held := p.AddRule(Rule{Match: Named("ECHO"), Nth: 1, Action: HoldReply()})
	proxyScript(t, p, c, `ECHO 2; SUBSCRIBE c; ECHO 3`)
	proxyWait(t, held, 1)
	direct.send("PUBLISH a 1", "PUBLISH x1 2")
	direct.want(":1", ":1")
	c.want(`>["message" "a" "1"]`, `>["pmessage" "x*" "x1" "2"]`) // pass what is held
	c.silent()
	held.Release()
	all := p.AddRule(Rule{Match: Named("UNSUBSCRIBE"), Action: HoldReply()})
	proxyScript(t, p, c, `
		> "2"
		> >["subscribe" "c" :4]
		> "3"
		UNSUBSCRIBE; PUNSUBSCRIBE x* y; PUNSUBSCRIBE; ECHO 4`)
	proxyWait(t, all, 1) // which is: all three confirmations are held, and what follows
	c.silent()
	all.Release()
	for range 3 { // in an order of the server's own
		if got, err := c.recv(); err != nil || !strings.HasPrefix(got, `>["unsubscribe" `) {
			t.Fatalf("got %s, %v; want an unsubscribe", got, err)
		}
	}
	proxyScript(t, p, c, `
		> >["punsubscribe" "x*" :0]
		> >["punsubscribe" "y" :0]
		> >["punsubscribe" nil :0]
		> "4"`)
	proxyNoneAwaited(t, p)
	if n := proxyInStep(t, tr); n != 4 {
		t.Errorf("%d echoes, want 4", n)
	}
	// A confirmation can be swallowed like any reply.
	h := p.AddRule(Rule{Match: Named("SUBSCRIBE"), Action: SwallowReply(CutConnection)})
	c.send("SUBSCRIBE d e")
	c.broken()
	proxyWait(t, h, 1)
}

func TestProxySilentCommands(t *testing.T) {
	p, c, _ := inFrontOf(t)
	proxyScript(t, p, c, `
		CLIENT REPLY SKIP; INCR n; INCR n
		> :2
		CLIENT REPLY OFF; INCR n; CLIENT REPLY SKIP; INCR n; CLIENT REPLY ON; INCR n
		> +OK
		> :5
		MULTI; GET; EXEC; ECHO 1
		> +OK
		> -ERR wrong number of arguments for 'get' command
		> -EXECABORT Transaction discarded because of previous errors.
		> "1"`)
	if _, err := c.conn.Write([]byte("*0\r\n*-1\r\n")); err != nil { // which the server ignores
		t.Fatal(err)
	}
	c.do("ECHO 2", `"2"`)
	proxyNoneAwaited(t, p)
}

func TestProxyMonitor(t *testing.T) {
	p, c, direct := inFrontOf(t)
	c.do("MONITOR", "+OK")
	direct.do("ECHO hello", `"hello"`)
	got, err := c.recv()
	if err != nil || !strings.HasSuffix(got, `"ECHO" "hello"`) {
		t.Fatalf("got %s, %v", got, err)
	}
	c.send("RESET")
	for got != "+RESET" && err == nil {
		got, err = c.recv()
	}
	proxyScript(t, p, c, `
		PING
		> +PONG`)
	proxyNoneAwaited(t, p)
}

// TestProxyTypes compares every RESP3 type as it comes through with what comes directly.
func TestProxyTypes(t *testing.T) {
	addr := proxyServer(t, "--enable-debug-command", "yes")
	p := proxyBefore(t, addr)
	c, direct := proxyDial(t, p.Addr()), proxyDial(t, addr)
	for _, hello := range []string{"2", "3"} {
		c.send("HELLO " + hello)
		direct.send("HELLO " + hello)
		c.recv()
		direct.recv()
		for _, kind := range []string{"string", "integer", "double", "bignum", "null", "array", "set", "map", "attrib", "push", "verbatim", "true", "false"} {
			if kind == "push" && hello == "2" {
				continue // an error in some versions, an array in others
			}
			ask := "DEBUG PROTOCOL " + kind
			c.send(ask, "ECHO "+kind)
			direct.send(ask, "ECHO "+kind)
			for range 2 {
				want, err1 := direct.recv()
				got, err2 := c.recv()
				if err1 != nil || err2 != nil || got != want {
					t.Fatalf("RESP%s %s: %s, %v; directly %s, %v", hello, kind, got, err2, want, err1)
				}
			}
		}
	}
}

func proxyRueidis(t *testing.T, p *Proxy, o rueidis.ClientOption) rueidis.Client {
	t.Helper()
	o.InitAddress = []string{p.Addr()}
	o.Dialer.Timeout = patience
	c, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestProxyRueidis runs the real client through the proxy, pipelined, with tracking, subscriptions, transactions and
// errors of the proxy's own in between, and checks that everyone got what is theirs.
func TestProxyRueidis(t *testing.T) {
	for _, resp2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("resp2=%v", resp2), func(t *testing.T) {
			p, _, direct := inFrontOf(t)
			tr := p.Transcript()
			c := proxyRueidis(t, p, rueidis.ClientOption{AlwaysPipelining: true, AlwaysRESP2: resp2, DisableCache: resp2})
			loading := p.AddRule(Rule{Match: Named("SETEX"), Action: AnswerError("LOADING")})
			ctx, stop := context.WithCancel(proxyContext(t))
			var heard atomic.Int64
			var bg sync.WaitGroup
			bg.Go(func() {
				c.Receive(ctx, c.B().Subscribe().Channel("news", "more").Build(), func(rueidis.PubSubMessage) { heard.Add(1) })
			})
			eventually(t, "it listens", func() bool {
				direct.send("PUBLISH news 1")
				direct.recv()
				return heard.Load() > 0
			})
			const workers, rounds = 8, 50
			var work sync.WaitGroup
			for w := range workers {
				work.Go(func() {
					for i := range rounds {
						id := strconv.Itoa(w*rounds + i)
						if got, err := c.Do(ctx, c.B().Echo().Message(id).Build()).ToString(); got != id || err != nil {
							t.Errorf("ECHO %s: %s, %v", id, got, err)
						}
						all := c.DoMulti(ctx, c.B().Set().Key("k"+id).Value(id).Build(),
							c.B().Setex().Key("k"+id).Seconds(100).Value("bad").Build(),
							c.B().Publish().Channel("news").Message(id).Build(), c.B().Get().Key("k"+id).Build())
						if err := all[1].Error(); err == nil || !strings.Contains(err.Error(), "LOADING") {
							t.Errorf("SETEX: %v, want LOADING", err)
						}
						if got, err := all[3].ToString(); got != id || err != nil {
							t.Errorf("GET k%s: %s, %v", id, got, err)
						}
						if !resp2 {
							got, err := c.DoCache(ctx, c.B().Get().Key("k"+id).Cache(), time.Minute).ToString()
							if got != id || err != nil {
								t.Errorf("cached GET k%s: %s, %v", id, got, err)
							}
						}
					}
				})
			}
			work.Wait()
			eventually(t, "all is heard", func() bool { return heard.Load() >= workers*rounds })
			stop()
			bg.Wait()
			if n := proxyInStep(t, tr); n != workers*rounds {
				t.Errorf("%d echoes, want %d", n, workers*rounds)
			}
			if n := loading.Hits(); n < workers*rounds { // rueidis may try again by itself
				t.Errorf("%d errors, want %d at least", n, workers*rounds)
			}
		})
	}
}

// TestProxyRueidisTracking cuts only the connection that tracks; the client next to it notices nothing.
func TestProxyRueidisTracking(t *testing.T) {
	p, _, direct := inFrontOf(t)
	ctx := proxyContext(t)
	tracked := proxyRueidis(t, p, rueidis.ClientOption{AlwaysPipelining: true, PipelineMultiplex: -1})
	plain := proxyRueidis(t, p, rueidis.ClientOption{AlwaysPipelining: true, PipelineMultiplex: -1, DisableCache: true})
	read := func() string {
		s, err := tracked.DoCache(ctx, tracked.B().Get().Key("k").Cache(), time.Minute).ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return "error"
		}
		return s
	}
	direct.do("SET k 1", "+OK")
	if got := read(); got != "1" {
		t.Fatalf("read %q, want 1", got)
	}
	p.ResetCounts()
	if got := read(); got != "1" || p.Commands()["GET"]+p.Commands()["MULTI"] != 0 {
		t.Fatalf("read %q with %v, want 1 from the cache", got, p.Commands())
	}
	direct.do("SET k 2", "+OK") // the push comes through
	eventually(t, "the cache is invalidated", func() bool { return read() == "2" })
	if err := plain.Do(ctx, plain.B().Ping().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	p.ResetCounts()
	if n := p.ResetMatching(func(i ConnInfo) bool { return i.Tracking }); n != 1 {
		t.Fatalf("%d connections were reset, want 1 of %+v", n, p.Conns())
	}
	direct.do("SET k 3", "+OK") // nobody can tell the client
	eventually(t, "the client has come back and reads anew", func() bool { return read() == "3" })
	if err := plain.Do(ctx, plain.B().Ping().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if n := p.Commands()["HELLO"]; n != 1 {
		t.Errorf("%d connections were made, want the tracking one alone", n)
	}
}

// TestProxyRueidisSwallow is the fault that the package exists for, seen by the real client.
func TestProxyRueidisSwallow(t *testing.T) {
	p, _, direct := inFrontOf(t)
	c := proxyRueidis(t, p, rueidis.ClientOption{AlwaysPipelining: true, DisableRetry: true})
	h := p.AddRule(Rule{Match: Named("INCR"), Nth: 1, Action: SwallowReply(CutConnection)})
	if n, err := c.Do(proxyContext(t), c.B().Incr().Key("n").Build()).ToInt64(); err == nil {
		t.Fatalf("INCR: %d, want an error", n)
	}
	proxyWait(t, h, 1)
	direct.do("GET n", `"1"`)
}

package proxy

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
)

func TestProxyAnswerError(t *testing.T) {
	p, c, direct := inFrontOf(t)
	h := p.AddRule(Rule{Match: Named("incr"), Nth: 2, Action: AnswerError("-LOADING not\r\nyet")})
	// The error keeps its place in the pipeline, and only the second INCR is struck.
	c.send("SET a 1", "INCR n", "incr n", "GET a", "INCR n")
	c.want("+OK", ":1", "-LOADING not  yet", `"1"`, ":2")
	proxyWait(t, h, 1)
	direct.do("GET n", `"2"`)
	if f := p.Faults(); f.Answered != 1 {
		t.Errorf("faults %+v, want one answered", f)
	}
	h.Remove()
	every := p.AddRule(Rule{Action: AnswerError("LOADING")})
	c.send("PING", "PING")
	c.want("-LOADING", "-LOADING")
	proxyWait(t, every, 2)
	every.Remove()
	c.do("PING", "+PONG")
}

func TestProxySwallowReplyCut(t *testing.T) {
	p, c, direct := inFrontOf(t)
	h := p.AddRule(Rule{Match: Named("INCR"), Nth: 3, Action: SwallowReply(CutConnection)})
	c.send("INCR n", "GET n", "INCR n", "INCR n", "GET n")
	// The server counted three; the client was told of two and got an error.
	c.want(":1", `"1"`, ":2")
	c.broken()
	proxyWait(t, h, 1)
	direct.do("GET n", `"3"`)
	if f := p.Faults(); f.Swallowed != 1 {
		t.Errorf("faults %+v, want one swallowed", f)
	}
	again := proxyDial(t, p.Addr())
	again.do("INCR n", ":4") // the third only
}

func TestProxySwallowReplyHang(t *testing.T) {
	p, c, direct := inFrontOf(t)
	other := proxyDial(t, p.Addr())
	h := p.AddRule(Rule{Match: Named("EXEC"), Action: SwallowReply(LeaveHanging)})
	c.send("MULTI", "INCR n", "EXEC", "INCR m")
	c.want("+OK", "+QUEUED")
	proxyWait(t, h, 1)
	direct.do("GET n", `"1"`)
	eventually(t, "the command after it runs", func() bool {
		direct.send("GET m")
		got, err := direct.recv()
		return err == nil && got == `"1"`
	})
	c.silent()
	other.do("GET n", `"1"`)
}

func TestProxyHoldRequest(t *testing.T) {
	p, c, direct := inFrontOf(t)
	h := p.AddRule(Rule{Match: Named("SET"), Action: HoldRequest()})
	c.send("PING", "SET k late", "GET k")
	c.want("+PONG")
	proxyWait(t, h, 1)
	direct.do("GET k", "nil")
	c.silent()
	h.Release()
	c.want("+OK", `"late"`)
	direct.do("GET k", `"late"`)

	// A held command arrives even when its client has gone.
	c.send("SET k later")
	proxyWait(t, h, 2)
	c.conn.Close()
	direct.do("GET k", `"late"`)
	h.Remove()
	eventually(t, "the late write is there", func() bool {
		direct.send("GET k")
		got, err := direct.recv()
		return err == nil && got == `"later"`
	})
	if f := p.Faults(); f.HeldRequests != 2 {
		t.Errorf("faults %+v, want two held requests", f)
	}
}

// TestProxyHoldReply holds a reply, and sees pushes pass it, the command run, and the order kept.
func TestProxyHoldReply(t *testing.T) {
	p, c, direct := inFrontOf(t)
	c.send("HELLO 3")
	c.recv()
	c.do("CLIENT TRACKING ON", "+OK")
	c.do("GET k", "nil")
	h := p.AddRule(Rule{Match: Named("INCR"), Nth: 1, Action: HoldReply()})
	c.send("INCR n", "INCR n", "ECHO x")
	proxyWait(t, h, 1)
	direct.do("SET k v", "+OK")
	c.want(`>["invalidate" ["k"]]`)
	direct.do("GET n", `"2"`)
	c.silent()
	h.Release()
	c.want(":1", ":2", `"x"`)

	// An answer of the proxy's own waits its turn as well, and Remove releases.
	held := p.AddRule(Rule{Match: Named("ECHO"), Action: HoldReply()})
	p.AddRule(Rule{Match: Named("PING"), Action: AnswerError("LOADING")})
	c.send("ECHO 1", "PING", "ECHO 2")
	proxyWait(t, held, 2)
	c.silent()
	held.Remove()
	c.want(`"1"`, "-LOADING", `"2"`)
	if f := p.Faults(); f.HeldReplies != 3 {
		t.Errorf("faults %+v, want three held replies", f)
	}
}

func TestProxyRuleOrder(t *testing.T) {
	p, c, _ := inFrontOf(t)
	other := proxyDial(t, p.Addr())
	other.do("CLIENT SETNAME other", "+OK")
	var saw atomic.Int64
	watch := p.AddRule(Rule{Match: Named("ECHO"), On: func(cmd []string) {
		if slices.Equal(cmd, []string{"ECHO", "Hi"}) {
			saw.Add(1)
		}
	}})
	first := p.AddRule(Rule{Match: Named("ECHO"), Conn: func(i ConnInfo) bool { return i.Name == "other" }, Action: AnswerError("ERR first")})
	second := p.AddRule(Rule{Match: Named("ECHO"), Action: AnswerError("ERR second")})
	other.do("echo Hi", "-ERR first")
	c.do("ECHO Hi", "-ERR second")
	c.do("PING", "+PONG")
	if watch.Hits() != 2 || saw.Load() != 2 || first.Hits() != 1 || second.Hits() != 1 {
		t.Errorf("hits %d (called %d), %d, %d; want 2, 1, 1", watch.Hits(), saw.Load(), first.Hits(), second.Hits())
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	cancel(enough)
	if err := watch.WaitN(ctx, 3); !errors.Is(err, enough) {
		t.Errorf("WaitN: %v, want the context's cause", err)
	}
	// A rule may strike its own connection.
	p.AddRule(Rule{Match: Named("GET"), On: func([]string) { p.ResetMatching(func(i ConnInfo) bool { return i.Name == "" }) }})
	c.send("GET k")
	c.broken()
	other.do("PING", "+PONG")
}

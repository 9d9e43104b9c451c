package proxy

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Rule is a fault that strikes commands.
//
// Rules are tried in the order they were added. One whose Action is the zero Action only watches; the first one whose
// Action strikes has the command to itself, and the rules after it do not see it.
type Rule struct {
	// Match picks commands; nil picks every one. The name, cmd[0], is in upper case, the rest as it was sent. It is
	// called by many goroutines at once, and must not keep or change cmd. Named makes one that goes by the name.
	Match func(cmd []string) bool

	// Conn picks connections; nil picks every one.
	Conn func(ConnInfo) bool

	// Nth: 0 strikes at every command picked; n > 0 only at the n-th one, counted from AddRule over all connections.
	Nth int

	// On is called, if not nil, for every command that the rule strikes, before the Action and in place: the command
	// waits for it. It may use the proxy, but for Close.
	On func(cmd []string)

	// Action is what happens. Zero: nothing.
	Action Action
}

// Named matches commands by their names, in any case: Named("EVALSHA", "EVAL").
func Named(names ...string) func(cmd []string) bool {
	upper := make([]string, len(names))
	for i, n := range names {
		upper[i] = strings.ToUpper(n)
	}
	return func(cmd []string) bool { return slices.Contains(upper, cmd[0]) }
}

// An Action is what a Rule does to a command. Make one with AnswerError, SwallowReply, HoldRequest or HoldReply.
type Action struct {
	kind actionKind
	text string
}

type actionKind uint8

const (
	actWatch actionKind = iota
	actAnswer
	actSwallowCut
	actSwallowHang
	actHoldRequest
	actHoldReply
)

// Then says what becomes of a connection whose reply was swallowed.
type Then uint8

const (
	// CutConnection closes both of its sides, after the replies to earlier commands: the client reads an end of
	// file where the reply would have been.
	CutConnection Then = iota

	// LeaveHanging leaves it open, and nothing reaches the client on it any more: TCP does not lose one reply and
	// deliver the next. Commands that the client goes on to send are forwarded.
	LeaveHanging
)

// AnswerError makes the proxy answer with an error, such as "LOADING Redis is loading the dataset in memory". The
// command does not reach the server, and the answer keeps its place among the replies. The "-" in front is optional.
//
// It strikes one command: in a transaction that the server has begun, the other commands of it still run.
func AnswerError(text string) Action {
	text = strings.NewReplacer("\r", " ", "\n", " ").Replace(strings.TrimPrefix(text, "-"))
	return Action{actAnswer, "-" + text + "\r\n"}
}

// SwallowReply lets the command run and eats its reply: the client cannot know whether it ran. A command that has no
// reply (CLIENT REPLY OFF) is not struck.
func SwallowReply(then Then) Action {
	if then == LeaveHanging {
		return Action{kind: actSwallowHang}
	}
	return Action{kind: actSwallowCut}
}

// HoldRequest keeps the command, and what comes after it on the connection, from the server until Handle.Release. A
// command is held even when its client has gone meanwhile, and then arrives late: the network does so too.
func HoldRequest() Action { return Action{kind: actHoldRequest} }

// HoldReply lets the command run and keeps its reply, and the replies after it on the connection, from the client
// until Handle.Release. RESP3 pushes and RESP2 messages pass, but for those that confirm a SUBSCRIBE sent later.
func HoldReply() Action { return Action{kind: actHoldReply} }

// Handle is a rule at work. It is safe for concurrent use.
type Handle struct {
	p    *Proxy
	rule Rule
	seen atomic.Int64

	mu      sync.Mutex
	hits    int
	struck  chan struct{} // closed and replaced at every hit
	held    []func()      // each lets one held command or reply go
	removed bool
}

// AddRule puts a rule to work, on open connections too, for commands that the proxy reads from now on.
func (p *Proxy) AddRule(r Rule) *Handle {
	h := &Handle{p: p, rule: r, struck: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	rules := append(slices.Clone(*p.rules.Load()), h)
	p.rules.Store(&rules)
	return h
}

// Remove ends the rule and releases what it holds. A reply that it was about to hold is not held; a command that it
// struck already keeps its fate otherwise.
func (h *Handle) Remove() {
	h.p.mu.Lock()
	rules := slices.DeleteFunc(slices.Clone(*h.p.rules.Load()), func(o *Handle) bool { return o == h })
	h.p.rules.Store(&rules)
	h.p.mu.Unlock()
	h.mu.Lock()
	h.removed = true
	h.mu.Unlock()
	h.Release()
}

// Hits is how many times the fault has happened: the error was sent, the reply (so the command has run) was eaten or
// is held, the request is held, or the command was watched. It is counted before the client can notice it.
func (h *Handle) Hits() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hits
}

// Wait waits until the fault has happened once, in the sense of Hits, or returns the context's error.
func (h *Handle) Wait(ctx context.Context) error { return h.WaitN(ctx, 1) }

// WaitN waits until the fault has happened n times, or returns the context's error.
func (h *Handle) WaitN(ctx context.Context, n int) error {
	for {
		h.mu.Lock()
		hits, struck := h.hits, h.struck
		h.mu.Unlock()
		if hits >= n {
			return nil
		}
		select {
		case <-struck:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Release lets everything go that the rule holds now. What it strikes later is held anew.
func (h *Handle) Release() {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, letGo := range held {
		letGo()
	}
}

// strikes reports whether the rule strikes the command.
func (h *Handle) strikes(c *proxyConn, cmd []string) bool {
	if h.rule.Conn != nil && !h.rule.Conn(c.info()) || h.rule.Match != nil && !h.rule.Match(cmd) {
		return false
	}
	n := h.seen.Add(1)
	return h.rule.Nth <= 0 || n == int64(h.rule.Nth)
}

// hit counts the fault, for the proxy in count too (nil: not).
func (h *Handle) hit(count *atomic.Int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.struckOnce(count)
}

func (h *Handle) struckOnce(count *atomic.Int64) {
	if count != nil {
		count.Add(1)
	}
	h.hits++
	close(h.struck)
	h.struck = make(chan struct{})
}

// hold counts the fault and keeps letGo for Release; it refuses when the rule has been removed.
func (h *Handle) hold(count *atomic.Int64, letGo func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.removed {
		return false
	}
	h.held = append(h.held, letGo)
	h.struckOnce(count)
	return true
}

// strike runs the rules over a command and returns the one whose action strikes, if any.
func (p *Proxy) strike(rules []*Handle, c *proxyConn, cmd []string) *Handle {
	for _, h := range rules {
		if !h.strikes(c, cmd) {
			continue
		}
		if h.rule.On != nil {
			h.rule.On(cmd)
		}
		if h.rule.Action.kind != actWatch {
			return h
		}
		h.hit(nil)
	}
	return nil
}

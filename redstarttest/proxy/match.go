package proxy

import (
	"bytes"
	"strings"
)

// proxyPending is a command whose reply has not been delivered to the client yet.
type proxyPending struct {
	kind   commandKind
	frames int     // replies still to come; 0 before the first one: as many as there are subscriptions
	rule   *Handle // whose action strikes it; nil: none
	held   bool    // its replies wait for Release
	done   bool    // all of its replies are here
	reply  []byte  // those that could not be delivered at once
	notes  []transcriptNote
}

func (e *proxyPending) action() actionKind {
	if e.rule == nil {
		return actWatch
	}
	return e.rule.rule.Action.kind
}

// commandKind singles out the commands that change what the replies after them look like.
type commandKind uint8

const (
	cmdOther commandKind = iota
	cmdSubscribe
	cmdPSubscribe
	cmdSSubscribe
	cmdUnsubscribe // these three in the order of the three above
	cmdPUnsubscribe
	cmdSUnsubscribe
	cmdHello2
	cmdHello3
	cmdReset
	cmdMonitor
	cmdSync
	cmdReplyOn
	cmdReplyOff
	cmdReplySkip
)

// classify returns the kind of a command and how many replies it gets (0: see proxyPending.frames).
func classify(name string, in *wireReader) (kind commandKind, frames int) {
	n := len(in.args)
	switch name {
	case "SUBSCRIBE":
		return cmdSubscribe, max(n-1, 1)
	case "PSUBSCRIBE":
		return cmdPSubscribe, max(n-1, 1)
	case "SSUBSCRIBE":
		return cmdSSubscribe, max(n-1, 1)
	case "UNSUBSCRIBE":
		return cmdUnsubscribe, n - 1
	case "PUNSUBSCRIBE":
		return cmdPUnsubscribe, n - 1
	case "SUNSUBSCRIBE":
		return cmdSUnsubscribe, n - 1
	case "HELLO":
		if n > 1 && string(in.arg(1)) == "3" {
			return cmdHello3, 1
		}
		if n > 1 && string(in.arg(1)) == "2" {
			return cmdHello2, 1
		}
	case "RESET":
		return cmdReset, 1
	case "MONITOR":
		return cmdMonitor, 1
	case "SYNC", "PSYNC":
		return cmdSync, 1
	case "CLIENT":
		if n == 3 && strings.EqualFold(string(in.arg(1)), "REPLY") {
			switch strings.ToUpper(string(in.arg(2))) {
			case "ON":
				return cmdReplyOn, 1
			case "OFF":
				return cmdReplyOff, 1
			case "SKIP":
				return cmdReplySkip, 1
			}
		}
	}
	return cmdOther, 1
}

// proxyQueue holds the pending commands of a connection in the order in which they were sent.
type proxyQueue struct {
	items   []*proxyPending
	head    int // the first one not delivered
	waiting int // the first one whose replies are not all here; never before head
}

func (q *proxyQueue) add(e *proxyPending) {
	if q.head == len(q.items) {
		q.items, q.head, q.waiting = q.items[:0], 0, 0
	} else if q.head > 1024 && 2*q.head > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head, q.waiting = q.items[:n], 0, q.waiting-q.head
	}
	q.items = append(q.items, e)
}

// awaited is the command that the next reply belongs to: answers of the proxy's own are passed over.
func (q *proxyQueue) awaited() *proxyPending {
	for q.waiting < len(q.items) && q.items[q.waiting].done {
		q.waiting++
	}
	if q.waiting == len(q.items) {
		return nil
	}
	return q.items[q.waiting]
}

// deliver hands everything that may go to the client to push, in order.
func (q *proxyQueue) deliver(push func([]byte)) {
	for q.head < len(q.items) {
		e := q.items[q.head]
		if e.held {
			return
		}
		push(e.reply)
		e.reply = nil
		if !e.done {
			return
		}
		q.items[q.head] = nil
		q.head++
		q.waiting = max(q.waiting, q.head)
	}
}

// proxyProtocol is what must be known of a connection to tell replies from what comes unasked.
type proxyProtocol struct {
	resp3     bool
	monitor   bool
	channels  [3]map[string]bool // subscribed: channels, patterns, shard channels
	queuedSub bool               // a SUBSCRIBE ran inside a transaction: its channels are not known
}

// attribute returns whose reply a frame is (or is part of); nil: nobody's, it comes unasked.
func (s *proxyProtocol) attribute(q *proxyQueue, top byte, frame []byte) *proxyPending {
	e := q.awaited()
	if top == '>' || top == '*' && s.messages(e) {
		what, channel, named := pushOf(frame)
		if kind := confirmation(what); kind != cmdOther {
			mine := e != nil && e.kind == kind
			set := &s.channels[(kind-cmdSubscribe)%3]
			if mine && e.frames == 0 {
				e.frames = max(1, len(*set))
			}
			if kind >= cmdUnsubscribe {
				delete(*set, channel)
			} else if named {
				if *set == nil {
					*set = map[string]bool{}
				}
				(*set)[channel] = true
			}
			if mine {
				return e
			}
			return nil // unasked: a slot has moved, say
		} else if top == '>' || what == "message" || what == "pmessage" || what == "smessage" {
			return nil
		}
	}
	if s.monitor && top == '+' && len(frame) > 1 && frame[1] >= '0' && frame[1] <= '9' {
		return nil
	}
	if e == nil {
		return nil
	}
	if e.kind >= cmdSubscribe && e.kind <= cmdSUnsubscribe {
		e.frames = 1 // an error, or queued in a transaction
		s.queuedSub = s.queuedSub || top == '+'
	}
	if top == '-' || top == '!' || bytes.HasPrefix(frame, []byte("+QUEUED")) {
		return e
	}
	switch e.kind {
	case cmdHello2, cmdHello3:
		s.resp3 = e.kind == cmdHello3
	case cmdReset:
		*s = proxyProtocol{}
	case cmdMonitor:
		s.monitor = true
	}
	return e
}

// messages reports whether an array may be a message or a confirmation instead of a reply.
func (s *proxyProtocol) messages(e *proxyPending) bool {
	if s.resp3 {
		return false
	}
	return s.queuedSub || len(s.channels[0])+len(s.channels[1])+len(s.channels[2]) > 0 ||
		e != nil && e.kind >= cmdSubscribe && e.kind <= cmdSUnsubscribe
}

func confirmation(what string) commandKind {
	switch what {
	case "subscribe":
		return cmdSubscribe
	case "psubscribe":
		return cmdPSubscribe
	case "ssubscribe":
		return cmdSSubscribe
	case "unsubscribe":
		return cmdUnsubscribe
	case "punsubscribe":
		return cmdPUnsubscribe
	case "sunsubscribe":
		return cmdSUnsubscribe
	}
	return cmdOther
}

// pushOf returns the first two elements of a push or a RESP2 message. The channel may be null.
func pushOf(frame []byte) (what, channel string, named bool) {
	c := wireCursor{frame}
	kind, _, n, _ := c.next()
	for kind == '|' { // an attribute in front
		for range n {
			formatValue(nil, &c)
		}
		kind, _, n, _ = c.next()
	}
	if n < 2 {
		return "", "", false
	}
	kind, text, _, _ := c.next()
	if kind != '$' {
		return "", "", false
	}
	what = string(text)
	kind, text, _, null := c.next()
	return what, string(text), kind == '$' && !null
}

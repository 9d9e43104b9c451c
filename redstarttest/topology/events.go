package topology

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Event is what a sentinel published.
type Event struct {
	At       time.Time // when it arrived here
	Sentinel *Node     // who published it
	Name     string    // "+odown", "+promoted-slave", "+switch-master", …
	Text     string    // as Sentinel words it: "master mymaster 127.0.0.1 6379 #quorum 2/2"
}

// Addr is the announced address of the node that the event is about, for +switch-master of the new primary; "": the
// event names none.
func (e Event) Addr() string {
	w := strings.Fields(e.Text)
	switch {
	case e.Name == "+switch-master" && len(w) >= 5: // name old-ip old-port ip port
		return net.JoinHostPort(w[3], w[4])
	case e.Name != "+switch-master" && len(w) >= 4: // type name ip port, and then whatever
		return net.JoinHostPort(w[2], w[3])
	}
	return ""
}

// Events are all events since the start, of all sentinels, in the order of their arrival.
func (s *Sentinel) Events() []Event {
	all, _ := s.events.read()
	return all
}

// Await waits for an event that arrived at since or later and that match picks. It may be one that has arrived
// already.
func (s *Sentinel) Await(ctx context.Context, since time.Time, match func(Event) bool) (Event, error) {
	for {
		all, more := s.events.read()
		for _, e := range all {
			if !e.At.Before(since) && match(e) {
				return e, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("redstart/redstarttest/topology: no such event in time: %w; there were %d", ctx.Err(), len(all))
		}
	}
}

// WaitPromoted waits until a sentinel publishes (+switch-master) that the primary is another than the node with the
// announced address notAddr, and gives the new one's address. That may have happened already. at is the time of the
// promotion: when a sentinel had told the node to be a primary (+failover-state-wait-promotion), which it then is
// within a round trip, up to a second before a sentinel sees it (+promoted-slave) and tells others (+switch-master).
func (s *Sentinel) WaitPromoted(ctx context.Context, notAddr string) (addr string, at time.Time, err error) {
	for {
		all, more := s.events.read()
		if i := lastSwitch(all); i >= 0 && all[i].Addr() != notAddr {
			return all[i].Addr(), promotedAt(all, i), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", time.Time{}, fmt.Errorf("redstart/redstarttest/topology: no sentinel promoted another than %s in time: %w; events:%s",
				notAddr, ctx.Err(), listed(all))
		}
	}
}

// lastSwitch finds the event by which the present primary was first announced. Each sentinel publishes each switch,
// at different times; a repetition is none.
func lastSwitch(all []Event) int {
	last := -1
	for i, e := range all {
		if e.Name == "+switch-master" && (last < 0 || all[last].Addr() != e.Addr()) {
			last = i
		}
	}
	return last
}

// promotedAt is the time of the promotion that led to a switch: the last one of the same node before it. Where none
// was heard, as its sentinel was not reached, the switch itself.
func promotedAt(all []Event, i int) time.Time {
	for j := i - 1; j >= 0; j-- {
		if all[j].Name == "+failover-state-wait-promotion" && all[j].Addr() == all[i].Addr() {
			return all[j].At
		}
	}
	return all[i].At
}

// listed writes the last events, one a line.
func listed(all []Event) string {
	var b strings.Builder
	for _, e := range all[max(0, len(all)-40):] {
		fmt.Fprintf(&b, "\n%s %s %s %s", e.At.Format("15:04:05.000"), e.Sentinel.name, e.Name, e.Text)
	}
	return b.String()
}

// eventLog grows and wakes those who wait.
type eventLog struct {
	mu   sync.Mutex
	all  []Event
	more chan struct{} // closed and replaced at every event
}

func (l *eventLog) read() ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return slices.Clone(l.all), l.more
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// watch keeps a subscription to one sentinel until ctx ends. subscribed is closed when it first stands; what is
// published while the sentinel is down, or not reached, is not heard.
func (s *Sentinel) watch(ctx context.Context, n *Node, subscribed chan struct{}) {
	once := sync.OnceFunc(func() { close(subscribed) })
	for ctx.Err() == nil {
		_ = s.subscribe(ctx, n, once) // it ends when the sentinel does, and is tried again
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Sentinel) subscribe(ctx context.Context, n *Node, subscribed func()) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	forget := context.AfterFunc(ctx, func() { conn.Close() })
	defer forget()
	var out strings.Builder
	if p := s.cfg.SentinelPassword; p != "" {
		fmt.Fprintf(&out, "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(p), p)
	}
	out.WriteString("*2\r\n$10\r\nPSUBSCRIBE\r\n$1\r\n*\r\n")
	if _, err := io.WriteString(conn, out.String()); err != nil {
		return err
	}
	for in := bufio.NewReader(conn); ; {
		message, err := read(in)
		if err != nil {
			return err
		}
		switch {
		case len(message) > 0 && message[0] == "psubscribe":
			subscribed()
		case len(message) == 4 && message[0] == "pmessage" && strings.ContainsAny(message[2][:min(1, len(message[2]))], "+-"):
			s.events.add(Event{At: time.Now(), Sentinel: n, Name: message[2], Text: message[3]})
		}
	}
}

// read reads what a subscription brings in RESP2: a list of words and numbers, or one of them alone.
func read(in *bufio.Reader) ([]string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(line[1:], "\r\n")
	switch line[0] {
	case '+', ':':
		return []string{text}, nil
	case '-':
		return nil, fmt.Errorf("redstart/redstarttest/topology: the sentinel answers %q", text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return nil, fmt.Errorf("redstart/redstarttest/topology: not what a subscription brings: %.40q", line)
	}
	if line[0] == '$' {
		b := make([]byte, n+2)
		_, err := io.ReadFull(in, b)
		return []string{string(b[:n])}, err
	}
	var list []string
	for range n {
		item, err := read(in)
		if err != nil {
			return nil, err
		}
		list = append(list, item...)
	}
	return list, nil
}

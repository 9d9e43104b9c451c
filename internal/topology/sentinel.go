package topology

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
)

// view is what a sentinel says of the primary.
type view struct {
	primary  string
	epoch    int64
	moving   bool // a failover is under way: address and epoch may not match
	replicas []string
}

// askSentinel asks one sentinel for its view of the primary called name.
func askSentinel(ctx context.Context, l *link, name string) (view, error) {
	answer, err := l.ask(ctx, "SENTINEL", "MASTER", name)
	if err != nil {
		return view{}, err
	}
	m := fields(answer)
	if m["ip"] == "" || m["port"] == "" {
		return view{}, errReply
	}
	v := view{primary: net.JoinHostPort(m["ip"], m["port"]), moving: strings.Contains(m["flags"], "failover_in_progress")}
	if v.epoch, err = strconv.ParseInt(m["config-epoch"], 10, 64); err != nil {
		return view{}, errReply
	}
	if answer, err = l.ask(ctx, "SENTINEL", "REPLICAS", name); err != nil {
		return view{}, err
	}
	list, _ := answer.([]any)
	for _, entry := range list {
		if r := fields(entry); r["ip"] != "" && r["port"] != "" {
			v.replicas = append(v.replicas, net.JoinHostPort(r["ip"], r["port"]))
		}
	}
	return v, nil
}

// role is what a data node says it is.
type role uint8

const (
	unseen role = iota
	primary
	replica
)

func askRole(ctx context.Context, l *link) (role, error) {
	answer, err := l.ask(ctx, "ROLE")
	if err != nil {
		return unseen, err
	}
	return roleOf(answer), nil
}

func roleOf(answer any) role {
	list, _ := answer.([]any)
	if len(list) == 0 {
		return unseen
	}
	switch list[0] {
	case "master":
		return primary
	case "slave":
		return replica
	default:
		return unseen
	}
}

// listen reads a sentinel's +switch-master events and calls moved for each,
// until the connection or ctx ends.
func listen(ctx context.Context, l *link, moved func()) error {
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := l.exchange(ctx, []string{"SUBSCRIBE", "+switch-master", "+promoted-slave"}); err != nil {
		return err
	}
	for {
		// A silent connection is given up after a while and made anew: polls
		// stand behind it.
		if err := l.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := readReply(l.in, 0); err != nil {
			return err
		}
		moved()
	}
}

package embedded_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/embedded"
)

// A RESP3 connection may do anything while it is subscribed; rueidis relies on
// it, since it shares one connection.
func TestSubscribedConnectionStaysUsable(t *testing.T) {
	s, c := start(t, embedded.Config{})
	ctx := deadline(t)
	const messages = 300
	got := make(chan string, messages)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Receive(ctx, c.B().Subscribe().Channel("news").Build(), func(m rueidis.PubSubMessage) { got <- m.Message })
	}()
	eventually(t, "the subscription is there", func() bool {
		m, err := do(t, c, "PUBSUB", "NUMSUB", "news").AsMap()
		n := m["news"]
		subs, _ := n.AsInt64()
		return err == nil && subs == 1
	})

	// Many messages while the same connection gets replies of many parts: no
	// message may land inside one.
	published := make(chan error, 1)
	go func() {
		p := client(t, s)
		for i := range messages {
			if err := p.Do(ctx, p.B().Publish().Channel("news").Message(strconv.Itoa(i)).Build()).Error(); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	do(t, c, "HSET", "h", "a", "1", "b", "2", "c", "3", "d", "4")
	for range messages {
		m, err := do(t, c, "HGETALL", "h").AsStrMap()
		if err != nil || len(m) != 4 || m["d"] != "4" {
			t.Fatalf("HGETALL on a subscribed connection = %v, %v", m, err)
		}
		if v, err := do(t, c, "EVAL", `redis.setresp(3); return {1, 2, {ARGV[1]}}`, "0", "x").ToArray(); err != nil || len(v) != 3 {
			t.Fatalf("EVAL on a subscribed connection = %v, %v", v, err)
		}
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if m := <-got; m != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, m)
		}
	}
	// State of the connection survives the split: database, transaction, own publish.
	if n, err := do(t, c, "PUBLISH", "news", "own").AsInt64(); err != nil || n != 1 {
		t.Fatalf("PUBLISH from the subscribed connection = %d, %v", n, err)
	}
	if m := <-got; m != "own" {
		t.Fatalf("got %q", m)
	}
	if err := c.Do(ctx, c.B().Unsubscribe().Channel("news").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("Receive ended with %v", err)
	}
	eventually(t, "the subscription is gone", func() bool {
		m, err := do(t, c, "PUBSUB", "NUMSUB", "news").AsMap()
		n := m["news"]
		subs, _ := n.AsInt64()
		return err == nil && subs == 0
	})
	if err := do(t, c, "SET", "after", "1").Error(); err != nil {
		t.Fatal(err)
	}
}

func TestDedicatedSubscription(t *testing.T) {
	_, c := start(t, embedded.Config{})
	d, release := c.Dedicate()
	got := make(chan string, 1)
	d.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { got <- m.Pattern + " " + m.Message }})
	if err := d.Do(deadline(t), d.B().Select().Index(3).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := d.Do(deadline(t), d.B().Psubscribe().Pattern("n*").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	// The database chosen before the subscription still holds after it.
	results := d.DoMulti(deadline(t), d.B().Multi().Build(), d.B().Set().Key("k").Value("3").Build(), d.B().Exec().Build())
	if err := results[2].Error(); err != nil {
		t.Fatalf("EXEC on a subscribed connection: %v", err)
	}
	if err := do(t, c, "GET", "k").Error(); !rueidis.IsRedisNil(err) {
		t.Fatalf("database 0 has the key of database 3 (%v)", err)
	}
	if err := do(t, c, "PUBLISH", "news", "hello").Error(); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m != "n* hello" {
		t.Fatalf("got %q", m)
	}
	release()
	if err := do(t, c, "PING").Error(); err != nil {
		t.Fatal(err)
	}
	d2, release2 := c.Dedicate()
	defer release2()
	if err := d2.Do(deadline(t), d2.B().Ping().Build()).Error(); err != nil {
		t.Fatalf("PING on a connection taken after the subscription was released: %v", err)
	}
	eventually(t, "the subscription is gone", func() bool {
		n, err := do(t, c, "PUBSUB", "NUMPAT").AsInt64()
		return err == nil && n == 0
	})
}

func TestRESP2(t *testing.T) {
	s, _ := start(t, embedded.Config{})
	opt := rueidis.MustParseURL(s.URL())
	opt.DisableCache, opt.AlwaysRESP2 = true, true
	c, err := rueidis.NewClient(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := do(t, c, "COMMAND", "INFO", "vadd", "get").ToArray()
	if err != nil || len(reply) != 2 || !reply[0].IsNil() || reply[1].IsNil() {
		t.Fatalf("COMMAND INFO in RESP2 = %v, %v", reply, err)
	}
	cfg, err := do(t, c, "CONFIG", "GET", "maxmemory").AsStrMap()
	if err != nil || cfg["maxmemory"] != "0" {
		t.Fatalf("CONFIG GET in RESP2 = %v, %v", cfg, err)
	}
	text, err := do(t, c, "INFO", "server").ToString()
	if err != nil || !strings.Contains(text, "redstart-embedded") {
		t.Fatalf("INFO in RESP2 = %q, %v", text, err)
	}
}

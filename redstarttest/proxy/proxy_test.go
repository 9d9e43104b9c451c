package proxy

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestProxyLarge sends a value of 1 MiB through, and a pipeline whose sender does not read before its end.
func TestProxyLarge(t *testing.T) {
	p, c, direct := inFrontOf(t)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	c.do("SET k "+big, "+OK")
	c.send("GET k")
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.in.reply(); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("$%d\r\n%s\r\n", len(big), big); string(c.in.frame()) != want {
		t.Fatalf("1 MiB came back as %d other bytes", len(c.in.frame()))
	}
	c.in.next()

	deaf := p.AddRule(Rule{Match: Named("PING"), Action: AnswerError("LOADING")})
	batch := make([]string, 0, 1001)
	for range 1000 {
		batch = append(batch, "ECHO "+big[:16<<10])
	}
	c.send(append(batch, "PING")...) // 16 MiB each way: more than the sockets hold
	for range batch {
		if _, err := c.in.reply(); err != nil {
			t.Fatal(err)
		}
		c.in.next()
	}
	c.want("-LOADING")
	proxyWait(t, deaf, 1)
	direct.do("STRLEN k", ":1048576")
}

// TestProxyTake gives a proxy connections that came to another address.
func TestProxyTake(t *testing.T) {
	p, _, direct := inFrontOf(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	give := func() *proxyClient {
		c := proxyDial(t, l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.Take(conn)
		return c
	}
	before := p.Faults()
	c := give()
	c.do("SET taken 1", "+OK")
	direct.do("EXISTS taken", ":1")
	p.Refuse(true)
	if _, err := give().recv(); err == nil {
		t.Error("a connection was not refused")
	}
	p.Refuse(false)
	p.Close()
	if _, err := c.recv(); err == nil {
		t.Error("a connection that was taken outlives the proxy")
	}
	if _, err := give().recv(); err == nil {
		t.Error("a closed proxy took a connection")
	}
	if now := p.Faults(); now.Accepted != before.Accepted+1 || now.Refused != before.Refused+1 {
		t.Errorf("before %+v, then %+v", before, now)
	}
}

func TestProxyReset(t *testing.T) {
	p, c, direct := inFrontOf(t)
	tracking := proxyDial(t, p.Addr())
	tracking.send("HELLO 3", "CLIENT TRACKING ON")
	tracking.recv()
	tracking.want("+OK")
	c.do("PING", "+PONG")
	if n := p.ResetMatching(func(i ConnInfo) bool { return i.Tracking && i.RESP3 }); n != 1 {
		t.Fatalf("%d connections were reset, want 1: %+v", n, p.Conns())
	}
	if _, err := tracking.recv(); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the tracking connection ends with %v, want a reset", err)
	}
	c.do("SET k v", "+OK")
	if n := p.Reset(); n != 1 {
		t.Errorf("%d connections were reset, want 1", n)
	}
	c.broken()
	direct.do("GET k", `"v"`)
	if f := p.Faults(); f.Resets != 2 || f.Accepted != 2 {
		t.Errorf("faults %+v, want two resets of two", f)
	}
	eventually(t, "no connection is open", func() bool { return len(p.Conns()) == 0 })
	proxyDial(t, p.Addr()).do("PING", "+PONG")
}

func TestProxyRefuse(t *testing.T) {
	p, c, _ := inFrontOf(t)
	c.do("PING", "+PONG")
	p.Refuse(true)
	proxyRefused(t, p.Addr())
	c.do("PING", "+PONG")
	p.Refuse(false)
	proxyDial(t, p.Addr()).do("PING", "+PONG")
	if f := p.Faults(); f.Refused != 1 {
		t.Errorf("faults %+v, want one refused", f)
	}
}

func TestProxyBlackhole(t *testing.T) {
	for _, way := range []Direction{ToServer, ToClient, BothWays} {
		p, c, direct := inFrontOf(t)
		c.do("INCR n", ":1")
		p.Blackhole(way)
		c.send("INCR n")
		if way == ToClient {
			eventually(t, "the server runs it", func() bool {
				direct.send("GET n")
				got, _ := direct.recv()
				return got == `"2"`
			})
		}
		eventually(t, "bytes are held", func() bool { return p.Faults().HeldBytes > 0 })
		c.silent()
		if way != ToClient {
			direct.do("GET n", `"1"`)
		}
		later := proxyDial(t, p.Addr())
		later.send("INCR m")
		later.silent()
		p.Heal()
		c.want(":2")
		later.want(":1")
	}
}

// TestProxyBounded fills a black hole: the proxy stops reading, and yet nothing is lost.
func TestProxyBounded(t *testing.T) {
	p, c, _ := inFrontOf(t)
	const size, n = 1 << 20, 40
	c.do("SETRANGE k "+strconv.Itoa(size-1)+" x", ":"+strconv.Itoa(size))
	p.Blackhole(ToClient)
	for range n {
		c.send("GET k")
	}
	eventually(t, "the proxy is full", func() bool { return p.Faults().HeldBytes > linkMaxQueued })
	c.silent()
	if held := p.Faults().HeldBytes; held > linkMaxQueued+2*size {
		t.Errorf("%d bytes are held, want little more than %d", held, linkMaxQueued)
	}
	p.Heal()
	for range n {
		c.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.in.reply(); err != nil {
			t.Fatal(err)
		}
		c.in.next()
	}
	held := p.Faults().HeldBytes
	p.Blackhole(ToClient) // and Close does not wait for a reader that waits for room
	for range n {
		c.send("GET k")
	}
	eventually(t, "the proxy is full", func() bool { return p.Faults().HeldBytes > held+linkMaxQueued })
}

func TestProxyDrop(t *testing.T) {
	p, c, direct := inFrontOf(t)
	fine := proxyDial(t, p.Addr())
	fine.do("PING", "+PONG")
	p.Drop(ToServer)
	c.send("INCR n")
	eventually(t, "bytes are lost", func() bool { return p.Faults().DroppedBytes == int64(len(encodeCommand("INCR", "n"))) })
	c.silent()
	p.Blackhole(ToServer) // what comes behind a gap is lost, whatever the weather
	c.send("INCR n")
	eventually(t, "it is lost as well", func() bool { return p.Faults().DroppedBytes == int64(2*len(encodeCommand("INCR", "n"))) })
	p.Heal()
	c.broken()
	fine.do("PING", "+PONG")
	direct.do("GET n", "nil")
}

func TestProxyDelay(t *testing.T) {
	p, c, _ := inFrontOf(t)
	took := func() time.Duration {
		start := time.Now()
		c.send("ECHO 1", "ECHO 2", "ECHO 3")
		c.want(`"1"`, `"2"`, `"3"`)
		return time.Since(start)
	}
	p.Delay(20*time.Millisecond, 30*time.Millisecond)
	if d := took(); d < 50*time.Millisecond {
		t.Errorf("a round trip took %v, want 50ms at least", d)
	}
	p.Jitter(5*time.Millisecond, 1) // the order stays
	took()
	if n := p.Faults().Delayed; n != 12 {
		t.Errorf("%d frames were delayed, want 12", n)
	}
	p.Delay(0, 0)
	p.Jitter(0, 0)
	took()
	if n := p.Faults().Delayed; n != 12 {
		t.Errorf("%d frames were delayed, want 12 still", n)
	}
	// Frames of one way do not overtake each other when the delay gets shorter.
	p.Delay(0, 100*time.Millisecond)
	c.send("ECHO 1")
	eventually(t, "the reply is delayed", func() bool { return p.Faults().Delayed == 13 })
	p.Delay(0, time.Nanosecond)
	c.send("ECHO 2")
	c.want(`"1"`, `"2"`)
	p.Delay(time.Hour, 0) // and Close does not wait for it
	c.send("PING")
	eventually(t, "it is delayed", func() bool { return p.Faults().Delayed == 15 })
}

func TestProxyJitterSeed(t *testing.T) {
	draw := func(seed, id uint64, way Direction) (all [8]time.Duration) {
		l := proxyLink{way: way, id: id}
		for i := range all {
			all[i] = l.jitter(&weather{jitter: time.Second, seed: seed})
		}
		return all
	}
	same := draw(1, 1, ToServer)
	if same != draw(1, 1, ToServer) {
		t.Error("one seed gives two sequences")
	}
	if same == draw(2, 1, ToServer) || same == draw(1, 2, ToServer) || same == draw(1, 1, ToClient) {
		t.Error("seed, connection and direction must each matter")
	}
}

func TestProxyTarget(t *testing.T) {
	first, second := proxyServer(t), proxyServer(t)
	p := proxyBefore(t, first)
	c := proxyDial(t, p.Addr())
	c.do("SET k first", "+OK")
	p.SetTarget(second)
	c.do("GET k", `"first"`)
	proxyDial(t, p.Addr()).do("GET k", "nil")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p.SetTarget(l.Addr().String())
	proxyRefused(t, p.Addr())
	if f := p.Faults(); f.DialErrors != 1 || p.Err() == nil {
		t.Errorf("faults %+v, err %v; want one failed dial", f, p.Err())
	}
	p.SetTarget(first)
	web := proxyDial(t, p.Addr())
	if _, err := web.conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	web.broken()
	if f := p.Faults(); f.Malformed != 1 || !strings.Contains(p.Err().Error(), "client") {
		t.Errorf("faults %+v, err %v; want one malformed", f, p.Err())
	}
	if _, err := New(""); err == nil {
		t.Error("no target is no error")
	}
}

func TestProxyUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.sock")
	proxyServer(t, "--unixsocket", path)
	p := proxyBefore(t, path)
	c := proxyDial(t, p.Addr())
	c.do("PING", "+PONG")
	p.Reset()
	c.broken()
}

func TestProxyCounts(t *testing.T) {
	p, c, _ := inFrontOf(t)
	c.do("CLIENT SETNAME app", "+OK")
	c.do("get k", "nil")
	c.do("GET k", "nil")
	gone := proxyDial(t, p.Addr())
	gone.do("GET k", "nil")
	gone.do("SUBSCRIBE news", `["subscribe" "news" :1]`)
	all := p.Conns()
	if len(all) != 2 {
		t.Fatalf("connections %+v, want two", all)
	}
	a, b := all[0], all[1]
	if a.ID != 1 || a.Name != "app" || a.Commands != 3 || a.Subscribed || a.RESP3 || a.Tracking || a.Addr != c.conn.LocalAddr().String() {
		t.Errorf("the first is %+v", a)
	}
	if want := map[string]int{"CLIENT": 1, "GET": 2}; !maps.Equal(a.Counts, want) {
		t.Errorf("the first has sent %v, want %v", a.Counts, want)
	}
	if b.ID != 2 || b.Commands != 2 || !b.Subscribed {
		t.Errorf("the second is %+v", b)
	}
	gone.conn.Close()
	eventually(t, "its end is seen", func() bool { return len(p.Conns()) == 1 })
	if got, want := p.Commands(), (map[string]int{"CLIENT": 1, "GET": 3, "SUBSCRIBE": 1}); !maps.Equal(got, want) {
		t.Errorf("commands %v, want %v", got, want)
	}
	p.ResetCounts()
	c.do("PING", "+PONG")
	if got, want := p.Commands(), (map[string]int{"PING": 1}); !maps.Equal(got, want) {
		t.Errorf("commands %v, want %v", got, want)
	}
}

// TestProxyReplica lets a replica copy its primary through the proxy.
func TestProxyReplica(t *testing.T) {
	primary := proxyServer(t, "--repl-diskless-sync-delay", "0")
	p := proxyBefore(t, primary)
	c, direct := proxyDial(t, p.Addr()), proxyDial(t, primary)
	c.do("SET before 1", "+OK")
	host, port, _ := net.SplitHostPort(p.Addr())
	replica := proxyDial(t, proxyServer(t, "--replicaof", host, port))
	direct.do("SET during 2", "+OK")
	eventually(t, "the replica has copied both", func() bool {
		replica.send("MGET before during")
		got, err := replica.recv()
		return err == nil && got == `["1" "2"]`
	})
	if p.Commands()["PSYNC"] == 0 {
		t.Errorf("commands %v: the replica did not come through the proxy", p.Commands())
	}
}

func TestProxyTranscript(t *testing.T) {
	p, c, direct := inFrontOf(t)
	var live bytes.Buffer
	stop := p.Record(&live)
	tr := p.Transcript()
	c.send("HELLO 3")
	c.recv()
	stopped := live.String()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stopped, "C HELLO \"3\"\nS {\"server\": \"redis\"") {
		t.Errorf("recorded %q", stopped)
	}
	tr.Clear()
	p.AddRule(Rule{Match: Named("INCR"), Nth: 1, Action: AnswerError("LOADING")})
	p.AddRule(Rule{Match: Named("DECR"), Action: SwallowReply(LeaveHanging)})
	c.send("CLIENT TRACKING ON", "get k", "INCR n", "HSET h f 1", "HGETALL h", "SET v "+strings.Repeat("x", 100))
	c.want("+OK", "nil", "-LOADING", ":1", `{"f": "1"}`, "+OK")
	direct.do("SET k 1", "+OK")
	c.want(`>["invalidate" ["k"]]`)
	c.send("DECR n")
	eventually(t, "DECR has run", func() bool { return p.Faults().Swallowed == 1 })
	tr.Stop()
	other := proxyDial(t, p.Addr())
	other.do("PING", "+PONG")
	want := []string{
		`C CLIENT "TRACKING" "ON"`, `S +OK`,
		`C GET "k"`, `S nil`,
		`C INCR "n"`, `P -LOADING`,
		`C HSET "h" "f" "1"`, `S :1`,
		`C HGETALL "h"`, `S {"f": "1"}`,
		`C SET "v" "` + strings.Repeat("x", 48) + `"…(100 bytes)`, `S +OK`,
		`S >["invalidate" ["k"]]`,
		`C DECR "n"`, `X :-1`,
	}
	if got := strings.Join(tr.Lines(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if x := tr.Exchanges(); len(x) != 8 || x[0].Conn != 1 || x[6].Command != "" {
		t.Errorf("exchanges %+v", x)
	}
	if live.String() != stopped {
		t.Error("something was recorded after stop")
	}
}

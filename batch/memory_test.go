package batch

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// A million keys take no more memory than a thousand.
func TestMemoryIsBounded(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	n := 1_000_000
	if racing {
		n /= 10
	}
	most, done := uint64(0), 0
	var m runtime.MemStats
	runtime.GC()
	began := time.Now()
	for r := range Set(t.Context(), c, entries(n), Config{}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if done++; done%5000 == 0 {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	took := time.Since(began)
	if v := command(t, s, "DBSIZE"); done != n || v != int64(n) {
		t.Errorf("%d results, DBSIZE %v", done, v)
	}
	if most == 0 || most > 64<<20 {
		t.Errorf("the heap reached %d MiB", most>>20)
	}
	t.Logf("%d SETs in %v, %.0f a second; the heap reached %.1f MiB, garbage included", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), float64(most)/(1<<20))
}

// A server that does not answer, and a loop that does not ask, stop the reading
// of the input.
func TestBackPressure(t *testing.T) {
	_, p, c := proxied(t)
	h := p.AddRule(proxy.Rule{Match: proxy.Named("GET"), Action: proxy.HoldReply()})
	var taken atomic.Int64
	cfg := Config{Size: 10, InFlight: 3}
	const most = 2 * 10 * 3
	input := func(yield func(string) bool) {
		for i := range 10_000 {
			taken.Add(1)
			if !yield(keyAt(i)) {
				return
			}
		}
	}
	done := make(chan int)
	go func() {
		n := 0
		for r := range Get(t.Context(), c, input, cfg) {
			if r.Err != nil {
				t.Errorf("item %d: %v", r.Index, r.Err)
			}
			if ahead := taken.Load() - int64(r.Index); ahead > most {
				t.Errorf("%d items were taken ahead", ahead)
			}
			n++
		}
		done <- n
	}()
	redstarttest.Eventually(t, 20*time.Second, "the window is full and three batches are out", func() bool { return taken.Load() == most && h.Hits() >= 1 })
	h.Remove()
	if n := <-done; n != 10_000 {
		t.Errorf("%d results", n)
	}
}

// A bound in bytes holds too: large values travel alone, and few are held.
func TestBytesAreBounded(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	large := make([]byte, 100_000)
	taken := 0
	cfg := Config{Bytes: 250_000, InFlight: 2}
	for r := range Set(t.Context(), c, func(yield func(Entry) bool) {
		for i := range 100 {
			taken++
			if !yield(Entry{Key: keyAt(i), Value: string(large)}) {
				return
			}
		}
	}, cfg) {
		if ahead := taken - r.Index; r.Err != nil || ahead > 11 { // 2·2·250,000 bytes, and the one that passes it
			t.Fatalf("item %d: %v, %d taken ahead", r.Index, r.Err, ahead)
		}
	}
}

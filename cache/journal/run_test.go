package journal

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// Partitions are spread over the processes, handed over when another comes, and
// taken from one that is gone.
func TestPartitionsAreShared(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		d := newTable()
		cfg := usual(d)
		cfg.Partitions, cfg.Lease = 16, 300*time.Millisecond
		var js []*Journal[string, string]
		var stops []func()
		add := func() {
			j := journalOn(t, open(t, url, redstart.Config{}), cfg)
			js, stops = append(js, j), append(stops, running(t, j))
		}
		has := func(want ...int) func() bool {
			return func() bool {
				for i, n := range want {
					if js[i].Stats().Partitions != n {
						return false
					}
				}
				l, err := js[0].Lag(t.Context())
				return err == nil && l.Unowned == 0
			}
		}
		var n atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		defer writers.Wait()
		defer cancel()
		add()
		eventually(t, "one has all", has(16))
		writer := journalOn(t, open(t, url, redstart.Config{}), cfg)
		writers.Go(func() {
			for ctx.Err() == nil {
				i := n.Add(1)
				if err := writer.Put(context.Background(), "k"+strconv.FormatInt(i%100, 10), strconv.FormatInt(i, 10)); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(200 * time.Microsecond)
			}
		})
		add()
		eventually(t, "two have half each", has(8, 8))
		add()
		eventually(t, "three have a third each", func() bool {
			sum := 0
			for _, j := range js {
				p := j.Stats().Partitions
				if p < 5 || p > 6 {
					return false
				}
				sum += p
			}
			return sum == 16
		})
		stops[0]()
		eventually(t, "two have half each", has(0, 8, 8))
		cancel()
		writers.Wait()
		flush(t, js[1])
		last := n.Load()
		for i := last - 99; i <= last; i++ {
			id, want := "k"+strconv.FormatInt(i%100, 10), strconv.FormatInt(i, 10)
			if v, _ := d.get(id); i > 0 && v != want {
				t.Errorf("%s is %q, want %s", id, v, want)
			}
		}
		lag(t, js[1])
	})
}

// A flusher whose renewals do not arrive gives its partitions up, in time, and its
// late call is refused by the sink.
func TestFlusherThatIsCutOff(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		d := newTable()
		cfg := usual(d)
		cfg.Partitions, cfg.Lease = 1, 200*time.Millisecond
		entered, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		late := SinkFunc[string, string](func(ctx context.Context, b Batch[string, string]) ([]Refused, error) {
			first := false
			once.Do(func() { first = true })
			if first {
				close(entered)
				<-leave // it knows no context
				_, err := d.Apply(context.Background(), b)
				return nil, err
			}
			return d.Apply(ctx, b)
		})
		slow := cfg
		slow.Sink = late
		a := journalOn(t, open(t, s.URL(), redstart.Config{}), slow)
		// Its scripts stop arriving once it is in the sink.
		var cut atomic.Bool
		a.step = func(string) error {
			if cut.Load() {
				return context.DeadlineExceeded
			}
			return nil
		}
		stop := running(t, a)
		b := journalOn(t, open(t, s.URL(), redstart.Config{}), cfg)
		put(t, b, "k", "1")
		<-entered
		cut.Store(true)
		running(t, b)
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		flush(t, b)
		close(leave)
		stop()
		if v, ok := d.get("k"); ok {
			t.Errorf("a zombie brought back %q", v)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.zombie != 1 {
			t.Errorf("%d calls were refused by their token", d.zombie)
		}
	})
}

func TestRunNeedsASink(t *testing.T) {
	cfg := usual(newTable())
	cfg.Sink = nil
	j := journalOn(t, open(t, mini(t), redstart.Config{}), cfg)
	if err := j.Run(t.Context()); err == nil {
		t.Error("it runs without a sink")
	}
}

func TestRunEndsWithTheClient(t *testing.T) {
	c := open(t, mini(t), redstart.Config{})
	j := journalOn(t, c, usual(newTable()))
	ended := make(chan error, 1)
	go func() { ended <- j.Run(context.Background()) }()
	eventually(t, "it runs", func() bool { return j.Stats().Partitions == 4 })
	c.Close()
	if err := <-ended; err == nil {
		t.Error("it ended without an error")
	}
}

// A batch goes when it is large enough, or has waited; of many changes of a key
// the sink gets the last.
func TestBatches(t *testing.T) {
	onTwo(t, func(t *testing.T, url string) {
		d := newTable()
		cfg := usual(d)
		cfg.Partitions, cfg.BatchSize, cfg.BatchWait = 1, 200, time.Hour
		j := journalOn(t, open(t, url, redstart.Config{}), cfg)
		for i := range 1000 {
			put(t, j, fmt.Sprint("k", i%100), strconv.Itoa(i))
		}
		running(t, j)
		flush(t, j)
		d.mu.Lock()
		if d.calls > 2 || d.takes != 100 {
			t.Errorf("%d calls, %d changes written for 100 keys", d.calls, d.takes)
		}
		d.mu.Unlock()
		for i := range 399 { // the flush may still take the first of them
			put(t, j, fmt.Sprint("n", i), strconv.Itoa(i))
		}
		eventually(t, "what is large enough goes by itself", func() bool { return len(d.all()) >= 300 })
		lag(t, j)
	})
}

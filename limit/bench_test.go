package limit

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// BenchmarkTake is a decision by 64 goroutines over 1,000 ids, beside a bare INCR.
func BenchmarkTake(b *testing.B) {
	srv, err := redstarttest.StartServer(b.Context(), redstarttest.ServerConfig{Path: os.Getenv("REDSTART_BENCH_SERVER")})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	benchTake(b, srv.URL(), 32)
}

// BenchmarkCluster is BenchmarkTake on a cluster of three, where each question
// goes alone.
func BenchmarkCluster(b *testing.B) {
	cl, err := topology.StartCluster(b.Context(), topology.ClusterConfig{Replicas: -1, NodeTimeout: 10 * time.Second})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = cl.Close() })
	benchTake(b, cl.URL(), 32)
}

// BenchmarkFew is BenchmarkTake by a goroutine for each core.
func BenchmarkFew(b *testing.B) {
	srv, err := redstarttest.StartServer(b.Context(), redstarttest.ServerConfig{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	benchTake(b, srv.URL(), 1)
}

// benchTake measures with some goroutines for each core.
func benchTake(b *testing.B, url string, people int) {
	c := open(b, url, redstart.Config{})
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%d", i)
	}
	many := int64(maxRate)
	run := func(name string, call func(id string) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(people)
			var n atomic.Uint64
			used := cpu()
			b.RunParallel(func(pb *testing.PB) {
				for i := n.Add(1) * 31; pb.Next(); i++ {
					if err := call(ids[i%uint64(len(ids))]); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(cpu()-used)/float64(b.N), "cpu-ns/op")
		})
	}
	taking := func(cfg Config) func(string) error {
		l := limiter(b, c, cfg)
		return func(id string) error {
			d, err := l.Take(b.Context(), id, 1)
			if err == nil {
				err = d.Err
			}
			return err
		}
	}
	run("incr", func(id string) error {
		return c.Do(b.Context(), c.B().Incr().Key("incr:"+id).Build()).Error()
	})
	run("gcra", taking(Config{Limits: []Limit{{Rate: 1000, Burst: many / 1000}}}))
	run("gcra-denied", taking(Config{Key: "d:{<id>}", Limits: []Limit{PerHour(1)}, Denials: -1}))
	run("gcra-part", taking(Config{Key: "p:{<id>}", Limits: []Limit{{Rate: 300, Burst: many / 1000}}}))
	run("two", taking(Config{Key: "t:{<id>}", Limits: []Limit{{Name: "a", Rate: 1000, Burst: many / 1000}, {Name: "b", Rate: 1000, Burst: many / 1000, Per: time.Hour}}}))
	run("counter", taking(Config{Key: "c:{<id>}", Limits: []Limit{{Algorithm: SlidingCounter, Rate: many, Per: time.Hour}}}))
	run("window", taking(Config{Key: "w:{<id>}", Limits: []Limit{{Algorithm: FixedWindow, Rate: many, Per: time.Hour}}}))
	run("log", taking(Config{Key: "l:{<id>}", Limits: []Limit{{Algorithm: SlidingLog, Rate: 10000, Per: time.Second}}}))
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDenied is a denial that the process remembers.
func BenchmarkDenied(b *testing.B) {
	srv, err := redstarttest.StartServer(b.Context(), redstarttest.ServerConfig{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	l := limiter(b, open(b, srv.URL(), redstart.Config{}), Config{Limits: []Limit{PerHour(1)}})
	take(b, l, "a", 1)
	take(b, l, "a", 1)
	b.ReportAllocs()
	for b.Loop() {
		if d, _ := l.Take(b.Context(), "a", 1); d.Source != SourceDenied {
			b.Fatal(d)
		}
	}
}

// BenchmarkHotKey is one id asked for by all, with and without batches.
func BenchmarkHotKey(b *testing.B) {
	srv, err := redstarttest.StartServer(b.Context(), redstarttest.ServerConfig{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	c := open(b, srv.URL(), redstart.Config{})
	for name, batch := range map[string]int64{"one": 0, "batch": 1000} {
		l := limiter(b, c, Config{Key: name + ":{<id>}", Limits: []Limit{{Rate: 1_000_000, Burst: maxRate}}, Batch: batch})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if d, err := l.Take(b.Context(), "hot", 1); err != nil || !d.Allowed {
						b.Error(d, err)
						return
					}
				}
			})
		})
	}
}

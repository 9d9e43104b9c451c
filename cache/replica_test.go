package cache

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// Replicas answer, no older than the lag after an invalidation and at once under
// one's own, although one of them is seconds behind.
func TestReadFromReplicas(t *testing.T) {
	redstarttest.Run(t, redstarttest.ServerConfig{}) // skips where there is none
	s := topology.RunSentinel(t, topology.SentinelConfig{Proxies: true, DownAfter: 10 * time.Second})
	const lag = 500 * time.Millisecond
	var version atomic.Int64
	load := func(context.Context, int) (user, error) { return user{ID: int(version.Load())}, nil }
	from := func(cfg *Config[int, user]) { cfg.ReadFrom = redstart.ReadFrom{Replicas: true, MaxLag: lag} }
	writer, reader := open(t, s.URL(), redstart.Config{}), open(t, s.URL(), redstart.Config{})
	ours, theirs := users(t, writer, load, from), users(t, reader, load, from)
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replicas, err := s.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "replicas answer", func() bool {
		if _, err := theirs.Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		return reader.Stats().ReplicaReads > 20
	})
	s.Links().Proxy(replicas[0], primary).Delay(0, 3*time.Second)
	ctx := redstart.ReadYourWrites(t.Context())
	var worst time.Duration
	for range 10 {
		v := int(version.Add(1))
		if err := ours.Invalidate(ctx, 1); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		if u, err := ours.Get(ctx, 1); err != nil || u.ID != v {
			t.Fatalf("under one's own invalidation: %+v, %v, want %d", u, err, v)
		}
		for seen := 0; seen < 30; {
			began := time.Now()
			u, err := theirs.Get(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if u.ID == v {
				seen++
				continue
			}
			worst = max(worst, began.Sub(at))
			if began.Sub(at) > lag {
				t.Fatalf("%v after the invalidation: %+v, want %d", began.Sub(at), u, v)
			}
		}
	}
	st := reader.Stats()
	t.Logf("an older value was read for at most %v after an invalidation, with a replica 3s behind; %d reads by replicas, %d referred", worst.Round(time.Millisecond), st.ReplicaReads, st.Referred)
	if st.ReplicaReads < 200 {
		t.Error("replicas hardly answered: nothing is shown")
	}
}

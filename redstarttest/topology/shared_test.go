package topology

import "testing"

func TestSharedServesEveryTestEmpty(t *testing.T) {
	var s Shared
	if s.Close() != nil {
		t.Error("closing what never started is an error")
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	first := s.Cluster(t)
	for _, n := range s.cluster.it.Nodes() {
		keys := []string{"a", "b", "c"} // of three slots, a third of them each
		stored := 0
		for _, k := range keys {
			if _, err := n.Do(t.Context(), "SET", k, "1"); err == nil {
				stored++
			}
		}
		if stored == 0 {
			t.Errorf("%s has none of the slots of %v", n.Announced(), keys)
		}
	}
	if again := s.Cluster(t); again != first {
		t.Errorf("another cluster, %s after %s", again, first)
	}
	for _, n := range s.cluster.it.Nodes() {
		if size, err := n.Do(t.Context(), "DBSIZE"); err != nil || size != int64(0) {
			t.Errorf("%s has %v keys, %v", n.Announced(), size, err)
		}
	}
	if one, two := s.Sentinel(t), s.Sentinel(t); one != two || one == "" {
		t.Errorf("another Sentinel, %q after %q", two, one)
	}
}

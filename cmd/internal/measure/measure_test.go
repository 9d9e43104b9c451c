package measure

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuantiles(t *testing.T) {
	thousand := &Latency{}
	for i := range 1000 {
		thousand.Add(time.Duration((i*7919)%1000+1) * time.Microsecond) // 1 to 1,000 µs, shuffled
	}
	one := &Latency{}
	one.Add(5)
	for _, c := range []struct {
		name string
		l    *Latency
		want []time.Duration
	}{
		{"none", &Latency{}, []time.Duration{0, 0, 0, 0}},
		{"one", one, []time.Duration{5, 5, 5, 5}},
		{"a thousand", thousand, []time.Duration{500 * time.Microsecond, 990 * time.Microsecond, 999 * time.Microsecond, time.Millisecond}},
	} {
		if got := c.l.Quantiles(0.5, 0.99, 0.999, 1); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	var all, a, b Latency
	a.Add(1)
	a.Add(3)
	b.Add(2)
	all.Merge(&a, &b)
	if got := all.Quantiles(0.5)[0]; all.Len() != 3 || got != 2 {
		t.Errorf("%d samples, median %d", all.Len(), got)
	}
}

func TestTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := NewTimeline(100 * time.Millisecond)
		tl.Load()
		tl.Read(3*time.Millisecond, false, false)
		time.Sleep(250 * time.Millisecond) // the bubble's clock
		tl.Read(2*time.Millisecond, true, false)
		tl.Read(9*time.Millisecond, false, true)
		want := []Step{
			{OK: 1, Loads: 1, Slowest: 3 * time.Millisecond},
			{},
			{OK: 1, Errors: 1, Stale: 1, Slowest: 9 * time.Millisecond},
		}
		if got := tl.Steps(); !slices.Equal(got, want) {
			t.Errorf("got %+v", got)
		}
		if tl.Elapsed() != 250*time.Millisecond {
			t.Errorf("elapsed %v", tl.Elapsed())
		}
	})
}

func TestFloorsNeverSink(t *testing.T) {
	f := NewFloors(2)
	var wg sync.WaitGroup
	for v := range int64(100) {
		wg.Go(func() { f.Raise(1, v) })
	}
	wg.Wait()
	f.Raise(1, 5)
	if f.Before(0) != nil {
		t.Error("a floor that nobody raised")
	}
	if _, stale := f.Before(1).Under(98); !stale {
		t.Error("98 is not under 99")
	}
	if _, stale := f.Before(1).Under(99); stale {
		t.Error("99 is under itself")
	}
}

func TestFloorsSayForHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFloors(1)
		var at []time.Time
		for v := int64(2); v <= 4; v++ {
			time.Sleep(time.Second) // the bubble's clock
			f.Raise(0, v)
			at = append(at, time.Now())
		}
		for version, want := range map[int64]time.Time{1: at[0], 2: at[1], 3: at[2]} {
			if since, stale := f.Before(0).Under(version); !stale || !since.Equal(want) {
				t.Errorf("version %d: out of date since %v (%v), want %v", version, since, stale, want)
			}
		}
		var none *Floor
		if _, stale := none.Under(0); stale {
			t.Error("stale without a floor")
		}
	})
}

func TestMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMoments(25*time.Millisecond, 50*time.Millisecond, 500*time.Millisecond)
		came := time.Now()
		m.Add(came, 49*time.Millisecond, false, false)
		m.Add(came, 50*time.Millisecond, false, false)
		m.Add(came.Add(-time.Hour), 500*time.Millisecond, false, false) // before the start counts with the start
		m.Add(came.Add(60*time.Millisecond), time.Second, false, true)
		m.Add(came.Add(60*time.Millisecond), 2*time.Second, true, false)
		want := []Moment{
			{Quick: 1, Waited: 1, Long: 1, Slowest: 500 * time.Millisecond},
			{},
			{Stale: 1, Failed: 1, Slowest: 2 * time.Second},
		}
		if got := m.All(); !slices.Equal(got, want) {
			t.Errorf("got %+v", got)
		}
	})
}

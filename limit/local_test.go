package limit

import (
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

// Without the server several limits are decided as one in the process, each by
// this process's part: all let a call pass, or none counts it; a shadow counts
// and never denies.
func TestLocalOfSeveral(t *testing.T) {
	l := limiter(t, open(t, inProcess(t), redstart.Config{}), Config{
		Limits: []Limit{
			{Name: "second", Rate: 40, Burst: 40},
			{Name: "minute", Rate: 240, Per: time.Minute, Burst: 60},
			{Name: "shadow", Rate: 1, Per: time.Hour, Shadow: true},
		},
		OnOutage: Local, Processes: 4, // parts: 10 a second, 10 at once; 1 a second, 15 at once
	})
	now := time.Hour
	l.clock = func() time.Duration { return now }
	p, err := l.plan("test", "a")
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, least, most, granted, remaining int64, policy string, limit int64, retry time.Duration) {
		t.Helper()
		d := l.local("a", p, least, most)
		if d.Granted != granted || d.Allowed != (granted > 0) || d.Source != SourceLocal || d.Remaining != remaining ||
			d.Policy != policy || d.Limit != limit || d.RetryAfter.Round(time.Millisecond) != retry {
			t.Errorf("%s: %+v, want %d granted, %d left of %s's %d, again in %v", what, d, granted, remaining, policy, limit, retry)
		}
	}
	want("8 of both", 8, 8, 8, 2, "second", 40, 0)
	want("3 are beyond a second's part", 3, 3, 0, 2, "second", 40, 100*time.Millisecond)
	want("as many as there are", 1, 5, 2, 0, "second", 40, 0)
	now += time.Second // 10 and 6: of the minute 10 of 15 were counted, and one is back
	want("what the second denied, the minute did not count", 6, 6, 6, 0, "minute", 60, 0)
	want("none of the minute", 1, 1, 0, 0, "minute", 60, time.Second)
	want("the longer wait is told", 5, 5, 0, 0, "minute", 60, 5*time.Second)
	now += time.Second
	want("what the minute denied, the second did not count", 1, 1, 1, 0, "minute", 60, 0)
	now += time.Minute
	want("more than a part, once it is whole", 30, 30, 30, 0, "second", 40, 0)
	want("which is paid for afterwards", 1, 1, 0, 0, "minute", 60, 16*time.Second)
	now += 16 * time.Second
	want("and then goes on", 1, 1, 1, 0, "minute", 60, 0)

	// Limits that change begin anew.
	other, err := l.plans.of([]Limit{{Name: "other", Rate: 8, Burst: 8}})
	if err != nil {
		t.Fatal(err)
	}
	if d := l.local("a", other, 1, 9); d.Granted != 2 || d.Policy != "other" || d.Remaining != 0 {
		t.Errorf("other limits: %+v", d)
	}
	if d := l.local("a", other, 1, 1); d.Allowed || d.RetryAfter <= 0 {
		t.Errorf("and more of them: %+v", d)
	}

	// A shadow alone lets all pass.
	shadow, err := l.plans.of([]Limit{{Name: "s", Rate: 1, Shadow: true}})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if d := l.local("b", shadow, 1, 1); !d.Allowed || d.Granted != 1 || d.Policy != "s" {
			t.Errorf("a shadow alone: %+v", d)
		}
	}
}

package redstart_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// Reads that lose their connections see no error, however many at once and
// however often in the client's life: the budget bounds what is sent without a
// probe, and not whom the library helps.
func TestLostConnectionsAreMended(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lose := func(callers int) {
		t.Helper()
		held := p.AddRule(proxy.Rule{Match: proxy.Named("GET"), Action: proxy.HoldReply()})
		results := make(chan error, callers)
		for i := range callers {
			go func() {
				if i%2 == 0 {
					results <- c.Do(ctx, c.B().Get().Key("k").Build()).Error()
				} else {
					results <- c.DoMulti(ctx, c.B().Get().Key("k").Build())[0].Error()
				}
			}()
		}
		redstarttest.Eventually(t, 10*time.Second, "all are under way", func() bool { return held.Hits() >= callers })
		p.Reset()
		held.Remove()
		for range callers {
			if err := <-results; err != nil && !rueidis.IsRedisNil(err) {
				t.Errorf("a read that lost its connection: %v", err)
			}
		}
	}
	lose(200)
	for range 30 {
		lose(2)
	}
	if n := c.Stats().Retries; n < 200+30*2 {
		t.Errorf("only %d were sent again: nothing is shown", n)
	}
}

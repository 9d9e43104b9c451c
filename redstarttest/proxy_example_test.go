package redstarttest_test

import (
	"context"
	"testing"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/redstarttest"
)

// A reply is lost after its command has run: the client cannot know, and the server counts once.
func ExampleProxy() {
	test := func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		proxy, err := redstarttest.NewProxy(server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{proxy.Addr()}, DisableRetry: true})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		lost := proxy.AddRule(redstarttest.Rule{
			Match:  redstarttest.Named("INCR"),
			Nth:    1,
			Action: redstarttest.SwallowReply(redstarttest.CutConnection),
		})
		ctx := context.Background()
		if err := client.Do(ctx, client.B().Incr().Key("visits").Build()).Error(); err == nil {
			t.Error("the reply was lost, and yet there is no error")
		}
		if lost.Hits() != 1 {
			t.Error("the fault did not take place")
		}
		if n, err := server.Do(ctx, "GET", "visits"); n != "1" || err != nil {
			t.Errorf("the server counted %v (%v), want 1", n, err)
		}
	}
	_ = test // in your code: func TestLostReply(t *testing.T)
}

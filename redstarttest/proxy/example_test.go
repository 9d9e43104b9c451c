package proxy_test

import (
	"context"
	"fmt"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// A reply is lost after its command has run: the client cannot know, and the
// server counts once.
func Example() {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	p, err := proxy.New(server.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	ctx := context.Background()
	client, err := redstart.Open(ctx, p.URL(), redstart.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	lost := p.AddRule(proxy.Rule{
		Match:  proxy.Named("INCR"),
		Nth:    1,
		Action: proxy.SwallowReply(proxy.CutConnection),
	})
	err = client.Do(ctx, client.B().Incr().Key("visits").Build()).Error()
	fmt.Println("outcome:", redstart.OutcomeOf(err))
	fmt.Println("replies lost:", lost.Hits())
	visits, err := client.Do(ctx, client.B().Get().Key("visits").Build()).AsInt64()
	fmt.Println("the server counted:", visits, err)
	// Output:
	// outcome: unknown
	// replies lost: 1
	// the server counted: 1 <nil>
}

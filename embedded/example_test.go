package embedded_test

import (
	"context"
	"fmt"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
)

// A server in the process, for an example or a unit test.
func ExampleStart() {
	srv, err := embedded.Start(embedded.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	ctx := context.Background()
	client, err := redstart.Open(ctx, srv.URL(), redstart.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	what, err := client.Server(ctx)
	fmt.Println(what.Flavour, what.Has(redstart.Tracking), err)
	// Output: embedded false <nil>
}

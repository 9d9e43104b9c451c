package lock

import (
	"context"
	"errors"
	"testing"

	"github.com/redstart-go/redstart"
)

// One leads; when the leadership is lost its context ends, and another leads
// with a greater token; who resigns is done.
func TestElection(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		type reign struct {
			who   int
			token int64
			ctx   context.Context
		}
		reigns, resign, results := make(chan reign), make(chan error), make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for who := range 2 {
			e := locks(t, open(t, url, redstart.Config{}), Config{Lease: shortLease}).Election("e")
			go func() {
				results <- e.Run(ctx, func(ctx context.Context) error {
					lease, _ := FromContext(ctx)
					reigns <- reign{who, lease.Token(), ctx}
					select {
					case <-ctx.Done():
						return ctx.Err()
					case err := <-resign:
						return err
					}
				})
			}()
		}
		first := <-reigns
		c := open(t, url, redstart.Config{})
		if err := c.Do(t.Context(), c.B().Del().Key("lock:{e}").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		<-first.ctx.Done()
		if cause := context.Cause(first.ctx); !errors.Is(cause, ErrLost) {
			t.Errorf("the leadership ended with %v", cause)
		}
		second := <-reigns
		if second.token <= first.token {
			t.Errorf("token %d after %d", second.token, first.token)
		}
		enough := errors.New("enough")
		resign <- enough
		if err := <-results; !errors.Is(err, enough) {
			t.Errorf("Run: %v", err)
		}
		third := <-reigns
		if third.token <= second.token || third.who == second.who {
			t.Errorf("%d leads after %d, token %d after %d", third.who, second.who, third.token, second.token)
		}
		cancel()
		if err := <-results; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

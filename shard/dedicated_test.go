package shard

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestDedicatedBelongsToItsFirstKey(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 2)
		for _, k := range keys {
			err := c.Dedicated(func(d rueidis.DedicatedClient) error {
				b := d.B()
				if err := d.Do(ctx, b.Ping().Build()).Error(); !errors.Is(err, redstart.ErrRefused) {
					t.Errorf("PING before a key: %v", err)
				}
				if err := d.Do(ctx, b.Watch().Key(k).Build()).Error(); err != nil {
					return err
				}
				if err := d.Do(ctx, b.Ping().Build()).Error(); err != nil {
					t.Errorf("PING: %v", err)
				}
				other := keys[0]
				if other == k {
					other = keys[1]
				}
				if err := d.Do(ctx, b.Get().Key(other).Build()).Error(); !errors.Is(err, redstart.ErrRefused) {
					t.Errorf("another slot: %v", err)
				}
				if err := d.Do(ctx, b.Dbsize().Build()).Error(); !errors.Is(err, redstart.ErrRefused) {
					t.Errorf("DBSIZE: %v", err)
				}
				// Somebody else changes the key: the transaction must not run.
				if err := c.Do(ctx, c.B().Append().Key(k).Value("!").Build()).Error(); err != nil {
					return err
				}
				results := d.DoMulti(ctx, b.Multi().Build(), b.Del().Key(k).Build(), b.Exec().Build())
				if err := results[2].Error(); !rueidis.IsRedisNil(err) {
					t.Errorf("EXEC after the key has changed: %v", err)
				}
				return d.Do(ctx, b.Unwatch().Build()).Error()
			})
			if err != nil {
				t.Error(err)
			}
			if v, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString(); v != k+"!" || err != nil {
				t.Errorf("%q = %q, %v", k, v, err)
			}
		}
		d, cancel := c.Dedicate()
		if err := d.Do(ctx, d.B().Get().Key(keys[0]).Build()).Error(); err != nil {
			t.Error(err)
		}
		cancel()
		cancel()
		if err := d.Do(ctx, d.B().Get().Key(keys[0]).Build()).Error(); !errors.Is(err, rueidis.ErrDedicatedClientRecycled) {
			t.Errorf("after cancel: %v", err)
		}
		unused, cancel := c.Dedicate()
		hook := unused.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) {}})
		cancel()
		if err, open := <-hook; open {
			t.Errorf("hooks of a connection that never was: %v", err)
		}
		unused.Close()
	})
}

func TestHooksWaitForTheConnection(t *testing.T) {
	s := servers(t, 2, redstarttest.ServerConfig{})
	c, ctx := open(t, config(s[0].URL(), s[1].URL())), t.Context()
	for _, name := range []string{"s0", "s1"} {
		k := keysOn(c, name, 1)[0]
		d, cancel := c.Dedicate()
		changed := make(chan string, 4)
		ends := d.SetOnInvalidations(func(messages []rueidis.RedisMessage) {
			for _, m := range messages {
				key, _ := m.ToString()
				changed <- key
			}
		})
		results := d.DoMulti(ctx, d.B().ClientTracking().On().Build(), d.B().Get().Key(k).Build())
		for _, r := range results {
			if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
				t.Fatal(err)
			}
		}
		if err := c.Do(ctx, c.B().Set().Key(k).Value("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if got := <-changed; got != k {
			t.Errorf("%q changed, want %q", got, k)
		}
		cancel()
		for range ends { // until it is closed
		}
	}
}

// What is published is heard, whichever shard the channel has.
func TestChannels(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c := open(t, config(urls...))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, channel := range []string{"a", "b", "c", "d", "e"} {
			heard := make(chan string, 64)
			listen, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() {
				ended <- c.Receive(listen, c.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) { heard <- m.Channel + "=" + m.Message })
			}()
			redstarttest.Eventually(t, 10*time.Second, "the message is heard", func() bool {
				if err := c.Do(ctx, c.B().Publish().Channel(channel).Message("x").Build()).Error(); err != nil {
					t.Error(err)
				}
				select {
				case got := <-heard:
					return got == channel+"=x"
				default:
					return false
				}
			})
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Receive ended with %v", err)
			}
		}
		for _, err := range []error{
			c.Receive(ctx, c.B().Psubscribe().Pattern("a*").Build(), nil),
			c.Receive(ctx, c.B().Subscribe().Channel("a", "b", "c").Build(), nil),
		} {
			if !errors.Is(err, redstart.ErrRefused) || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("Receive = %v", err)
			}
		}
		err := c.Dedicated(func(d rueidis.DedicatedClient) error {
			listen, stop := context.WithCancel(ctx)
			stop()
			return d.Receive(listen, d.B().Subscribe().Channel("a").Build(), func(rueidis.PubSubMessage) {})
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Receive on a dedicated connection = %v", err)
		}
	})
}

package limit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/limit"
)

// start gives a client on a server in the process, for the examples; a service
// gives redstart.Open its server's URL. Their limits are patient, for a machine
// that is busy.
func start() (*redstart.Client, func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{Namespace: "shop"})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); _ = server.Close() }
}

const patient = 2 * time.Second

// Two requests a minute for each user.
func ExampleLimiter_Take() {
	client, stop := start()
	defer stop()

	requests, err := limit.New(client, limit.Config{
		Key:     "limit:requests:{<user>}",
		Limits:  []limit.Limit{limit.PerMinute(2)},
		Timeout: patient,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		d, err := requests.Take(context.Background(), "ada", 1)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.Allowed, d.Remaining, d.RetryAfter.Round(30*time.Second))
	}
	// Output:
	// true 1 0s
	// true 0 0s
	// false 0 30s
}

// As much as there is: a worker takes the rows that it may still send.
func ExampleLimiter_TakeUpTo() {
	client, stop := start()
	defer stop()

	rows, _ := limit.New(client, limit.Config{Key: "limit:rows:{<tenant>}", Limits: []limit.Limit{limit.PerHour(100)}, Timeout: patient})
	for range 3 {
		d, _ := rows.TakeUpTo(context.Background(), "acme", 60)
		fmt.Println(d.Granted)
	}
	// Output:
	// 60
	// 40
	// 0
}

// Wait sleeps until its turn, and does not begin what cannot be there in time.
func ExampleLimiter_Wait() {
	client, stop := start()
	defer stop()

	mails, _ := limit.New(client, limit.Config{Key: "limit:mail:{<host>}", Limits: []limit.Limit{limit.PerHour(1)}, Timeout: patient})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for range 2 {
		err := mails.Wait(ctx, "example.org", 1)
		fmt.Println(err == nil, errors.Is(err, context.DeadlineExceeded))
	}
	// Output:
	// true false
	// false true
}

// What was taken and not used is given back.
func ExampleLimiter_Refund() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	tokens, _ := limit.New(client, limit.Config{Key: "limit:tokens:{<user>}", Limits: []limit.Limit{limit.PerHour(1000)}, Timeout: patient})
	_, _ = tokens.Take(ctx, "ada", 800) // the most that the answer can take
	_ = tokens.Refund(ctx, "ada", 300)  // it was shorter
	d, _ := tokens.Peek(ctx, "ada")
	fmt.Println(d.Remaining)
	_ = tokens.Reset(ctx, "ada")
	d, _ = tokens.Peek(ctx, "ada")
	fmt.Println(d.Remaining)
	// Output:
	// 500
	// 1000
}

// Several limits are one decision. A shadow limit shows what it would do before
// it is let loose.
func ExampleLimit() {
	client, stop := start()
	defer stop()

	api, _ := limit.New(client, limit.Config{
		Limits: []limit.Limit{
			{Name: "hour", Rate: 100, Per: time.Hour, Algorithm: limit.SlidingLog},
			{Name: "minute", Rate: 3, Per: time.Minute},
			{Name: "strict", Rate: 1, Per: time.Hour, Shadow: true},
		},
		Timeout: patient,
	})
	for range 4 {
		d, _ := api.Take(context.Background(), "ada", 1)
		fmt.Println(d.Allowed, d.Policy, d.Remaining, "shadow:", d.Shadowed, "hour:", d.Each[0].Remaining)
	}
	// Output:
	// true minute 2 shadow: false hour: 99
	// true minute 1 shadow: true hour: 98
	// true minute 0 shadow: true hour: 97
	// false minute 0 shadow: true hour: 97
}

// Limits that depend on who asks, and may change at any time. The share of a
// limit that is used stays used.
func ExampleConfig_limitsOf() {
	client, stop := start()
	defer stop()

	paying := map[string]bool{}
	api, _ := limit.New(client, limit.Config{
		LimitsOf: func(id string) []limit.Limit {
			if paying[id] {
				return []limit.Limit{limit.PerHour(1000)}
			}
			return []limit.Limit{limit.PerHour(1)}
		},
		Timeout: patient,
	})
	for range 2 {
		d, _ := api.Take(context.Background(), "ada", 1)
		fmt.Println(d.Allowed)
	}
	paying["ada"] = true
	_ = api.Reset(context.Background(), "ada") // else all of the new limit is used too
	d, _ := api.Take(context.Background(), "ada", 1)
	fmt.Println(d.Allowed)
	// Output:
	// true
	// false
	// true
}

// One id that all ask for: the process takes units in batches.
func ExampleConfig_batch() {
	client, stop := start()
	defer stop()

	all, _ := limit.New(client, limit.Config{
		Limits: []limit.Limit{limit.PerHour(1000)}, Batch: 100, BatchFor: time.Minute, Timeout: patient,
	})
	for range 500 {
		_, _ = all.Take(context.Background(), "everyone", 1)
	}
	s := all.Stats()
	fmt.Println(s.Taken, "taken, by asking the server", s.Taken-s.FromBatch, "times")
	// Output: 500 taken, by asking the server 11 times
}

// Without the server, the policy decides; the decision says so.
func ExampleOutage() {
	server, _ := embedded.Start(embedded.Config{})
	client, _ := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	defer client.Close()

	logins, _ := limit.New(client, limit.Config{
		Limits:    []limit.Limit{limit.PerMinute(4)},
		OnOutage:  limit.Local,
		Processes: 2, // each gives half
	})
	_ = server.Close()
	for range 3 {
		d, err := logins.Take(context.Background(), "ada", 1)
		fmt.Println(d.Allowed, d.Source, d.Err != nil, err)
	}
	// Output:
	// true local true <nil>
	// true local true <nil>
	// false local true <nil>
}

// Two exports of a tenant at once, in all processes.
func ExampleConcurrency_Enter() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	exports, err := limit.NewConcurrency(client, limit.ConcurrencyConfig{Key: "exports:{<tenant>}", Slots: 2, Timeout: patient})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _ := exports.Enter(ctx, "acme")
	second, _ := exports.Enter(ctx, "acme")
	_, err = exports.Enter(ctx, "acme")
	fmt.Println(errors.Is(err, limit.ErrBusy))

	_ = first.Leave(ctx) // work with first.Context(), which ends if the slot is lost
	third, err := exports.Enter(ctx, "acme")
	fmt.Println(err)
	_, _ = second.Leave(ctx), third.Leave(ctx)
	// Output:
	// true
	// <nil>
}

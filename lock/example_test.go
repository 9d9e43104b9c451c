package lock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/lock"
)

// start gives a client on a server in the process, for the examples; a service
// gives redstart.Open its server's URL.
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

// One process at a time settles an order. The function's context ends when the
// lock is lost.
func ExampleLock_Do() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	orders, err := lock.New(client, lock.Config{Key: "lock:{order:<id>}"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = orders.Do(ctx, "42", func(ctx context.Context) error {
		lease, _ := lock.FromContext(ctx)
		fmt.Println("settling; a token:", lease.Token() > 0)
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// settling; a token: true
	// <nil>
}

// A lease outlives the function that took it.
func ExampleLock_Acquire() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	imports, _ := lock.New(client, lock.Config{Key: "lock:{import:<file>}"})
	waiting, cancel := context.WithTimeout(ctx, 2*time.Second) // for the lock; the lease is another matter
	lease, err := imports.Acquire(waiting, "prices.csv")
	cancel()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = imports.TryAcquire(ctx, "prices.csv")
	fmt.Println(errors.Is(err, lock.ErrHeld))
	// … work, under lease.Context() …
	fmt.Println(lease.Release(ctx)) // lock.ErrLost: it was not ours to the end
	fmt.Println(errors.Is(context.Cause(lease.Context()), lock.ErrReleased))
	// Output:
	// true
	// <nil>
	// true
}

// Readers read together; a writer is alone.
func ExampleLock_AcquireShared() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	catalogs, _ := lock.New(client, lock.Config{Key: "lock:{catalog:<name>}"})
	one, _ := catalogs.AcquireShared(ctx, "spring")
	two, _ := catalogs.AcquireShared(ctx, "spring")
	_, err := catalogs.TryAcquire(ctx, "spring")
	fmt.Println(errors.Is(err, lock.ErrHeld))
	fmt.Println(one.Release(ctx), two.Release(ctx))
	fmt.Println(catalogs.Do(ctx, "spring", func(context.Context) error { return nil }))
	// Output:
	// true
	// <nil> <nil>
	// <nil>
}

// Two at most print at once, in all processes.
func ExampleConfig() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	printers, _ := lock.New(client, lock.Config{Key: "printer:{<room>}", Permits: 2})
	one, _ := printers.Acquire(ctx, "attic")
	two, _ := printers.Acquire(ctx, "attic")
	_, err := printers.TryAcquire(ctx, "attic")
	fmt.Println(errors.Is(err, lock.ErrHeld))
	fmt.Println(one.Release(ctx), two.Release(ctx))
	// Output:
	// true
	// <nil> <nil>
}

// One process leads; another follows when it ends.
func ExampleElection() {
	client, stop := start()
	defer stop()

	locks, _ := lock.New(client, lock.Config{})
	ctx, shutdown := context.WithCancel(context.Background())
	err := locks.Election("reports").Run(ctx, func(ctx context.Context) error {
		fmt.Println("leading")
		shutdown() // as a signal would
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// leading
	// <nil>
}

// A holder that was frozen past its lease writes nothing once the next has.
func ExampleGuard() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	locks, _ := lock.New(client, lock.Config{})
	set := lock.NewGuard("set", "return redis.call('SET', KEYS[1], ARGV[1])")
	write := func(lease *lock.Lease, v string) error {
		return set.Exec(ctx, client, lease.Token(), []string{"shop:balance"}, []string{v}).Error()
	}
	frozen, _ := locks.Acquire(ctx, "balance")
	// Its lease runs out:
	client.Do(ctx, client.B().Setrange().Key("shop:lock:{balance}").Offset(19).Value("0000000000000000").Build())
	next, _ := locks.Acquire(ctx, "balance")
	fmt.Println(write(next, "70"))
	fmt.Println(errors.Is(write(frozen, "100"), lock.ErrFenced))
	fmt.Println(next.Release(ctx))
	// Output:
	// <nil>
	// true
	// <nil>
}

// The condition and the column belong into the same statement.
func ExampleSQLCondition() {
	fmt.Println("UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND " + lock.SQLCondition("fence", "$2"))
	// result, err := db.ExecContext(ctx, …, balance, lease.Token(), id)
	// err = lock.SQLResult(result, err) // lock.ErrFenced: a later holder was here

	// Output: UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND (fence IS NULL OR fence <= $2)
}

// Three servers that know nothing of each other, of which one may be away.
func ExampleQuorum() {
	var clients []*redstart.Client
	for range 3 {
		client, stop := start()
		defer stop()
		clients = append(clients, client)
	}
	locks, err := lock.NewQuorum(clients, lock.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	clients[2].Close()
	fmt.Println(locks.Do(context.Background(), "nightly", func(context.Context) error { return nil }))
	// Output: <nil>
}

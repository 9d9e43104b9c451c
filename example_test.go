package redstart_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
)

// server is one in this process; a service has a URL instead, such as
// redis://localhost.
func server() *embedded.Server {
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	return s
}

type User struct {
	ID   int64
	Name string
}

func loadUser(_ context.Context, id int64) (User, error) {
	return User{ID: id, Name: "Ann"}, nil
}

// The first program: a cache in front of a source.
func Example() {
	s := server()
	defer s.Close()
	ctx := context.Background()

	client, err := redstart.Open(ctx, s.URL(), redstart.Config{Namespace: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	users, err := cache.New(client, cache.Config[int64, User]{
		Key:  "user:<id>", // shop:user:42
		TTL:  10 * time.Minute,
		Load: loadUser,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	user, err := users.Get(ctx, 42)
	fmt.Println(user.Name, err)
	err = users.Invalidate(ctx, 42)
	fmt.Println(err)
	// Output:
	// Ann <nil>
	// <nil>
}

// A server that is not there is one line, without the password.
func ExampleOpen() {
	_, err := redstart.Open(context.Background(), "redis://app:secret@127.0.0.1:1", redstart.Config{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, redstart.ErrUnavailable), redstart.OutcomeOf(err))
	// Output:
	// redstart: open redis://127.0.0.1:1: no connection to 127.0.0.1:1: connection refused; is the server running there?
	// true not applied
}

// Any command of the server, by rueidis' builder.
func ExampleClient_Do() {
	s := server()
	defer s.Close()
	ctx := context.Background()
	client, err := redstart.Open(ctx, s.URL(), redstart.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	n, err := client.Do(ctx, client.B().Incr().Key("visits").Build()).AsInt64()
	fmt.Println(n, err)

	err = client.Do(ctx, client.B().Select().Index(2).Build()).Error()
	fmt.Println(errors.Is(err, redstart.ErrRefused), redstart.OutcomeOf(err))
	// Output:
	// 1 <nil>
	// true not applied
}

// A script decides and writes in one step, and is known to the server whenever
// it runs.
func ExampleScript() {
	s := server()
	defer s.Close()
	ctx := context.Background()
	client, err := redstart.Open(ctx, s.URL(), redstart.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	upTo := redstart.NewScript("count up to", `
		local n = tonumber(redis.call('GET', KEYS[1]) or '0')
		if n >= tonumber(ARGV[1]) then
			return n
		end
		return redis.call('INCR', KEYS[1])`)
	for range 4 {
		n, err := upTo.Exec(ctx, client, []string{"places"}, []string{"3"}).AsInt64()
		fmt.Println(n, err)
	}
	client.Do(ctx, client.B().ScriptFlush().Build())
	n, err := upTo.Exec(ctx, client, []string{"places"}, []string{"3"}).AsInt64()
	fmt.Println(n, err)
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
	// 3 <nil>
	// 3 <nil>
}

// Replicas answer reads, at most a second behind, and a user sees what he has
// just written.
func ExampleReadYourWrites() {
	s := server()
	defer s.Close()
	client, _ := redstart.Open(context.Background(), s.URL(), redstart.Config{
		ReadFrom: redstart.ReadFrom{Replicas: true, MaxLag: time.Second},
	})
	defer client.Close()

	ctx := redstart.ReadYourWrites(context.Background()) // one for each request or session
	client.Do(ctx, client.B().Set().Key("name").Value("Ada").Build())
	name, _ := client.Do(ctx, client.B().Get().Key("name").Build()).ToString() // from the primary, where no replica has it yet
	fmt.Println(name)
	// Output: Ada
}

// Stats says how full the client is.
func ExampleClient_Stats() {
	s := server()
	defer s.Close()
	client, _ := redstart.Open(context.Background(), s.URL(), redstart.Config{})
	defer client.Close()
	client.Do(context.Background(), client.B().Ping().Build())

	st := client.Stats()
	fmt.Println(st.Open > 0, st.Busy, st.Waiting, st.Held, st.Retries, st.Nodes[0].Breaker)
	// Output: true 0 0 0 0 closed
}

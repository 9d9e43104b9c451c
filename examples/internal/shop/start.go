package shop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
)

// Serve is a service: it serves on a listener, which it closes, until ctx ends.
type Serve func(ctx context.Context, on net.Listener, client *redstart.Client) error

// Main runs a service until it is interrupted, and gives the exit status.
func Main(serve Serve) int {
	listen := flag.String("listen", "127.0.0.1:8080", "where to serve")
	url := flag.String("redis", "", "the server's URL; without one, a server in the process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *url, serve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func run(ctx context.Context, listen, url string, serve Serve) error {
	if url == "" {
		server, err := embedded.Start(embedded.Config{})
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }() // it holds nothing that is to be kept
		url = server.URL()
	}
	client, err := redstart.Open(ctx, url, redstart.Config{Namespace: "shop"})
	if err != nil {
		return err
	}
	defer client.Close()
	var lc net.ListenConfig
	on, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("serving on", on.Addr())
	return serve(ctx, on, client)
}

// drain is how long requests under way have when the service ends.
const drain = 5 * time.Second

// HTTP serves a handler until ctx ends, and lets what is under way finish.
func HTTP(ctx context.Context, on net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: drain}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(on) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := s.Shutdown(grace)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

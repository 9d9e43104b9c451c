// Command limitchi is a shop on chi with limits by address: the middleware is
// what chi's Use takes. Try it:
//
//	go run ./examples/limitchi &
//	curl -i http://127.0.0.1:8080/products/lamp   # six times
//
// chi's middleware.RealIP must not run before: it takes the address from headers
// that anyone can send.
package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
)

func main() { os.Exit(shop.Main(serve)) }

func serve(ctx context.Context, on net.Listener, client *redstart.Client) error {
	limits, err := shop.NewLimits(client)
	if err != nil {
		return err
	}
	r := chi.NewRouter()
	r.Get("/health", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "well")
	})
	r.Group(func(r chi.Router) {
		r.Use(limits.Browse.Handler)
		r.Get("/products/{name}", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, chi.URLParam(r, "name"))
		})
	})
	r.With(limits.Login.Handler).Post("/login", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "welcome")
	})
	return shop.HTTP(ctx, on, r)
}

// Command limitecho is a shop on echo with limits by address: echo's own
// WrapMiddleware takes the middleware. Try it:
//
//	go run ./examples/limitecho &
//	curl -i http://127.0.0.1:8080/products/lamp   # six times
package main

import (
	"context"
	"net"
	"net/http"
	"os"

	"github.com/labstack/echo/v5"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
)

func main() { os.Exit(shop.Main(serve)) }

func serve(ctx context.Context, on net.Listener, client *redstart.Client) error {
	limits, err := shop.NewLimits(client)
	if err != nil {
		return err
	}
	e := echo.New()
	e.GET("/health", func(c *echo.Context) error { return c.String(http.StatusOK, "well") })
	browse := e.Group("/products", echo.WrapMiddleware(limits.Browse.Handler))
	browse.GET("/:name", func(c *echo.Context) error { return c.String(http.StatusOK, c.Param("name")) })
	e.POST("/login", func(c *echo.Context) error { return c.String(http.StatusOK, "welcome") },
		echo.WrapMiddleware(limits.Login.Handler))
	return shop.HTTP(ctx, on, e)
}

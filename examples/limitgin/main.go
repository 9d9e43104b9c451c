// Command limitgin is a shop on gin with limits by address: three lines make
// gin's middleware of httplimit's. Try it:
//
//	go run ./examples/limitgin &
//	curl -i http://127.0.0.1:8080/products/lamp   # six times
//
// The key is made of the request, not of gin's ClientIP, which believes every
// proxy unless it is told otherwise.
package main

import (
	"context"
	"net"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
	"github.com/redstart-go/redstart/limit/httplimit"
)

func main() { os.Exit(shop.Main(serve)) }

// limited is a middleware of gin's shape.
func limited(m *httplimit.Middleware) gin.HandlerFunc {
	return func(c *gin.Context) {
		if !m.Allow(c.Writer, c.Request) {
			c.Abort()
		}
	}
}

func serve(ctx context.Context, on net.Listener, client *redstart.Client) error {
	limits, err := shop.NewLimits(client)
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.GET("/health", func(c *gin.Context) { c.String(http.StatusOK, "well") })
	browse := g.Group("/products", limited(limits.Browse))
	browse.GET("/:name", func(c *gin.Context) { c.String(http.StatusOK, c.Param("name")) })
	g.POST("/login", limited(limits.Login), func(c *gin.Context) { c.String(http.StatusOK, "welcome") })
	return shop.HTTP(ctx, on, g)
}

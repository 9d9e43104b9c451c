package cli

import (
	"context"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
)

// user is what the scripts look at.
type user struct {
	Name  string
	Admin bool
}

// fillServer gives each script a server of its own, as $REDIS, with entries of every kind.
func fillServer(e *testscript.Env) error {
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		return err
	}
	e.Defer(func() { s.Close() })
	e.Setenv("REDIS", s.URL())
	ctx := context.Background()
	c, err := redstart.Open(ctx, s.URL(), redstart.Config{Namespace: "shop"})
	if err != nil {
		return err
	}
	defer c.Close()
	users := cache.Config[string, user]{
		Key: "user:<id>", TTL: time.Hour, Jitter: -1,
		Load: func(context.Context, string) (user, error) { return user{}, cache.ErrNotFound },
	}
	arrays, err := cache.New(c, users)
	if err != nil {
		return err
	}
	users.Key, users.Codec = "json:<id>", cache.JSON[user]()
	asJSON, err := cache.New(c, users)
	if err != nil {
		return err
	}
	if err := arrays.Set(ctx, "1", user{"Ada \x1b[31m", true}); err != nil {
		return err
	}
	if err := asJSON.Set(ctx, "1", user{"Grace", false}); err != nil {
		return err
	}
	if _, err := arrays.Get(ctx, "nobody"); err != cache.ErrNotFound { //nolint:errorlint // it is returned as it is
		return err
	}
	texts, err := cache.New(c, cache.Config[string, string]{
		Key: "text:<id>", TTL: time.Hour, Jitter: -1, StaleFor: 10 * time.Minute, Compress: cache.S2, ResultTags: true,
		Tags: func(id string) []string { return []string{"texts", "text " + id} },
		Load: func(context.Context, string) (string, error) { return "", cache.ErrNotFound },
	})
	if err != nil {
		return err
	}
	if err := texts.SetResult(ctx, "long", cache.Result[string]{Value: strings.Repeat("once more, ", 500)}); err != nil {
		return err
	}
	for _, r := range c.DoMulti(ctx,
		c.B().Set().Key("shop:plain").Value("hello").Build(),
		c.B().Rpush().Key("shop:list").Element("1").Build(),
		c.B().Arbitrary("SETRANGE").Keys("shop:user:1:damaged").Args("0", "\xf5R\x01\x01\x00").Build(),
	) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

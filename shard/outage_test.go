package shard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func servers(t *testing.T, n int, cfg redstarttest.ServerConfig) []*redstarttest.Server {
	t.Helper()
	s := make([]*redstarttest.Server, n)
	for i := range s {
		s[i] = redstarttest.Run(t, cfg)
	}
	return s
}

// A shard that is down fails its own keys, by name, and no others; none of its
// keys is looked for elsewhere, and what was there is there again afterwards.
func TestDownShardFailsItsOwnKeysOnly(t *testing.T) {
	s := servers(t, 3, redstarttest.ServerConfig{AOF: "always"})
	patient := open(t, config(s[0].URL(), s[1].URL(), s[2].URL()))
	c := patient.FailFast()
	r := wrap(t, c, redstart.Config{})
	ctx := t.Context()
	keys := fill(t, c, 20)
	if err := s[0].Kill(); err != nil {
		t.Fatal(err)
	}
	incr := redstart.NewScript("incr", "return redis.call('APPEND', KEYS[1], '')")
	for range 3 {
		var multi rueidis.Commands
		for _, k := range keys {
			multi = append(multi, c.B().Incr().Key("n:{"+k+"}").Build())
		}
		results := c.DoMulti(ctx, multi...)
		for i, k := range keys {
			down := c.Shard(k) == "s0"
			_, script := incr.Exec(ctx, r, []string{k}, nil).AsInt64()
			scriptMulti := r.DoMulti(ctx, incr.Command(r, []string{k}, nil))[0].Error()
			for how, err := range map[string]error{"Do": c.Do(ctx, c.B().Get().Key(k).Build()).Error(), "DoMulti": results[i].Error(), "script": script, "script in DoMulti": scriptMulti} {
				switch {
				case !down && err != nil:
					t.Errorf("%s of a key of %s: %v", how, c.Shard(k), err)
				case down && (!errors.Is(err, redstart.ErrUnavailable) || !redstart.Away(err) || !strings.Contains(err.Error(), "s0")):
					t.Errorf("%s of a key of the shard that is down: %v", how, err)
				}
			}
		}
	}
	// One that waits does so until its deadline, and for its own shard only.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for _, k := range keys {
		if c.Shard(k) != "s0" {
			if err := patient.Do(short, c.B().Get().Key(k).Build()).Error(); err != nil {
				t.Errorf("patiently, of a key of %s: %v", c.Shard(k), err)
			}
		}
	}
	if err := patient.Do(short, c.B().Incr().Key(keysOn(c, "s0", 1)[0]).Build()).Error(); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied || short.Err() == nil {
		t.Errorf("patiently, of a key of the shard that is down: %v", err)
	}
	if err := c.Do(ctx, c.B().Mget().Key(keys...).Build()).Error(); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("MGET with keys of the shard that is down: %v", err)
	}
	if err := c.Do(ctx, c.B().Ping().Build()).Error(); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("PING: %v", err)
	}
	// What any server answers, another one answers; scripts load on those that are there.
	if server, err := r.Server(ctx); err != nil || server.Version == "" {
		t.Errorf("Server = %v, %v", server, err)
	}
	if sha, err := c.Do(ctx, c.B().ScriptLoad().Script("return 1").Build()).ToString(); err != nil || len(sha) != 40 {
		t.Errorf("SCRIPT LOAD = %q, %v", sha, err)
	}
	if err := s[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		redstarttest.Eventually(t, 10*time.Second, "the shard answers again", func() bool {
			return !redstart.Away(c.Do(ctx, c.B().Ping().Build()).Error())
		})
		if v, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString(); v != k || err != nil {
			t.Errorf("%q = %q, %v", k, v, err)
		}
		want := int64(3)
		if c.Shard(k) == "s0" {
			want = 0
		}
		if n, err := c.Do(ctx, c.B().Get().Key("n:{"+k+"}").Build()).AsInt64(); n != want || err != nil && !rueidis.IsRedisNil(err) {
			t.Errorf("n:{%s} = %d, %v; want %d", k, n, err, want)
		}
	}
}

// A client opens while a shard is away, and finds it when it comes.
func TestOpensWithoutAShard(t *testing.T) {
	s := servers(t, 2, redstarttest.ServerConfig{})
	if err := s[0].Kill(); err != nil {
		t.Fatal(err)
	}
	cfg := config(s[0].URL(), s[1].URL())
	cfg.ReopenPause = time.Millisecond
	c := open(t, cfg)
	ctx := t.Context()
	away, here := keysOn(c, "s0", 1)[0], keysOn(c, "s1", 1)[0]
	if err := c.Do(ctx, c.B().Set().Key(here).Value("x").Build()).Error(); err != nil {
		t.Error(err)
	}
	err := c.Do(ctx, c.B().Set().Key(away).Value("x").Build()).Error()
	if !errors.Is(err, redstart.ErrUnavailable) || redstart.OutcomeOf(err) != redstart.NotApplied || !strings.Contains(err.Error(), "s0") {
		t.Errorf("a key of the shard that is away: %v", err)
	}
	if _, known := c.Nodes()["s0"]; known || len(c.Nodes()) != 1 {
		t.Errorf("Nodes gives %d", len(c.Nodes()))
	}
	if _, err := c.Shards(ctx); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("Shards: %v", err)
	}
	if got, err := c.Do(ctx, c.B().Echo().Message("x").Build()).ToString(); got != "x" || err != nil {
		t.Errorf("ECHO = %q, %v", got, err)
	}
	if err := s[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "the shard is found", func() bool {
		return c.Do(ctx, c.B().Set().Key(away).Value("x").Build()).Error() == nil
	})
	if all, err := c.Shards(ctx); err != nil || len(all) != 2 {
		t.Errorf("Shards gives %d, %v", len(all), err)
	}

	// None there, or one that refuses: Open says so.
	for i := range s {
		if err := s[i].Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(ctx, cfg); !errors.Is(err, redstart.ErrUnavailable) || !strings.Contains(err.Error(), "s0") || !strings.Contains(err.Error(), "s1") {
		t.Errorf("Open with no shard there: %v", err)
	}
	locked := redstarttest.Run(t, redstarttest.ServerConfig{Args: []string{"--requirepass", "x"}})
	if _, err := Open(ctx, config("redis://"+locked.Addr(), s[0].URL())); err == nil || redstart.Away(err) && !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("Open with a wrong password: %v", err)
	}
}

// A frozen shard holds up nobody but those who ask it.
func TestFrozenShardHoldsUpNobodyElse(t *testing.T) {
	s := servers(t, 2, redstarttest.ServerConfig{})
	p, err := proxy.New(s[0].Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, config(p.URL(), s[1].URL()))
	keys := fill(t, c, 1)
	if err := s[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stuck := make(chan error, 1)
	k := keysOn(c, "s0", 1)[0]
	go func() { stuck <- c.Do(ctx, c.B().Get().Key(k).Build()).Error() }()
	for _, k := range keys {
		if c.Shard(k) == "s1" {
			if err := c.Do(t.Context(), c.B().Get().Key(k).Build()).Error(); err != nil {
				t.Error(err)
			}
		}
	}
	select {
	case err := <-stuck:
		t.Errorf("the frozen shard answered: %v", err)
	default:
	}
	cancel()
	if err := <-stuck; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call to the frozen shard: %v", err)
	}
	if err := s[0].Continue(); err != nil {
		t.Fatal(err)
	}
}

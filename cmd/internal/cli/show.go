package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/redis/rueidis"
	"github.com/spf13/cobra"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

const localRedis = "redis://127.0.0.1:6379"

func newShow() *cobra.Command {
	url := ""
	cmd := &cobra.Command{
		Use:   "show KEY",
		Short: "Decode a cache entry for people",
		Long: `Show what the cache keeps at a key: whether it is a value, a "not found", or the lease of a load that is
under way; the codec and the schema that wrote it, its size, whether and how it is compressed, the TTL it was stored with and
how long beyond that it may be served while loads fail, its tags, when it expires, and the value as text.
It only reads. Structs stored as arrays (the codec msgpack) have no field names.`,
		Example: `  redstart show shop:user:42:profile
  redstart show --redis rediss://user:password@cache.example.org:6380/2 shop:user:42:profile`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usage("show takes one key, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if url == "embedded" {
				return usage("an embedded server lives and ends with its process; give the URL of a real one")
			}
			return show(cmd.Context(), cmd.OutOrStdout(), url, args[0])
		},
	}
	from := os.Getenv("REDIS_URL")
	if from == "" {
		from = localRedis
	}
	cmd.Flags().StringVar(&url, "redis", from, "`URL` of the server")
	cmd.Flags().Lookup("redis").DefValue = "$REDIS_URL, or " + localRedis // help must not print a password
	return cmd
}

// entry is what lies at a key.
type entry struct {
	kind string // of Redis: string, hash, none …
	raw  []byte
	ttl  time.Duration // negative: none
}

func show(ctx context.Context, w io.Writer, url, key string) error {
	e, err := fetch(ctx, url, key)
	if err != nil {
		return err
	}
	switch e.kind {
	case "none":
		return fmt.Errorf("%s: there is no such key (namespace and database are part of where it lies: --redis …/N)", quote(key))
	case "string":
	default:
		return fmt.Errorf("%s holds a %s; entries of the cache are strings", quote(key), e.kind)
	}
	info, err := cache.Inspect(e.raw)
	if err != nil {
		return fmt.Errorf("%s holds %d bytes that are no entry of the cache: %w", quote(key), len(e.raw), rootCause(err))
	}
	expires := "never"
	if e.ttl >= 0 {
		expires = "in " + e.ttl.Round(time.Millisecond).String()
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-8s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("key", "%s", quote(key))
	line("kind", "%s: %s", info.Kind, meaning(info.Kind))
	if info.Kind == "value" {
		line("codec", "%s, schema %08x", info.Codec, info.Schema)
	}
	if info.Compression != cache.NoCompression {
		line("size", "%d bytes, compressed (%s) from a payload of %d", len(e.raw), info.Compression, len(info.Payload))
	} else {
		line("size", "%d bytes, %d of them the payload", len(e.raw), len(info.Payload))
	}
	if info.TTL > 0 {
		line("ttl", "%s", info.TTL.Round(time.Millisecond))
	}
	if info.StaleFor > 0 {
		line("stale", "%s", staleness(e.ttl, info.StaleFor))
	}
	if len(info.Tags) > 0 {
		tags := make([]string, len(info.Tags))
		for i, tag := range info.Tags {
			tags[i] = quote(tag)
		}
		line("tags", "%s", strings.Join(tags, ", "))
	}
	line("expires", "%s", expires)
	switch info.Kind {
	case "value":
		line("value", "\n%s", printable(info.Text()))
	case "lease":
		line("token", "%s", hex.EncodeToString(info.Payload))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// fetch asks for the type, the string and the time left, in one round trip.
func fetch(ctx context.Context, url, key string) (e entry, err error) {
	c, err := redstart.Open(ctx, url, redstart.Config{ClientName: "redstart-show"})
	if err != nil {
		return e, err
	}
	defer c.Close()
	r := c.DoMulti(ctx,
		c.B().Type().Key(key).Build(),
		c.B().Pttl().Key(key).Build(),
		c.B().Get().Key(key).Build())
	if e.kind, err = r[0].ToString(); err != nil {
		return e, fmt.Errorf("ask the server for %s: %w", quote(key), err)
	}
	ms, err := r[1].ToInt64()
	if err != nil {
		return e, fmt.Errorf("ask the server for %s: %w", quote(key), err)
	}
	e.ttl = time.Duration(ms) * time.Millisecond
	if e.kind != "string" {
		return e, nil
	}
	e.raw, err = r[2].AsBytes()
	if rueidis.IsRedisNil(err) { // it expired between two of the commands
		e.kind, err = "none", nil
	}
	if err != nil {
		return e, fmt.Errorf("read %s: %w", quote(key), err)
	}
	return e, nil
}

// staleness says how long a value stands past its TTL, and how it stands now.
func staleness(left, staleFor time.Duration) string {
	s := fmt.Sprintf("for %s past its TTL while loads fail", staleFor)
	switch fresh := (left - staleFor).Round(time.Millisecond); {
	case left < 0:
		return s
	case fresh > 0:
		return s + "; fresh for another " + fresh.String()
	default:
		return s + "; past it since " + (-fresh).String()
	}
}

func meaning(kind string) string {
	switch kind {
	case "value":
		return "what a load returned, or a Set"
	case "absent":
		return "the source said that there is no such thing"
	case "failed":
		return "a load failed a moment ago"
	case "lease":
		return "a load is under way"
	case "bypass":
		return "too large to be cached; readers go to the source"
	default:
		return "written by another version"
	}
}

// quote leaves a plain key as it is.
func quote(key string) string {
	for _, r := range key {
		if !unicode.IsGraphic(r) || r == ' ' || r == unicode.ReplacementChar {
			return fmt.Sprintf("%q", key)
		}
	}
	return key
}

// printable escapes what could act on a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/redstarttest"
)

// account is a value, and renamed, retyped, reordered and grown are what it
// may become in the next release.
type (
	account struct {
		Owner string
		Cents int64
		Limit int64
	}
	renamed struct {
		Owner string
		Euros int64
		Limit int64
	}
	retyped struct {
		Owner string
		Cents float64
		Limit int64
	}
	reordered struct {
		Owner string
		Limit int64
		Cents int64
	}
	grown struct {
		Owner string
		Cents int64
		Limit int64
		Open  bool
	}
)

var stored = account{Owner: "ann", Cents: 1234, Limit: 50}

// TestC10KeysAndFrames: no two entries share a key, and what stands at a key is
// read as what was written there, or not at all.
func TestC10KeysAndFrames(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	pairsSeen, damaged := 0, 0
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			pairsSeen += keysDistinct(t, form, seed, server.URL())
			knownPairs(t, server.URL())
			longKeys(t, server.URL())
			client := openHere(t, server.URL(), redstart.Config{})
			otherShapes(t, client)
			damaged += damagedFrames(t, client)
			framesInside(t, client)
			notOurs(t, client)
		})
	}
	naiveWrong := naiveFrames(t)
	keep(t, form, "C10", servers, "0 of %d pairs of (template, ids) share a key; 0 wrong values from %d damaged frames (every flipped bit, every cut, bytes of others); "+
		"4 changed shapes, another version, 2 other codecs and another type are misses (JSON without a schema: %d damaged or changed values read in silence)",
		pairsSeen, damaged, naiveWrong)
}

// at gives a cache of V at the one key of these tests, whose load gives fresh.
func at[V any](t *testing.T, client *redstart.Client, fresh V, codec cache.Codec[V], version int) *cache.Cache[int, V] {
	t.Helper()
	c, err := cache.New(client, cache.Config[int, V]{
		Key: "frame:<id>", Codec: codec, Version: version,
		Load: func(context.Context, int) (V, error) { return fresh, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const frameKey = "frame:1"

func raw(t *testing.T, client *redstart.Client) []byte {
	t.Helper()
	b, err := client.Do(t.Context(), client.B().Get().Key(frameKey).Build()).AsBytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func putRaw(t *testing.T, client *redstart.Client, value []byte) {
	t.Helper()
	if err := client.Do(t.Context(), client.B().Set().Key(frameKey).Value(string(value)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// missed fails the test when a cache reads something other than its own fresh
// value where another shape, codec or version was written.
func missed[V comparable](t *testing.T, client *redstart.Client, what string, c *cache.Cache[int, V], fresh V) {
	t.Helper()
	if err := at(t, client, account{}, nil, 0).Set(t.Context(), 1, stored); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := c.Peek(t.Context(), 1); ok || err != nil {
		t.Errorf("%s: Peek = %+v, %v, %v; want a miss", what, v, ok, err)
	}
	if v, err := c.Get(t.Context(), 1); v != fresh || err != nil {
		t.Errorf("%s: Get = %+v, %v; want it loaded anew", what, v, err)
	}
	if s := c.Stats(); s.OtherSchema == 0 {
		t.Errorf("%s: not counted: %+v", what, s)
	}
}

func otherShapes(t *testing.T, client *redstart.Client) {
	t.Helper()
	missed(t, client, "a renamed field", at(t, client, renamed{Owner: "new"}, nil, 0), renamed{Owner: "new"})
	missed(t, client, "a field of another type", at(t, client, retyped{Owner: "new"}, nil, 0), retyped{Owner: "new"})
	missed(t, client, "fields in another order", at(t, client, reordered{Owner: "new"}, nil, 0), reordered{Owner: "new"})
	missed(t, client, "a new field", at(t, client, grown{Owner: "new"}, nil, 0), grown{Owner: "new"})
	missed(t, client, "another version", at(t, client, account{Owner: "new"}, nil, 1), account{Owner: "new"})
	missed(t, client, "JSON", at(t, client, account{Owner: "new"}, cache.JSON[account](), 0), account{Owner: "new"})
	missed(t, client, "maps", at(t, client, account{Owner: "new"}, cache.MsgpackMap[account](), 0), account{Owner: "new"})
	missed(t, client, "text", at(t, client, "new", nil, 0), "new")
}

// damagedFrames flips every bit of an entry, cuts it at every length, and adds
// to it.
func damagedFrames(t *testing.T, client *redstart.Client) (n int) {
	t.Helper()
	fresh := account{Owner: "fresh"}
	c := at(t, client, fresh, nil, 0)
	if err := c.Set(t.Context(), 1, stored); err != nil {
		t.Fatal(err)
	}
	good := raw(t, client)
	var all [][]byte
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		all = append(all, bad)
	}
	for length := range good {
		all = append(all, good[:length])
	}
	all = append(all, append(bytes.Clone(good), 0), append(bytes.Clone(good), good...))
	for i, bad := range all {
		putRaw(t, client, bad)
		if v, ok, err := c.Peek(t.Context(), 1); ok || err != nil {
			t.Fatalf("damage %d: Peek = %+v, %v, %v of %x; want a miss", i, v, ok, err, bad)
		}
		if v, err := c.Get(t.Context(), 1); v != fresh || err != nil {
			t.Fatalf("damage %d: Get = %+v, %v of %x; want it loaded anew", i, v, err, bad)
		}
		if v, ok, err := c.Peek(t.Context(), 1); v != fresh || !ok || err != nil {
			t.Fatalf("damage %d: not replaced: %+v, %v, %v", i, v, ok, err)
		}
	}
	if s := c.Stats(); s.Corrupt < uint64(len(all)) {
		t.Errorf("%d of %d damaged entries were counted", s.Corrupt, len(all))
	}
	return len(all)
}

// framesInside are values that look like our own frames; they are values.
func framesInside(t *testing.T, client *redstart.Client) {
	t.Helper()
	c := at(t, client, "fresh", nil, 0)
	if err := c.Set(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	inside := []string{string(raw(t, client)), "\xf5R", "\xf5R\x01", ""}
	for kind := frame.Value; kind <= frame.Bypass; kind++ {
		inside = append(inside, frame.Make(kind, 0, 0, "token"))
	}
	for _, v := range inside {
		if err := c.Set(t.Context(), 1, v); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(t.Context(), 1); got != v || err != nil {
			t.Errorf("Get = %q, %v; want %q", got, err, v)
		}
	}
}

// notOurs is what others wrote at the key: a miss that is replaced, or, for
// another type, an error that says so.
func notOurs(t *testing.T, client *redstart.Client) {
	t.Helper()
	c := at(t, client, "fresh", nil, 0)
	for _, foreign := range []string{"", "hello", `{"Owner":"ann"}`, "\x00", "\xf5", "\xf5X", "\x81\xa5Owner\xa3ann", "rueidisid:0123456789", "LOCK", fmt.Sprint(42)} {
		putRaw(t, client, []byte(foreign))
		if v, ok, err := c.Peek(t.Context(), 1); ok || err != nil {
			t.Errorf("Peek of %q = %q, %v, %v; want a miss", foreign, v, ok, err)
		}
		if v, err := c.Get(t.Context(), 1); v != "fresh" || err != nil {
			t.Errorf("Get of %q = %q, %v; want it loaded anew", foreign, v, err)
		}
	}
	b := client.B()
	for _, r := range client.DoMulti(t.Context(), b.Del().Key(frameKey).Build(), b.Rpush().Key(frameKey).Element("a").Build()) {
		if err := r.Error(); err != nil {
			t.Fatal(err)
		}
	}
	var e *redstart.Error
	if v, err := c.Get(t.Context(), 1); !errors.As(err, &e) || e.Code != "WRONGTYPE" || e.Outcome != redstart.NotApplied {
		t.Errorf("Get of a list = %q, %v; want WRONGTYPE", v, err)
	}
	if err := c.Invalidate(t.Context(), 1); err != nil {
		t.Errorf("Invalidate of a list: %v", err)
	}
}

// naiveFrames is how many damaged or changed values plain JSON reads in
// silence as something that was never written.
func naiveFrames(t *testing.T) (wrong int) {
	t.Helper()
	good, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		var v account
		if json.Unmarshal(bad, &v) == nil && v != stored {
			wrong++
		}
	}
	var v renamed
	if err := json.Unmarshal(good, &v); err != nil || v.Euros != 0 {
		t.Errorf("a renamed field: %+v, %v", v, err)
	} else {
		wrong++ // a balance of 0 that nobody has
	}
	if wrong < 2 {
		t.Errorf("%d wrong values: the recipe is better than thought", wrong)
	}
	return wrong
}

package entry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
)

// onServers runs a test on the embedded server and on a redis-server.
func onServers(t *testing.T, test func(t *testing.T, c *redstart.Client)) {
	t.Helper()
	with := func(t *testing.T, url string) {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	}
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		with(t, s.URL())
	})
	t.Run("redis-server", func(t *testing.T) { with(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL()) })
}

func tagsOf(t *testing.T, c *redstart.Client) *stamp.Tags {
	t.Helper()
	tags, err := stamp.Of(c, key.MustParse("k:<id>"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

// said is a reply for comparison: an entry's time by the half hour, stamps by
// their names.
func said(r *Reply, err error) string {
	stamps := map[string]string{}
	for _, s := range r.Stamps {
		stamps[s.Name] = s.Stamp
	}
	if err == nil {
		err = r.Err
	}
	left := r.Left.Round(30 * time.Minute)
	if r.Left < 0 {
		left = r.Left
	}
	return fmt.Sprintf("%q (nil: %v), %v, timed %v: %v, stamps %v", r.Raw, r.Raw == nil, err, r.Timed, left, stamps)
}

// Whatever stands at keys, many are told what each alone is, and each once.
func TestManyIsFetchForEach(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		tags := tagsOf(t, c)
		names := []string{"a", "b", "c", ""}
		seconds := 0 // entries that told more than was asked
		rapid.Check(t, func(t *rapid.T) {
			ctx := context.Background()
			do := func(words ...string) {
				if err := c.Do(ctx, c.B().Arbitrary(words...).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			}
			do("FLUSHALL")
			labels := map[string]stamp.Label{}
			for _, name := range names {
				l, err := tags.Label(name)
				if err != nil {
					t.Fatal(err)
				}
				if labels[name] = l; rapid.Bool().Draw(t, "a stamp") {
					do("SET", l.Key, "stamp of "+name)
				}
			}
			some := func(what string) (drawn []string) {
				return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(t, what)
			}
			n := rapid.IntRange(1, 12).Draw(t, "keys")
			keys, known := make([]string, n), make([][]stamp.Label, n)
			for i := range n {
				keys[i] = fmt.Sprint("k:", i)
				for _, name := range some("tags that its id tells") {
					known[i] = append(known[i], labels[name])
				}
				form := texts(func(f *Config[string]) {
					f.Timed = rapid.Bool().Draw(t, "timed")
					f.StaleFor = time.Duration(rapid.IntRange(0, 1).Draw(t, "hours")) * time.Hour
				})
				a := About{TTL: time.Hour}
				for _, name := range some("tags it tells") {
					a.Tags = append(a.Tags, frame.Tag{Name: name, Stamp: "stamp of " + name})
				}
				raw, err := form.Encode("v", a, false)
				if err != nil {
					t.Fatal(err)
				}
				switch rapid.IntRange(0, 5).Draw(t, "what stands there") {
				case 0: // nothing
				case 1:
					do("SET", keys[i], "")
				case 2:
					do("SET", keys[i], "foreign")
				case 3:
					do("SET", keys[i], string(raw))
				default:
					do("SET", keys[i], string(raw), "PX", fmt.Sprint((a.TTL + form.Beyond(a.TTL)).Milliseconds()))
					if len(a.Tags) > len(known[i]) {
						seconds++
					}
				}
			}
			var told [][]stamp.Label
			if rapid.Bool().Draw(t, "ids tell tags") {
				told = known
			} else {
				known = make([][]stamp.Label, n)
			}
			d := &Reader{Client: c, Tags: tags, Timed: rapid.Bool().Draw(t, "asks for time")}
			if rapid.Bool().Draw(t, "over one") {
				d = d.Over(c)
			}
			at := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, n, rapid.ID).Draw(t, "places")
			slices.Sort(at)
			got := map[int]string{}
			d.Many(ctx, keys, at, told, func(i int, r *Reply, err error) {
				if _, twice := got[i]; twice {
					t.Fatalf("%d is told twice", i)
				}
				got[i] = said(r, err)
			})
			if !slices.Equal(slices.Sorted(maps.Keys(got)), at) {
				t.Fatalf("told of %v, want %v", slices.Sorted(maps.Keys(got)), at)
			}
			for _, i := range at {
				r, err := d.Fetch(ctx, keys[i], known[i])
				if alone := said(&r, err); got[i] != alone {
					t.Fatalf("%s:\n%s among many\n%s alone", keys[i], got[i], alone)
				}
			}
			d.Raw(ctx, keys, func(i int, raw []byte, err error) {
				r, bad := (&Reader{Client: c, Tags: tags}).Fetch(ctx, keys[i], nil)
				if !slices.Equal(raw, r.Raw) || (raw == nil) != (r.Raw == nil) || err != nil || bad != nil {
					t.Fatalf("%s: %q, %v, want %q", keys[i], raw, err, r.Raw)
				}
			})
		})
		if seconds == 0 {
			t.Error("no entry told more than was asked; the run proves nothing")
		}
	})
}

// More than travels together comes all the same, and a key of another type ends
// neither.
func TestManyOfMany(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		const n = 2*together + 7
		keys, at := make([]string, n), make([]int, n)
		var sets []rueidis.Completed
		for i := range n {
			keys[i], at[i] = fmt.Sprint("k:", i), i
			sets = append(sets, c.B().Set().Key(keys[i]).Value(fmt.Sprint("v", i)).Build())
		}
		for _, r := range c.DoMulti(t.Context(), append(sets, c.B().Del().Key(keys[5]).Build(), c.B().Lpush().Key(keys[5]).Element("x").Build())...) {
			if err := r.Error(); err != nil {
				t.Fatal(err)
			}
		}
		for _, timed := range []bool{false, true} {
			seen := 0
			(&Reader{Client: c, Tags: tagsOf(t, c), Timed: timed}).Many(t.Context(), keys, at, nil, func(i int, r *Reply, err error) {
				seen++
				if want := fmt.Sprint("v", i); i != 5 && (string(r.Raw) != want || err != nil || r.Err != nil) || i == 5 && r.Raw != nil {
					t.Errorf("%d: %q, %v, %v", i, r.Raw, r.Err, err)
				}
			})
			if seen != n {
				t.Errorf("timed %v: told of %d", timed, seen)
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		failed := 0
		(&Reader{Client: c}).Many(over, keys, at, nil, func(_ int, r *Reply, err error) {
			if errors.Is(err, context.Canceled) && r.Raw == nil {
				failed++
			}
		})
		if failed != n {
			t.Errorf("with a context that has ended %d failed, want %d", failed, n)
		}
	})
}

func TestTerms(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		f := texts(func(c *Config[string]) { c.StaleFor = time.Minute })
		terms := &Terms[int, string]{
			Form: f, Tags: tagsOf(t, c), TTL: time.Hour, NegativeTTL: time.Minute, Jitter: 0.5, LoadTimeout: time.Minute,
			Within: time.Second, NotStored: func(err error) { t.Error(err) },
		}
		product := func(r source.Loaded[string]) (*Entry[string], Verdict, time.Duration) {
			t.Helper()
			raw, ttl, quiet, err := terms.Product(t.Context(), &r, &frame.Frame{}, &stamp.Sampling{})
			if err != nil || !quiet {
				t.Fatalf("%v, quiet %v", err, quiet)
			}
			e, verdict := f.Judge(raw, false)
			return &e, verdict, ttl
		}
		for name, test := range map[string]struct {
			r           source.Loaded[string]
			want        Verdict
			least, most time.Duration
		}{
			"a value":                {source.Loaded[string]{Result: source.Result[string]{Value: "v"}}, Hit, 31 * time.Minute, 61 * time.Minute},
			"its own TTL":            {source.Loaded[string]{Result: source.Result[string]{Value: "v", TTL: time.Second}}, Hit, time.Minute + time.Second/2, time.Minute + time.Second},
			"for good":               {source.Loaded[string]{Result: source.Result[string]{Value: "v", TTL: -1}}, Hit, 0, 0},
			"not found":              {source.Loaded[string]{Err: source.ErrNotFound}, Absent, time.Minute, time.Minute},
			"not found, for a while": {source.Loaded[string]{Err: source.ErrNotFound, Result: source.Result[string]{TTL: time.Second}}, Absent, time.Second, time.Second},
		} {
			for range 20 { // the jitter is drawn anew
				e, verdict, ttl := product(test.r)
				if verdict != test.want || e.Value != test.r.Result.Value || ttl < test.least || ttl > test.most {
					t.Errorf("%s: verdict %d, %v", name, verdict, ttl)
				}
			}
		}
		tagged := source.Loaded[string]{Result: source.Result[string]{Value: "v", Tags: []string{"a"}}}
		if _, _, _, err := terms.Product(t.Context(), &tagged, &frame.Frame{}, &stamp.Sampling{}); !errors.Is(err, ErrResultTags) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("tags of a result: %v", err)
		}
		terms.Codec = broken{terms.Codec}
		_, _, _, err := terms.Product(t.Context(), &source.Loaded[string]{}, &frame.Frame{}, &stamp.Sampling{})
		if err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("a value that cannot be read again: %v", err)
		}
		// A stamp outlives whatever carries it.
		if got := terms.StampLife(time.Second); got < time.Minute+time.Minute+f.StaleFor {
			t.Errorf("StampLife of less than NegativeTTL is %v", got)
		}
		if terms.StampLife(0) != 0 || terms.StampLife(time.Hour) < time.Hour+terms.LoadTimeout+f.StaleFor {
			t.Error("StampLife")
		}
	})
}

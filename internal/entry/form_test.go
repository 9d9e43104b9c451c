package entry

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/stamp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// texts is a form of strings.
func texts(change ...func(*Config[string])) *Form[string] {
	cfg := Config[string]{Codec: codec.JSON[string](), PackAbove: 16, Corrupt: func(error) {}}
	for _, f := range change {
		f(&cfg)
	}
	return New(cfg)
}

func timed(c *Config[string]) { c.Timed = true }

func must(t interface{ Fatal(...any) }, raw []byte, err error) []byte {
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What was encoded is read again, however it is packed and whatever it knows of
// itself.
func TestWhatIsWrittenIsRead(t *testing.T) {
	packed := 0
	rapid.Check(t, func(t *rapid.T) {
		packing := rapid.SampledFrom([]frame.Packing{frame.Plain, frame.S2, frame.Zstd}).Draw(t, "packing")
		f := texts(func(c *Config[string]) {
			c.Packing, c.Timed = packing, rapid.Bool().Draw(t, "timed")
			c.StaleFor = time.Duration(rapid.IntRange(0, 100).Draw(t, "stale for")) * time.Second
		})
		v := strings.Repeat(rapid.StringN(0, 40, -1).Draw(t, "value"), rapid.IntRange(0, 20).Draw(t, "times"))
		a := About{
			TTL:  time.Duration(rapid.IntRange(0, 1e6).Draw(t, "TTL")) * time.Millisecond,
			Cost: time.Duration(rapid.IntRange(0, 1e6).Draw(t, "cost")) * time.Microsecond,
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringN(0, 5, -1), 0, 3, rapid.ID).Draw(t, "tags") {
			a.Tags = append(a.Tags, frame.Tag{Name: name, Stamp: "stamp of " + name})
		}
		raw, err := f.Encode(v, a, true)
		if err != nil {
			t.Fatal(err)
		}
		again := texts() // another process packs nothing, and keeps no metadata
		if e, verdict := again.Read(&Reply{Raw: raw, Stamps: a.Tags}, true); verdict != Hit || e.Value != v {
			t.Fatalf("verdict %d, %q", verdict, e.Value)
		}
		e, _ := f.Judge(raw, false)
		if e.Frame.Packing != frame.Plain {
			packed++
		}
		if e.Frame.HasMeta != (f.Timed || len(a.Tags) > 0) {
			t.Fatalf("metadata: %v", e.Frame.HasMeta)
		}
		if m := e.Frame.Meta; e.Frame.HasMeta && (m.TTL != a.TTL || m.Cost != a.Cost || m.StaleFor != f.Beyond(a.TTL)) {
			t.Fatalf("metadata: %+v of %+v", m, a)
		}
		if s, ok := f.Simple(&Reply{Raw: raw}); ok && s != v || ok != (!e.Frame.HasMeta && e.Frame.Packing == frame.Plain) {
			t.Fatalf("Simple = %q, %v", s, ok)
		}
		if !e.Frame.HasMeta {
			return
		}
		// An old value that the source confirms is the same, with new terms.
		next := About{TTL: time.Hour, Tags: []frame.Tag{{Name: "new", Stamp: "s"}}}
		confirmed, verdict := f.Read(&Reply{Raw: f.EncodeAgain(&e.Frame, next), Stamps: next.Tags}, false)
		if verdict != Hit || confirmed.Value != v || confirmed.Frame.Meta.TTL != time.Hour || bytes.Equal(confirmed.Frame.Head, e.Frame.Head) {
			t.Fatalf("confirmed: verdict %d, %+v", verdict, confirmed)
		}
	})
	if packed == 0 {
		t.Error("nothing was packed; the run proves nothing")
	}
}

// Whatever is done to the bytes of an entry: another value is never read.
func TestDamageIsAMiss(t *testing.T) {
	for _, packing := range []frame.Packing{frame.Plain, frame.S2, frame.Zstd} {
		heard := 0
		f := texts(timed, func(c *Config[string]) {
			c.Packing, c.Corrupt = packing, func(err error) {
				heard++
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error repeats the value: %v", err)
				}
			}
		})
		raw, err := f.Encode(strings.Repeat("secret ", 20), About{TTL: time.Minute, Tags: []frame.Tag{{Name: "t", Stamp: "s"}}}, true)
		must(t, raw, err)
		for at := range raw {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(raw)
				bad[at] ^= bit
				if e, verdict := f.Judge(bad, false); verdict == Hit || e.Value != "" || !bytes.Equal(e.Replace, bad) {
					t.Fatalf("byte %d: verdict %d, %q", at, verdict, e.Value)
				}
			}
			if e, verdict := f.Judge(raw[:at], false); verdict == Hit || e.Value != "" {
				t.Fatalf("cut to %d: verdict %d", at, verdict)
			}
		}
		if n := f.Counts.Corrupt.Load(); n == 0 || int(n) != heard {
			t.Errorf("%d corrupt entries, %d heard of", n, heard)
		}
	}
}

// Another type, codec or version reads nothing of it.
func TestOtherSchemas(t *testing.T) {
	raw, err := texts().Encode("v", About{}, false)
	must(t, raw, err)
	for name, read := range map[string]func() (Verdict, uint64){
		"another version": func() (Verdict, uint64) {
			f := texts(func(c *Config[string]) { c.Version = 1 })
			_, v := f.Judge(raw, false)
			return v, f.Counts.OtherSchema.Load()
		},
		"another codec": func() (Verdict, uint64) {
			f := texts(func(c *Config[string]) { c.Codec = codec.Raw[string]() })
			_, v := f.Judge(raw, false)
			return v, f.Counts.OtherSchema.Load()
		},
		"another type": func() (Verdict, uint64) {
			f := New(Config[any]{Codec: codec.JSON[any]()})
			_, v := f.Judge(raw, false)
			return v, f.Counts.OtherSchema.Load()
		},
	} {
		if verdict, n := read(); verdict != Miss || n != 1 {
			t.Errorf("%s: verdict %d, %d noted", name, verdict, n)
		}
	}
}

func TestVerdicts(t *testing.T) {
	adopts := func(c *Config[string]) {
		c.Adopt = func(raw []byte) (string, error) {
			switch string(raw) {
			case "panic":
				panic("at the disco")
			case "refused":
				return "half", errors.New("no")
			}
			return "adopted " + string(raw), nil
		}
	}
	for _, test := range []struct {
		name  string
		raw   []byte
		form  *Form[string]
		want  Verdict
		value string
	}{
		{"nothing", nil, texts(), Miss, ""},
		{"an empty string", []byte{}, texts(), Miss, ""},
		{"a foreign string", []byte("foreign"), texts(), Miss, ""},
		{"one that is adopted", []byte("foreign"), texts(adopts), Hit, "adopted foreign"},
		{"one that is not", []byte("refused"), texts(adopts), Miss, ""},
		{"one whose adoption panics", []byte("panic"), texts(adopts), Miss, ""},
		{"absent", texts().EncodeAbsent(About{}), texts(), Absent, ""},
		{"failed", []byte(frame.Make(frame.Failed, 0, 0, "")), texts(), Failed, ""},
		{"bypass", []byte(frame.Make(frame.Bypass, 0, 0, "")), texts(), Bypass, ""},
		{"lease", []byte(frame.Make(frame.Lease, 0, 0, "token")), texts(), Leased, ""},
		{"a kind of the future", []byte(frame.Make(77, 0, 0, "")), texts(), Miss, ""},
	} {
		e, verdict := test.form.Read(&Reply{Raw: test.raw}, true)
		if verdict != test.want || e.Value != test.value {
			t.Errorf("%s: verdict %d, %q", test.name, verdict, e.Value)
		}
		if want := verdict == Miss && test.raw != nil; want != (e.Replace != nil) {
			t.Errorf("%s: to be replaced: %q", test.name, e.Replace)
		}
	}
}

// What stands around a value decides about it.
func TestWeigh(t *testing.T) {
	const ttl, staleFor = 10 * time.Second, 5 * time.Second
	tags := []frame.Tag{{Name: "a", Stamp: "1"}, {Name: "b", Stamp: "2"}}
	keeps := texts(timed, func(c *Config[string]) { c.StaleFor = staleFor })
	form := func(tags ...frame.Tag) []byte {
		raw, err := keeps.Encode("v", About{TTL: ttl, Tags: tags}, false)
		return must(t, raw, err)
	}
	plain, tagged := form(), form(tags...)
	absent := keeps.EncodeAbsent(About{TTL: ttl, Tags: tags})
	for _, test := range []struct {
		name string
		r    Reply
		form *Form[string]
		want Verdict
		age  time.Duration
	}{
		{"fresh", Reply{Raw: plain, Timed: true, Left: 12 * time.Second}, keeps, Hit, 3 * time.Second},
		{"just stored", Reply{Raw: plain, Timed: true, Left: justNow}, keeps, Hit, 0},
		{"given longer by someone", Reply{Raw: plain, Timed: true, Left: time.Hour}, keeps, Hit, 0},
		{"given no end by someone", Reply{Raw: plain, Timed: true, Left: noEnd}, keeps, Hit, -1},
		{"not asked for", Reply{Raw: plain}, keeps, Hit, -1},
		{"at its TTL", Reply{Raw: plain, Timed: true, Left: staleFor}, keeps, Stale, ttl},
		{"at its end", Reply{Raw: plain, Timed: true, Left: 0}, keeps, Stale, ttl + staleFor},
		{"past what this process keeps", Reply{Raw: plain, Timed: true, Left: staleFor - 2*time.Second}, texts(timed, func(c *Config[string]) { c.StaleFor = time.Second }), Miss, 0},
		{"past it, in one that keeps nothing", Reply{Raw: plain, Timed: true, Left: staleFor - time.Millisecond}, texts(), Miss, 0},
		{"its stamps stand", Reply{Raw: tagged, Stamps: tags}, keeps, Hit, -1},
		{"in another order", Reply{Raw: tagged, Stamps: []frame.Tag{tags[1], tags[0]}}, keeps, Hit, -1},
		{"another stamp", Reply{Raw: tagged, Stamps: []frame.Tag{tags[0], {Name: "b", Stamp: "3"}}}, keeps, Miss, 0},
		{"a stamp is gone", Reply{Raw: tagged, Stamps: []frame.Tag{tags[0], {Name: "b"}}}, keeps, Miss, 0},
		{"not all were asked for", Reply{Raw: tagged, Stamps: tags[:1]}, keeps, Miss, 0},
		{"more were asked for", Reply{Raw: plain, Stamps: tags[:1]}, keeps, Miss, 0},
		{"dead, though fresh", Reply{Raw: tagged, Timed: true, Left: time.Hour}, keeps, Miss, 0},
		{"absent, its stamps stand", Reply{Raw: absent, Stamps: tags}, keeps, Absent, -1},
		{"absent, another stamp", Reply{Raw: absent, Stamps: tags[:1]}, keeps, Miss, 0},
	} {
		e, verdict := test.form.Read(&test.r, false)
		if verdict != test.want || verdict != Miss && e.Age != test.age {
			t.Errorf("%s: verdict %d, age %v", test.name, verdict, e.Age)
		}
		if verdict == Miss && (e.Value != "" || !bytes.Equal(e.Replace, test.r.Raw)) {
			t.Errorf("%s: a miss gives %q", test.name, e.Value)
		}
	}
	if n := keeps.Counts.Dead.Load(); n != 6 {
		t.Errorf("%d were found dead, want 6", n)
	}
}

// What a load is given of an old value: nothing that was invalidated since.
func TestOld(t *testing.T) {
	f := texts(timed)
	raw, err := f.Encode("v", About{TTL: time.Minute, Tags: []frame.Tag{{Name: "a", Stamp: "1"}}}, false)
	e, _ := f.Judge(must(t, raw, err), false)
	e.Age = time.Second
	for _, test := range []struct {
		name string
		tags []frame.Tag
		want bool
	}{
		{"no tags were sampled", nil, true},
		{"its stamp stands", []frame.Tag{{Name: "a", Stamp: "1"}}, true},
		{"another tag's", []frame.Tag{{Name: "b", Stamp: "2"}}, true},
		{"its stamp was replaced", []frame.Tag{{Name: "b", Stamp: "2"}, {Name: "a", Stamp: "3"}}, false},
	} {
		old := f.Old(&e, &stamp.Sampling{Tags: test.tags})
		if old.OK != test.want || test.want && (old.Value != "v" || old.Age != time.Second) {
			t.Errorf("%s: %+v", test.name, old)
		}
	}
	if old := f.Old(&Entry[string]{}, &stamp.Sampling{}); old.OK {
		t.Errorf("of nothing: %+v", old)
	}
}

// broken is a codec that does not read what it writes.
type broken struct{ codec.Codec[string] }

func (broken) Decode([]byte) (string, error) { panic("at the disco") }

func TestEncodeRefuses(t *testing.T) {
	bounded := texts(func(c *Config[string]) { c.MaxBytes, c.Packing = 100, frame.Zstd })
	long := strings.Repeat("x", 99) // with its quotes: 101 bytes, some 20 when packed
	if _, err := bounded.Encode(long[1:], About{}, true); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := bounded.Encode(long, About{}, true); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond it: %v", err)
	}
	// One that another process has packed expands no further here.
	raw, err := texts(func(c *Config[string]) { c.Packing = frame.Zstd }).Encode(strings.Repeat("x", 1<<20), About{}, true)
	if e, verdict := bounded.Judge(must(t, raw, err), false); verdict != Miss || e.Value != "" {
		t.Errorf("a packed bomb: verdict %d", verdict)
	}
	unreadable := texts(func(c *Config[string]) { c.Codec = broken{c.Codec} })
	if _, err := unreadable.Encode("v", About{}, true); err == nil {
		t.Error("what cannot be read again was written")
	}
	if _, err := unreadable.Encode("v", About{}, false); err != nil {
		t.Errorf("unchecked: %v", err)
	}
}

// Values of a codec that shares memory are a reader's own where others read the
// same bytes.
func TestSharedBytes(t *testing.T) {
	f := New(Config[[]byte]{Codec: codec.Raw[[]byte]()})
	raw, err := f.Encode([]byte("value"), About{}, false)
	must(t, raw, err)
	a, _ := f.Judge(raw, true)
	b, _ := f.Judge(raw, true)
	a.Value[0] = 'X'
	if string(b.Value) != "value" {
		t.Errorf("another reader's value is %q", b.Value)
	}
	if own := f.Copy(b.Value); &own[0] == &b.Value[0] || string(own) != "value" {
		t.Errorf("a copy is %q", own)
	}
}

func TestAhead(t *testing.T) {
	for _, test := range []struct {
		fraction, beta float64
		draw           float64
		want           time.Duration
	}{
		{0, 0, 3, -1},
		{0.2, 0, 3, 20 * time.Second},
		{0, 2, 3, 60 * time.Second},
		{0.2, 2, 3, 60 * time.Second},
		{0.2, 2, 0.5, 20 * time.Second},
		{0, 1, 0, 0},
	} {
		if got := Ahead(test.fraction, test.beta, 100*time.Second, 10*time.Second, test.draw); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

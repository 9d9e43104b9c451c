package cache

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/schema"
)

type shaped struct {
	S    string
	N    int64
	F    float64
	B    []byte
	T    time.Time
	M    map[string]int
	P    *shaped
	L    []shaped
	Big  *big.Int
	Dur  time.Duration
	Void struct{}
}

func sample() shaped {
	return shaped{
		S: "é", N: -1 << 60, F: 0.1, B: []byte{0, 255}, T: time.Unix(1, 2).UTC(), M: map[string]int{"a": 1},
		P: &shaped{S: "p"}, L: []shaped{{S: "l"}}, Big: big.NewInt(1 << 40), Dur: time.Hour,
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	want, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Codec[shaped]{JSON[shaped](), Msgpack[shaped](), MsgpackMap[shaped]()} {
		raw, err := c.Append([]byte("head"), sample())
		if err != nil || string(raw[:4]) != "head" {
			t.Fatalf("%s: Append = %q, %v", c.Name(), raw, err)
		}
		v, err := c.Decode(raw[4:])
		if err != nil {
			t.Fatalf("%s: %v", c.Name(), err)
		}
		if got, _ := json.Marshal(v); string(got) != string(want) {
			t.Errorf("%s:\n got %s\nwant %s", c.Name(), got, want)
		}
	}
}

// Methods on the pointer are found for values that cannot be addressed.
func TestCodecsFindPointerMethods(t *testing.T) {
	want := *big.NewInt(1 << 50)
	for _, c := range []Codec[big.Int]{JSON[big.Int](), Msgpack[big.Int](), MsgpackMap[big.Int]()} {
		raw, err := c.Append(nil, want)
		if err != nil {
			t.Fatalf("%s: %v", c.Name(), err)
		}
		if got, err := c.Decode(raw); err != nil || got.Cmp(&want) != 0 {
			t.Errorf("%s: %v, %v", c.Name(), &got, err)
		}
	}
}

func TestRaw(t *testing.T) {
	type name string
	type blob []byte
	if b, _ := Raw[name]().Append(nil, "n"); string(b) != "n" {
		t.Errorf("named string: %q", b)
	}
	if v, _ := Raw[name]().Decode([]byte("n")); v != "n" {
		t.Errorf("named string: %q", v)
	}
	if b, _ := Raw[blob]().Append(nil, blob("b")); string(b) != "b" {
		t.Errorf("named bytes: %q", b)
	}
	if v, _ := Raw[blob]().Decode([]byte("b")); string(v) != "b" {
		t.Errorf("named bytes: %q", v)
	}
}

type onlyJSON struct{ hidden int }

func (o onlyJSON) MarshalJSON() ([]byte, error)  { return json.Marshal(o.hidden) }
func (o *onlyJSON) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &o.hidden) }

type generated struct{ s string }

func (g generated) MarshalMsg(b []byte) ([]byte, error)    { return append(b, g.s...), nil }
func (g *generated) UnmarshalMsg(b []byte) ([]byte, error) { g.s = string(b); return nil, nil }

// name is the default codec of a type, or what it is refused for.
func name[V any]() string {
	c, err := codec.Default[V]()
	if err != nil {
		return err.Error()
	}
	return c.Name()
}

func TestDefaultCodec(t *testing.T) {
	type hidden struct {
		A    int
		gone string //nolint:unused // that is the point
	}
	type left struct {
		A    int
		gone chan int `msgpack:"-"` //nolint:unused // that is the point
	}
	type stamped struct {
		time.Time
		By string
	}
	type base struct{ X int }
	type derived struct {
		*base
		Y int
	}
	for _, c := range []struct{ got, want string }{
		{name[string](), "raw"},
		{name[[]byte](), "raw"},
		{name[json.RawMessage](), "raw"},
		{name[shaped](), "msgpack"},
		{name[*shaped](), "msgpack"},
		{name[int](), "msgpack"},
		{name[big.Int](), "msgpack"},
		{name[left](), "msgpack"},
		{name[generated](), "generated"},
		{name[struct{ A any }](), "the value.A is an interface"},
		{name[map[string]onlyJSON](), "only knows how to write itself as JSON"},
		{name[[]struct{ X *onlyJSON }](), "only knows how to write itself as JSON"},
		{name[hidden](), "the value.gone is not exported"},
		{name[stamped](), "other fields would be lost"},
		{name[derived](), "embedded pointer"},
		{name[func()](), "cannot be stored"},
		{name[struct{ S fmt.Stringer }](), "is an interface"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("default codec: %q, want %q", c.got, c.want)
		}
	}
	c, ok := Generated[generated]()
	if !ok {
		t.Fatal("generated methods not seen")
	}
	raw, _ := c.Append(nil, generated{"x"})
	if v, err := c.Decode(raw); err != nil || v.s != "x" {
		t.Errorf("generated: %+v, %v", v, err)
	}
	if _, ok := Generated[shaped](); ok {
		t.Error("generated methods seen where there are none")
	}
}

func TestSchema(t *testing.T) {
	type a struct {
		X int
		Y string
	}
	type renamedType struct {
		X int
		Y string
	}
	type swapped struct {
		Y string
		X int
	}
	type widened struct {
		X int64
		Y string
	}
	type tagged struct {
		X int `msgpack:"x"`
		Y string
	}
	base := schema.Of[a]("msgpack", 0)
	if schema.Of[renamedType]("msgpack", 0) != base {
		t.Error("a type's name is no part of its format")
	}
	for name, h := range map[string]uint32{
		"swapped": schema.Of[swapped]("msgpack", 0), "widened": schema.Of[widened]("msgpack", 0), "tagged": schema.Of[tagged]("msgpack", 0),
		"codec": schema.Of[a]("json", 0), "version": schema.Of[a]("msgpack", 1), "pointer": schema.Of[*a]("msgpack", 0),
	} {
		if h == base {
			t.Errorf("%s: same schema", name)
		}
	}
	_ = schema.Of[shaped]("msgpack", 0) // a type that holds itself ends
}

func TestInspect(t *testing.T) {
	c := embeddedClient(t)
	us := users(t, c, fresh)
	_, _ = us.Get(t.Context(), 1)
	raw, err := c.Do(t.Context(), c.B().Get().Key("user:1").Build()).AsBytes()
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(raw)
	if err != nil || info.Kind != "value" || info.Codec != "msgpack" || info.Schema != us.form.Schema {
		t.Errorf("Inspect = %+v, %v", info, err)
	}
	var fields []any
	if err := json.Unmarshal([]byte(info.Text()), &fields); err != nil || len(fields) != reflect.TypeFor[user]().NumField() || fields[1] != "fresh" {
		t.Errorf("Text = %s, %v", info.Text(), err)
	}
	if _, err := Inspect([]byte("foreign")); err == nil {
		t.Error("Inspect of a foreign string: no error")
	}
}

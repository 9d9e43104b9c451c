package sqlcache

import (
	"database/sql"
	"database/sql/driver"
	"math"
	"reflect"
	"testing"
	"time"
)

type named string

// values are of every type that a key can hold, alike in every way that is easily
// overlooked.
func values() []any {
	empty, s := "", "a"
	return []any{
		nil, "", "a", "ab", "1", "\x00", "nil", named("a"), named(""), &empty, &s, (*string)(nil), (*int64)(nil),
		[]byte(nil),
		[]byte{},
		[]byte("a"), []byte("ab"), []byte("1"),
		int64(0), int64(1), int64(-1), int64(math.MaxInt64), int32(1), int(1), uint64(1), uint8(1), uint64(math.MaxUint64),
		float64(0), math.Copysign(0, -1), float64(1), float32(1), math.Inf(1), math.NaN(), math.Float64frombits(1),
		true, false,
		time.Unix(0, 0).UTC(), time.Unix(0, 1).UTC(), time.Unix(1, 0).UTC(), time.Unix(0, 0).In(time.FixedZone("A", 3600)),
		time.Unix(0, 0).In(time.FixedZone("B", 3600)), time.Unix(0, 0).In(time.FixedZone("A", 0)),
		[]string(nil),
		[]string{},
		[]string{""},
		[]string{"a"},
		[]string{"a", "b"},
		[]string{"ab"},
		[]string{"", "ab"},
		[]named{"a"},
		[]int64{1},
		[]int32{1},
		[]int64{1, 2},
		[1]int64{1},
		[2]byte{1, 2},
		[][]string{{"a"}, {}},
		[][]string{{}, {"a"}},
		sql.NullString{},
		sql.NullString{Valid: true},
		sql.NullString{String: "a", Valid: true},
		sql.NullInt64{},
		sql.NullInt64{Int64: 1, Valid: true},
	}
}

func args(values ...any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(values))
	for i, v := range values {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

// No two of these share a key: of the pair that a Sprintf of the arguments gives
// one for, first.
func TestKeysAreDistinct(t *testing.T) {
	seen := map[[32]byte]string{}
	add := func(what string, q query, ok bool) {
		t.Helper()
		if !ok {
			t.Fatalf("%s: no key", what)
		}
		if was, double := seen[q.sum]; double {
			t.Fatalf("%s has the key of %s", what, was)
		}
		seen[q.sum] = what
	}
	w := &wish{ttl: time.Minute}
	const text = "SELECT id FROM user WHERE first = ? AND last = ?"
	q, ok := key(text, args("ann b", "c"), Postgres, "db", w)
	add("ann b, c", q, ok)
	q, ok = key(text, args("ann", "b c"), Postgres, "db", w)
	add("ann, b c", q, ok)
	all := values()
	for i, v := range all {
		q, ok := key("s", args(v), Postgres, "db", w)
		add("one: "+reflect.TypeOf(&v).String()+" "+string(rune('a'+i)), q, ok)
		for j, u := range all {
			q, ok := key("s", args(v, u), Postgres, "db", w)
			add("two: "+string(rune('a'+i))+string(rune('a'+j)), q, ok)
		}
	}
	for what, f := range map[string]func() (query, bool){
		"no arguments":    func() (query, bool) { return key("s", nil, Postgres, "db", w) },
		"another text":    func() (query, bool) { return key("s ", nil, Postgres, "db", w) },
		"another id":      func() (query, bool) { return key("s", nil, Postgres, "d", w) },
		"both":            func() (query, bool) { return key("bs", nil, Postgres, "d", w) },
		"another dialect": func() (query, bool) { return key("s", nil, SQLite, "db", w) },
		"another TTL":     func() (query, bool) { return key("s", nil, Postgres, "db", &wish{ttl: 2 * time.Minute}) },
		"a tag": func() (query, bool) {
			return key("s", nil, Postgres, "db", &wish{ttl: time.Minute, tags: []string{"a", "b"}})
		},
		"other tags": func() (query, bool) {
			return key("s", nil, Postgres, "db", &wish{ttl: time.Minute, tags: []string{"ab"}})
		},
		"a name": func() (query, bool) {
			return key("s", []driver.NamedValue{{Name: "a", Ordinal: 1, Value: "a"}}, Postgres, "db", w)
		},
		"another name": func() (query, bool) {
			return key("s", []driver.NamedValue{{Name: "b", Ordinal: 1, Value: "a"}}, Postgres, "db", w)
		},
	} {
		q, ok := f()
		add(what, q, ok)
	}
	for _, v := range []any{struct{ A int }{1}, map[string]int{}, []any{1}, func() {}, make(chan int), []sql.NullString{{}}, complex(1, 1)} {
		if _, ok := key("s", args(v), Postgres, "db", w); ok {
			t.Errorf("%T has a key", v)
		}
	}
	t.Logf("%d keys, all distinct", len(seen))
}

// FuzzKeys: distinct statements, arguments, users and databases never share a key,
// and equal ones do.
func FuzzKeys(f *testing.F) {
	f.Add("SELECT", "ann b", "c", "db", "SELECT", "ann", "b c", "db", int64(1), int64(1), uint8(0), uint8(0))
	f.Add("s", "a", "", "d", "s", "", "a", "d", int64(0), int64(0), uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, text1, a1, b1, id1, text2, a2, b2, id2 string, n1, n2 int64, k1, k2 uint8) {
		tuple := func(text, a, b, id string, n int64, k uint8) (query, []any) {
			var values []any
			for i, v := range []any{a, []byte(b), n, named(a), []string{a, b}, float64(n), time.Unix(n, 0).UTC(), nil} {
				if k&(1<<i) == 0 {
					values = append(values, v)
				}
			}
			q, ok := key(text, args(values...), Postgres, id, &wish{ttl: time.Second})
			if !ok {
				t.Fatal("no key")
			}
			return q, append(values, text, id)
		}
		q1, v1 := tuple(text1, a1, b1, id1, n1, k1)
		q2, v2 := tuple(text2, a2, b2, id2, n2, k2)
		if same := reflect.DeepEqual(v1, v2); same != (q1.sum == q2.sum) {
			t.Errorf("%#v and %#v: equal %v, one key %v", v1, v2, same, q1.sum == q2.sum)
		}
	})
}

// What is kept for later is not changed by who gave it.
func TestKeep(t *testing.T) {
	bytes, list := []byte("a"), []int64{1}
	if _, ok := keep(args(bytes, list, "s", sql.NullString{})); ok {
		t.Error("a struct was kept")
	}
	kept, ok := keep(args(bytes, list, "s", named("x")))
	if !ok {
		t.Fatal("not kept")
	}
	bytes[0], list[0] = 'b', 2
	if string(kept[0].Value.([]byte)) != "a" || kept[1].Value.([]int64)[0] != 1 {
		t.Errorf("changed: %v", kept)
	}
}

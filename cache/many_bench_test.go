package cache

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// hundredBytes is what an entry of the benchmarks holds.
var hundredBytes = strings.Repeat("x", 100)

// many1000 gives a cache of 1,000 texts that are all there, and their ids.
func many1000(b *testing.B) (*redstart.Client, *Cache[int, string], []int) {
	b.Helper()
	return manyNear(b, Near[int, string]{})
}

func manyNear(b *testing.B, near Near[int, string]) (*redstart.Client, *Cache[int, string], []int) {
	b.Helper()
	s := redstarttest.Run(b, redstarttest.ServerConfig{})
	c, err := redstart.Open(context.Background(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	texts, err := New(c, Config[int, string]{Key: "text:<id>", Near: near, LoadMany: func(_ context.Context, ids []int) (map[int]string, error) {
		m := map[int]string{}
		for _, id := range ids {
			m[id] = hundredBytes
		}
		return m, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	ids := upTo(1000)
	if _, err := texts.GetMany(b.Context(), ids); err != nil {
		b.Fatal(err)
	}
	return c, texts, ids
}

func textKeys(ids []int) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = fmt.Sprintf("text:%d", id)
	}
	return keys
}

func getMany(b *testing.B, texts *Cache[int, string], ids []int) {
	b.Helper()
	got, err := texts.GetMany(b.Context(), ids)
	if err != nil || len(got[999].Value) != len(hundredBytes) {
		b.Fatal(err)
	}
}

// rawMGET reads the same by one MGET, keys made beforehand.
func rawMGET(b *testing.B, c *redstart.Client, keys []string) {
	b.Helper()
	messages, err := c.Do(b.Context(), c.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		b.Fatal(err)
	}
	values := make([]string, len(messages))
	for i := range messages {
		if values[i], err = messages[i].ToString(); err != nil {
			b.Fatal(err)
		}
	}
	if len(values[999]) < len(hundredBytes) {
		b.Fatal("short")
	}
}

// 1,000 hits, with their keys built and their values decoded.
func BenchmarkGetMany(b *testing.B) {
	_, texts, ids := many1000(b)
	b.ReportAllocs()
	for b.Loop() {
		getMany(b, texts, ids)
	}
}

// 1,000 hits in the process.
func BenchmarkGetManyNear(b *testing.B) {
	_, texts, ids := manyNear(b, Near[int, string]{Items: 10_000})
	for texts.Stats().NearHits < 1000 {
		getMany(b, texts, ids)
	}
	b.ReportAllocs()
	for b.Loop() {
		getMany(b, texts, ids)
	}
}

// 1,000 raw values by one MGET, keys made beforehand.
func BenchmarkManyRawMGET(b *testing.B) {
	c, _, ids := many1000(b)
	keys := textKeys(ids)
	b.ReportAllocs()
	for b.Loop() {
		rawMGET(b, c, keys)
	}
}

// 1,000 raw values by a pipeline of GETs, keys made beforehand.
func BenchmarkManyRawDoMulti(b *testing.B) {
	c, _, ids := many1000(b)
	keys := textKeys(ids)
	b.ReportAllocs()
	for b.Loop() {
		commands := make([]rueidis.Completed, len(keys))
		for i, k := range keys {
			commands[i] = c.B().Get().Key(k).Build()
		}
		for _, r := range c.DoMulti(b.Context(), commands...) {
			if _, err := r.ToString(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// The same 1,000 by GetMany and by one MGET, in turns: the medians of the
// ratios to an MGET whose keys were made beforehand and to one that makes them,
// as GetMany does, and of MGET against itself, which is the noise.
func BenchmarkGetManyPerMGET(b *testing.B) {
	c, texts, ids := many1000(b)
	keys := textKeys(ids)
	timed := func(f func()) float64 {
		began := time.Now()
		for range 5 {
			f()
		}
		return float64(time.Since(began))
	}
	making := func() {
		made := make([]string, len(ids))
		for i, id := range ids {
			made[i], _ = texts.key.One(id)
		}
		rawMGET(b, c, made)
	}
	var ratios, made, noise []float64
	for b.Loop() {
		raw := timed(func() { rawMGET(b, c, keys) })
		many := timed(func() { getMany(b, texts, ids) })
		again := timed(func() { rawMGET(b, c, keys) })
		withKeys := timed(making)
		ratios, made, noise = append(ratios, many/((raw+again)/2)), append(made, many/withKeys), append(noise, again/raw)
	}
	for name, r := range map[string][]float64{"times-MGET": ratios, "times-MGET-with-keys": made, "MGET-itself": noise} {
		slices.Sort(r)
		b.ReportMetric(r[len(r)/2], name)
	}
}

// 1,000 misses: claimed, loaded and stored.
func BenchmarkGetManyMisses(b *testing.B) {
	_, texts, ids := many1000(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if err := texts.InvalidateMany(b.Context(), ids...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		getMany(b, texts, ids)
	}
}

// 1,000 structs, decoded, and what reading costs beside the decoding.
func BenchmarkGetManyDecoded(b *testing.B) {
	c, _, ids := many1000(b)
	codec := Msgpack[user]()
	us, err := New(c, Config[int, user]{Key: "user:<id>", Codec: codec, LoadMany: func(_ context.Context, ids []int) (map[int]user, error) {
		return every(ids), nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	payload, err := codec.Append(nil, every(ids)[1])
	if err != nil {
		b.Fatal(err)
	}
	decoding := testing.AllocsPerRun(100, func() { _, _ = codec.Decode(payload) })
	get := func() {
		if _, err := us.GetMany(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
	}
	get()
	for b.Loop() {
		get()
	}
	b.ReportMetric(testing.AllocsPerRun(10, get)/1000, "allocs/item")
	b.ReportMetric(decoding, "allocs/decode")
}

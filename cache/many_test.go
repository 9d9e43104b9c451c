package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// calls are the ids of each call of a LoadMany.
type calls struct {
	mu  sync.Mutex
	ids [][]int
}

func (c *calls) add(ids []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids = slices.Clone(ids)
	slices.Sort(ids)
	c.ids = append(c.ids, ids)
}

func (c *calls) all() [][]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}

// perID is how often each id was loaded.
func (c *calls) perID() map[int]int {
	n := map[int]int{}
	for _, ids := range c.all() {
		for _, id := range ids {
			n[id]++
		}
	}
	return n
}

// manyUsers makes a cache of users with a LoadMany. Its Load must not be needed.
func manyUsers(t *testing.T, c *redstart.Client, load func(context.Context, []int) (map[int]user, error), change ...func(*Config[int, user])) *Cache[int, user] {
	t.Helper()
	alone := func(_ context.Context, id int) (user, error) {
		t.Errorf("%d was loaded alone", id)
		return user{}, errors.New("loaded alone")
	}
	return users(t, c, alone, append([]func(*Config[int, user]){func(cfg *Config[int, user]) { cfg.LoadMany = load }}, change...)...)
}

// every gives a user for each id, and none for 404.
func every(ids []int) map[int]user {
	m := map[int]user{}
	for _, id := range ids {
		if id != 404 {
			m[id] = user{ID: id, Name: fmt.Sprintf("user %d", id)}
		}
	}
	return m
}

func upTo(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// isEvery fails the test unless got is what every gives.
func isEvery(t *testing.T, ids []int, got []Got[user], err error) {
	t.Helper()
	if err != nil || len(got) != len(ids) {
		t.Fatalf("GetMany gives %d for %d ids, %v", len(got), len(ids), err)
	}
	for i, id := range ids {
		if id == 404 && !errors.Is(got[i].Err, ErrNotFound) || id != 404 && (got[i].Err != nil || got[i].Value.ID != id) {
			t.Fatalf("id %d: %+v", id, got[i])
		}
	}
}

func TestGetManyLoadsWhatIsMissing(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var seen calls
		us := manyUsers(t, open(t, url, redstart.Config{Namespace: "shop"}), func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			m := every(ids)
			m[-1] = user{Name: "nobody asked for"}
			clear(ids) // its own
			return m, nil
		})
		if got, err := us.GetMany(t.Context(), nil); len(got) != 0 || err != nil {
			t.Errorf("no ids: %v, %v", got, err)
		}
		ids := []int{3, 404, 1, 3, 2, 404}
		for range 2 {
			got, err := us.GetMany(t.Context(), ids)
			isEvery(t, ids, got, err)
		}
		more := []int{5, 1, 2, 4, 3, 404}
		got, err := us.GetMany(t.Context(), more)
		isEvery(t, more, got, err)
		if u, err := us.Get(t.Context(), 5); err != nil || u.ID != 5 {
			t.Errorf("Get = %+v, %v", u, err)
		}
		if want := "[[1 2 3 404] [4 5]]"; fmt.Sprint(seen.all()) != want {
			t.Errorf("loaded %v, want %v", seen.all(), want)
		}
		if _, ok, err := us.Peek(t.Context(), -1); ok || err != nil {
			t.Errorf("what nobody asked for is cached: %v, %v", ok, err)
		}
		if s := us.Stats(); s.Loads != 2 || s.Hits != 6+4+1 || s.Misses != 6+2 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// A key that the template refuses, and one that holds a list, fail alone.
func TestGetManyErrorsPerID(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		names, err := New(c, Config[string, string]{Key: "name:<id>", LoadMany: func(_ context.Context, ids []string) (map[string]string, error) {
			m := map[string]string{}
			for _, id := range ids {
				m[id] = strings.ToUpper(id)
			}
			return m, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), c.B().Rpush().Key("name:list").Element("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 70000)
		ids := []string{"a", "list", "b", long}
		got, err := names.GetMany(t.Context(), ids)
		var failed Errors[string]
		if !errors.As(err, &failed) {
			t.Fatalf("GetMany = %v, %v", got, err)
		}
		for i, id := range ids {
			good := id == "a" || id == "b"
			if good && (got[i].Err != nil || got[i].Value != strings.ToUpper(id)) || !good && (got[i].Err == nil || !errors.Is(failed[id], got[i].Err) || redstart.OutcomeOf(got[i].Err) != redstart.NotApplied) {
				t.Errorf("id %.10q: %.10q, %v", id, got[i].Value, got[i].Err)
			}
		}
		if len(failed) != 2 || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("failed: %v, %v", len(failed), redstart.OutcomeOf(err))
		}
		if v, err := names.Get(t.Context(), "one"); v != "ONE" || err != nil { // LoadMany is Load as well
			t.Errorf("Get = %q, %v", v, err)
		}
	})
}

// What stands there and cannot be read is replaced, each in its place.
func TestGetManyReplaces(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		var seen calls
		load := func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			return every(ids), nil
		}
		old := manyUsers(t, c, load, func(cfg *Config[int, user]) { cfg.Version = 1 })
		us := manyUsers(t, c, load)
		ids := upTo(40)
		if _, err := old.GetMany(t.Context(), ids[:20]); err != nil {
			t.Fatal(err)
		}
		put(t, c, "user:7", "damaged")
		put(t, c, "user:8", "")
		put(t, c, "user:30", "damaged")
		got, err := us.GetMany(t.Context(), ids)
		isEvery(t, ids, got, err)
		got, err = us.GetMany(t.Context(), ids)
		isEvery(t, ids, got, err)
		if want := fmt.Sprint([][]int{ids[:20], ids}); fmt.Sprint(seen.all()) != want {
			t.Errorf("loaded %v, want %v", seen.all(), want)
		}
	})
}

// The commands of each call.
func TestCommandsOfGetMany(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, c := behind(t, s, redstart.Config{Pipelines: 1})
	us := manyUsers(t, c, func(_ context.Context, ids []int) (map[int]user, error) { return every(ids), nil })
	if _, err := us.GetMany(t.Context(), []int{7}); err != nil { // so that the server knows the scripts
		t.Fatal(err)
	}
	rec := p.Transcript()
	for _, step := range []struct {
		name string
		call func() error
		want string
	}{
		{"misses", func() error { _, err := us.GetMany(t.Context(), []int{1, 404}); return err }, `C MGET "user:1" "user:404"
S [nil nil]
C SET "user:1" <entry> "NX" "GET" "PX" "3000"
S nil
C SET "user:404" <entry> "NX" "GET" "PX" "3000"
S nil
C EVALSHA <script> "1" "user:1" <entry> <entry> <ttl>
S :1
C EVALSHA <script> "1" "user:404" <entry> <entry> "10000"
S :1
`},
		{"hits", func() error { _, err := us.GetMany(t.Context(), []int{1, 404}); return err }, `C MGET "user:1" "user:404"
S [<entry> <entry>]
`},
		{"set", func() error { return us.SetMany(t.Context(), slices.All([]user{{ID: 0}})) }, `C SET "user:0" <entry> "PX" <ttl>
S +OK
`},
		{"invalidate", func() error { return us.InvalidateMany(t.Context(), 404) }, `C DEL "user:404"
S :1
`},
	} {
		rec.Clear()
		if err := step.call(); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, line := range rec.Lines() {
			if !strings.Contains(line, "PING") && !strings.Contains(line, "PONG") {
				got.WriteString(stable(line) + "\n")
			}
		}
		if got.String() != step.want {
			t.Errorf("%s:\n%s\nwant:\n%s", step.name, got.String(), step.want)
		}
	}
}

// More than travels together, by count and by bytes.
func TestGetManyIsCutIntoPipelines(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const ids = 1100
		var seen calls
		us := manyUsers(t, open(t, url, patient), func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			m := every(ids)
			for id, u := range m {
				u.Name = strings.Repeat("x", 2000) // 2.2 MB in all
				m[id] = u
			}
			return m, nil
		})
		for range 2 {
			got, err := us.GetMany(t.Context(), upTo(ids))
			isEvery(t, upTo(ids), got, err)
		}
		if n := seen.all(); len(n) != 1 || len(n[0]) != ids {
			t.Errorf("%d calls of LoadMany", len(n))
		}
	})
}

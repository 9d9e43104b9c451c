package faults

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/lock"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// fencedWrite is a resource that takes no token below one it took, and keeps
// what it took: equal ones in a row once.
var fencedWrite = rueidis.NewLuaScript(`
local last = redis.call('GET', KEYS[1])
if last and tonumber(ARGV[1]) < tonumber(last) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
local write = ARGV[1] .. ' ' .. ARGV[2]
if redis.call('LINDEX', KEYS[2], -1) ~= write then redis.call('RPUSH', KEYS[2], write) end
return 1`)

func writeFenced(ctx context.Context, client rueidis.Client, id string, token int64, who string) (taken bool, err error) {
	n, err := fencedWrite.Exec(ctx, client, []string{"fenced:" + id, "took:" + id}, []string{strconv.FormatInt(token, 10), who}).AsInt64()
	return n == 1, err
}

// ground is a fenced resource on a server that no fault strikes, and what became
// of it.
type ground struct {
	t      *testing.T
	server *redstarttest.Server
	client rueidis.Client

	mu      sync.Mutex
	refused int // writes of a holder that another had followed
	denied  int // of the newest holder, which must be taken
}

func newGround(t *testing.T) *ground {
	t.Helper()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	client, err := plain(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &ground{t: t, server: server, client: client}
}

// write writes for a holder; newest says that nobody has followed him.
func (g *ground) write(id string, token int64, who string, newest bool) {
	taken, err := writeFenced(g.t.Context(), g.client, id, token, who)
	if err != nil {
		g.t.Error(err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !taken && newest:
		g.denied++
	case !taken:
		g.refused++
	}
}

// wrong is what the checker says of all the resource took.
func (g *ground) wrong() (wrong []string) {
	g.t.Helper()
	keys, err := g.server.Do(g.t.Context(), "KEYS", "took:*")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, k := range keys.([]any) {
		list, err := g.server.Do(g.t.Context(), "LRANGE", k.(string), "0", "-1")
		if err != nil {
			g.t.Fatal(err)
		}
		var took []history.Write
		for _, text := range list.([]any) {
			number, who, _ := strings.Cut(text.(string), " ")
			token, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				g.t.Fatal(err)
			}
			took = append(took, history.Write{Token: token, Holder: who})
		}
		wrong = append(wrong, history.Unfenced(k.(string), took)...)
	}
	return wrong
}

// tokens gives a fencing token per id; release gives it back.
type tokens func(ctx context.Context, id string) (token int64, release func(), err error)

func oursOf(l *lock.Lock, alive *sync.Map) tokens {
	return func(ctx context.Context, id string) (int64, func(), error) {
		lease, err := l.Acquire(ctx, id)
		if err != nil {
			return 0, nil, err
		}
		if alive != nil {
			alive.Store(id, lease)
		}
		return lease.Token(), func() { _ = lease.Release(context.WithoutCancel(ctx)) }, nil
	}
}

// incrOf is INCR, without the lock itself: nobody holds it any more.
func incrOf(client rueidis.Client) tokens {
	return func(ctx context.Context, id string) (int64, func(), error) {
		for {
			token, err := naive.Lock{Client: client}.Token(ctx, "naive:{"+id+"}")
			if err == nil || ctx.Err() != nil {
				return token, func() {}, err
			}
			rest(ctx, 20*time.Millisecond)
		}
	}
}

// each calls f for every id at once.
func each(ids []string, f func(id string)) {
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { f(id) })
	}
	wg.Wait()
}

// hand is tokens of one holder by id.
type hand struct {
	t  *testing.T
	mu sync.Mutex

	tokens   map[string]int64
	releases []func()
}

// takeAll takes a token for each id.
func takeAll(t *testing.T, from tokens, ids []string) *hand {
	t.Helper()
	h := &hand{t: t, tokens: map[string]int64{}}
	each(ids, func(id string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		token, release, err := from(ctx, id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tokens[id] = token
		h.releases = append(h.releases, release)
	})
	if t.Failed() {
		t.FailNow()
	}
	return h
}

func (h *hand) leave() {
	var wg sync.WaitGroup
	for _, release := range h.releases {
		wg.Go(release)
	}
	wg.Wait()
}

// names are ids of a round.
func names(what string, round, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d-%d", what, round, i))
	}
	return ids
}

// m2 counts rounds: one lock passing from one holder to another.
type m2 struct{ frozen, failovers, failed, wiped, refused, beside int }

// TestM2Fenced: a holder that was frozen for three leases, or whose lock a
// failover or a wipe of the server forgot, goes on writing to a fenced resource
// after the next holder does.
func TestM2Fenced(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	all := launchers(t, form, false)
	var servers []string
	var sum m2
	var twins [3]int // violations of the recipes
	for i, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			rounds := harness.Choose(form, 1, 5)
			g := newGround(t)
			sum.frozen += frozenHolders(t, g, server, redstarts, rounds, 20, 300*time.Millisecond)
			sum.wiped += wiped(t, g, server, seed, redstarts, harness.Choose(form, 40, 300))
			sum.refused += g.judge()
			if i == 0 {
				g := newGround(t)
				frozenHolders(t, g, server, lockPoll, 1, 5, time.Second)
				twins[0] = g.twin("no token")
				g = newGround(t)
				wiped(t, g, server, seed, lockPoll, 20)
				twins[1] = g.twin("INCR, wiped")
			}
		})
		t.Run(l.Name+" failover", func(t *testing.T) {
			g, twin := newGround(t), newGround(t)
			rounds, locks := harness.Choose(form, 1, 7), harness.Choose(form, 25, 40)
			n, beside := failovers(t, l, g, twin, rounds, locks)
			sum.failovers, sum.failed, sum.beside = sum.failovers+n, sum.failed+rounds, sum.beside+beside
			sum.refused += g.judge()
			twins[2] += twin.twin("INCR, failover")
		})
	}
	keep(t, form, "M2", servers, "0 writes with an older token taken by a fenced resource, and 0 of the newest holder refused, in %d takeovers: %d of locks whose holder was frozen for three leases, %d across %d Sentinel failovers that lost the grant, %d after FLUSHALL, DEL, SCRIPT FLUSH or a crash without AOF; %d later writes of older holders refused (not promised: in %d of the failovers' takeovers the older one still believed in his lease) "+
		"(without a token, frozen: %d taken; with INCR, wiped: %d; with INCR, across the failovers: %d)",
		sum.frozen+sum.failovers+sum.wiped, sum.frozen, sum.failovers, sum.failed, sum.wiped, sum.refused, sum.beside, twins[0], twins[1], twins[2])
}

// judge fails the test for what the resource took or refused wrongly, and gives
// how many writes it refused rightly.
func (g *ground) judge() int {
	g.t.Helper()
	reportTexts(g.t, "older tokens taken", g.wrong())
	if g.denied > 0 {
		g.t.Errorf("the newest holder was refused %d times", g.denied)
	}
	if g.refused == 0 {
		g.t.Error("no write was refused: nothing was tried")
	}
	return g.refused
}

// twin is how many violations a recipe has, which must be some.
func (g *ground) twin(what string) int {
	g.t.Helper()
	n := len(g.wrong())
	if n == 0 {
		g.t.Errorf("%s: the checker finds nothing wrong", what)
	}
	return n
}

// frozenHolders has a process hold locks and write for them all the time; it is
// frozen for three leases, in which others get them.
func frozenHolders(t *testing.T, g *ground, server *redstarttest.Server, recipe string, rounds, locks int, lease time.Duration) (takeovers int) {
	t.Helper()
	client := openHere(t, server.URL(), redstart.Config{})
	l, err := lockOf(client, lease)
	if err != nil {
		t.Fatal(err)
	}
	next := oursOf(l, nil)
	if recipe != redstarts {
		next = func(ctx context.Context, id string) (int64, func(), error) {
			err := naive.Lock{Client: client, Expiry: lease, Pause: 100 * time.Millisecond}.Acquire(ctx, id)
			return 0, func() {}, err
		}
	}
	a := harness.Start(t, "holder", holderArg{Recipe: recipe, URL: server.URL(), Lease: lease})
	for round := range rounds {
		ids := names("frozen", round, locks)
		each(ids, func(id string) {
			if err := a.Call(t.Context(), "acquire", id, nil); err != nil {
				t.Error(err)
			}
		})
		var before, now holderCounts
		ask(t, a, "haunt", hauntArg{Addr: g.server.Addr(), Bare: recipe != redstarts, Pause: time.Millisecond}, nil)
		ask(t, a, "counts", 0, &before)
		wrote := func(c, since holderCounts) int64 { return c.Got + c.Lost - since.Got - since.Lost }
		redstarttest.Eventually(t, time.Minute, "the holder writes", func() bool {
			ask(t, a, "counts", 0, &now)
			return wrote(now, before) > int64(5*locks)
		})
		a.Freeze()
		frozen := time.Now()
		b := takeAll(t, next, ids)
		for id, token := range b.tokens {
			g.write(id, token, "B", true)
		}
		rest(t.Context(), time.Until(frozen.Add(3*lease)))
		a.Continue()
		ask(t, a, "counts", 0, &before)
		redstarttest.Eventually(t, time.Minute, "the frozen holder writes again", func() bool {
			ask(t, a, "counts", 0, &now)
			return wrote(now, before) > int64(5*locks)
		})
		for id, token := range b.tokens {
			g.write(id, token, "B", true)
		}
		var still int
		ask(t, a, "leave", 0, &still)
		if still > 0 && recipe == redstarts {
			t.Errorf("%d leases of the frozen process are not over", still)
		}
		b.leave()
		g.refused += int(now.Lost - before.Lost)
		takeovers += locks
	}
	return takeovers
}

// wiped has the server forget locks that are held.
func wiped(t *testing.T, g *ground, server *redstarttest.Server, seed uint64, recipe string, rounds int) (takeovers int) {
	t.Helper()
	rng := harness.Rand(seed, "wipe", 0)
	two := [2]tokens{}
	for i := range two {
		client := openHere(t, server.URL(), redstart.Config{})
		l, err := lockOf(client, 0)
		if err != nil {
			t.Fatal(err)
		}
		if two[i] = oursOf(l, nil); recipe != redstarts {
			two[i] = incrOf(client)
		}
	}
	do := func(args ...string) {
		if _, err := server.Do(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		ids := names("wiped", round%10, 1) // each again and again
		a := takeAll(t, two[0], ids)
		g.write(ids[0], a.tokens[ids[0]], fmt.Sprint("A", round), true)
		switch n := rng.IntN(40); {
		case n == 0 || round == 0:
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		case n < 10:
			do("FLUSHALL")
			do("SCRIPT", "FLUSH")
		case n < 20:
			do("DEL", "lock:{"+ids[0]+"}")
		default:
			do("FLUSHALL")
		}
		b := takeAll(t, two[1], ids)
		g.write(ids[0], b.tokens[ids[0]], fmt.Sprint("B", round), true)
		g.write(ids[0], a.tokens[ids[0]], fmt.Sprint("A", round), false)
		g.write(ids[0], b.tokens[ids[0]], fmt.Sprint("B", round), true)
		a.leave()
		b.leave()
		takeovers++
	}
	return takeovers
}

// failovers has a primary grant locks of which its replicas hear nothing, and
// then be replaced by one of them. twin gets the tokens of INCR in the same
// failovers. beside counts the older holders who believed in their leases when
// the next had theirs.
func failovers(t *testing.T, l redstarttest.Launcher, g, twin *ground, rounds, locks int) (takeovers, beside int) {
	t.Helper()
	d := topology.RunSentinel(t, topology.SentinelConfig{Path: l.Path, Proxies: true})
	var clients [2]*redstart.Client
	var ours [2]tokens
	var alive sync.Map
	for i := range clients {
		clients[i] = openHere(t, d.URL(), redstart.Config{})
		locks, err := lockOf(clients[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		if ours[i] = oursOf(locks, nil); i == 0 {
			ours[i] = oursOf(locks, &alive)
		}
	}
	for round := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ids := names("failover", round, locks)
		takeAll(t, ours[1], ids).leave()
		takeAll(t, incrOf(clients[1]), ids)
		old, err := d.Primary(ctx)
		if err != nil {
			t.Fatal(err)
		}
		replicas, err := d.Replicas(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, replica := range replicas {
			redstarttest.Eventually(t, time.Minute, "a replica has the counters", func() bool {
				for _, id := range ids {
					if v, err := replica.Do(ctx, "GET", "naive:{"+id+"}:token"); err != nil || v != "1" {
						return false
					}
				}
				return true
			})
		}
		d.Links().Isolate(old)
		isolated := time.Now()
		a, incr := takeAll(t, ours[0], ids), takeAll(t, incrOf(clients[0]), ids)
		t.Logf("the grants of which nobody knows were made within %v", time.Since(isolated))
		for _, id := range ids {
			g.write(id, a.tokens[id], "A", true)
			twin.write(id, incr.tokens[id], "A", true)
		}
		kill := round%2 == 1
		if kill {
			err = old.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
		addr, _, err := d.WaitPromoted(ctx, old.Announced())
		if err != nil {
			t.Fatal(err)
		}
		// B's client may still speak to the old primary, which would say that A holds
		// them: it waits until the client has left it.
		b := takeAll(t, ours[1], ids)
		incrB := takeAll(t, incrOf(clients[1]), ids)
		for _, id := range ids {
			if lease, ok := alive.Load(id); ok && lease.(*lock.Lease).Context().Err() == nil {
				beside++
			}
			for range 2 {
				g.write(id, b.tokens[id], "B", true)
				g.write(id, a.tokens[id], "A", false)
				twin.write(id, incrB.tokens[id], "B", true)
				twin.write(id, incr.tokens[id], "A", false)
			}
		}
		a.leave()
		b.leave()
		if kill {
			err = old.Restart(ctx)
		}
		d.Links().Heal()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s took over", addr)
		takeovers += locks
	}
	return takeovers, beside
}

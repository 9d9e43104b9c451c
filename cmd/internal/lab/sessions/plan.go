package sessions

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	users = 2000 // up to
	skew  = 1.1
	// outOf: of so many writes one is a logout, which ends a session.
	outOf = 25
	// ttl is how long a session lives from its last write.
	ttl = 30 * time.Minute
	// documentSize is that of a session's JSON, about.
	documentSize = 1024
)

// op is one write: a session as it is from now on, or its end.
type op struct {
	// n is its number. Those of one session rise, since they are written one after the other.
	n int64
	// user has one session at a time, of which id is the name.
	user int
	id   string
	out  bool
}

// plan deals out the writes of a seed, the same in every process.
type plan struct {
	rng  *rand.Rand
	zipf *rand.Zipf
	// ended is how many sessions each user has ended.
	ended []int
	n     int64
}

func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 0x73657373)) //nolint:gosec // chance, not secrets
	return &plan{rng: rng, zipf: rand.NewZipf(rng, skew, 8, users-1), ended: make([]int, users)}
}

// next is the next write. Numbers begin at 1.
func (p *plan) next() op {
	p.n++
	user := int(p.zipf.Uint64()) //nolint:gosec // below users
	o := op{n: p.n, user: user, id: fmt.Sprintf("u%d-%d", user+1, p.ended[user]+1), out: p.rng.IntN(outOf) == 0}
	if o.out {
		p.ended[user]++
	}
	return o
}

// sessions counts those that the first n writes are about.
func sessionsOf(seed uint64, n int) int {
	p, seen := newPlan(seed), map[string]bool{}
	for range n {
		seen[p.next().id] = true
	}
	return len(seen)
}

// Session is what a service keeps of somebody who is logged in.
type Session struct {
	ID   string `json:"id"`
	User string `json:"user"`
	// Seq is the number of the write that left it so.
	Seq     int64     `json:"seq"`
	Expires time.Time `json:"expires"`
	Locale  string    `json:"locale"`
	Token   string    `json:"csrf_token"`
	Cart    []item    `json:"cart"`
	Seen    []string  `json:"last_seen"`
	Notes   string    `json:"notes"`
}

type item struct {
	Article string `json:"article"`
	Count   int    `json:"count"`
}

// document is the session after a write. About a KiB as JSON.
func (o op) document() Session {
	s := Session{
		ID: o.id, User: fmt.Sprintf("user%d@example.org", o.user+1), Seq: o.n, Expires: time.Now().Add(ttl).Truncate(time.Millisecond),
		Locale: []string{"en", "de", "fr", "ja"}[o.user%4], Token: fmt.Sprintf("%032x", o.n*0x9e3779b9),
	}
	for i := range o.n%4 + 1 {
		s.Cart = append(s.Cart, item{fmt.Sprintf("article-%d", (o.n+i*37)%500), int(i) + 1})
		s.Seen = append(s.Seen, fmt.Sprintf("/shop/article-%d", (o.n*7+i)%500))
	}
	text, err := json.Marshal(s)
	if err == nil { // it always is
		s.Notes = strings.Repeat("x", max(documentSize-len(text), 0))
	}
	return s
}

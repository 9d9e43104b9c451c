package musicstore

import (
	"sync"
	"sync/atomic"
	"time"
)

// order numbers the commits that have returned. A reader takes the number before it begins.
type order struct{ n atomic.Int64 }

// rising is a number in the database that transactions only raise, each by one: what it was at least when a read began, and what it can
// be at most when the read has ended.
type rising struct {
	mu      sync.Mutex
	at0     int64
	most    int64 // all that was ever about to be committed included
	commits []committed
}

type committed struct {
	n   int64 // by the order
	at  time.Time
	sum int64
}

func newRising(n int64) *rising { return &rising{at0: n, most: n} }

// intend notes that a commit is about to raise it by one.
func (r *rising) intend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most++
}

// raise notes that a commit which raised it has returned.
func (r *rising) raise(o *order) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.at0
	if n := len(r.commits); n > 0 {
		sum = r.commits[n-1].sum
	}
	r.commits = append(r.commits, committed{o.n.Add(1), time.Now(), sum + 1})
}

// floor is the least that a read may show which began when so many commits had returned.
func (r *rising) floor(n int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	least := r.at0
	for _, c := range r.commits {
		if c.n > n {
			break
		}
		least = c.sum
	}
	return least
}

// judge tells whether a read that began when n commits had returned, and saw v, saw too little, and then since when that was
// out of date, or more than anybody has committed.
func (r *rising) judge(n, v int64) (since time.Time, stale, phantom bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.commits {
		if c.n > n {
			break
		}
		if v < c.sum {
			return c.at, true, false
		}
	}
	return time.Time{}, v < r.at0, v > r.most
}

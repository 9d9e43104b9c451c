package cache

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/wake"
)

// told asks over connections on which the servers tell of what was asked for: in
// a cluster some tags lie at other nodes than the entry.
type told struct {
	session   *wake.Session
	elsewhere map[string]*wake.Session // by key
}

// Do sends one command.
func (t told) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return t.DoMulti(ctx, cmd)[0]
}

// DoMulti sends several, those of one connection together.
func (t told) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	if len(t.elsewhere) == 0 {
		return t.session.Do(ctx, commands...)
	}
	parts := map[*wake.Session][]int{}
	for i := range commands {
		s := t.session
		if other := t.elsewhere[commands[i].Commands()[1]]; other != nil {
			s = other
		}
		parts[s] = append(parts[s], i)
	}
	results := make([]rueidis.RedisResult, len(commands))
	for s, at := range parts {
		part := make([]rueidis.Completed, len(at))
		for j, i := range at {
			part[j] = commands[i]
		}
		for j, r := range s.Do(ctx, part...) {
			results[at[j]] = r
		}
	}
	return results
}

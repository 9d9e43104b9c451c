package shard

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// part is what one shard gets of a command that goes to several.
type part struct {
	to   int
	keys []string
	at   []int // of each key: which of the command's keys it is
}

// split divides the keys of a command by their shards, in order of appearance.
func (c *Client) split(words []string, s *spec) []part {
	var parts []part
	place := make([]int, len(c.nodes)) // of each shard: its part, plus one
	for i, k := range s.keys(words) {
		to := c.ownerOf(k)
		if place[to] == 0 {
			parts = append(parts, part{to: to})
			place[to] = len(parts)
		}
		p := &parts[place[to]-1]
		p.keys, p.at = append(p.keys, k), append(p.at, i)
	}
	return parts
}

// lane is what one shard gets of a batch.
type lane struct {
	cmds []rueidis.Completed
	put  []*rueidis.RedisResult // where each result belongs
}

func (l *lane) add(cmd rueidis.Completed, put *rueidis.RedisResult) {
	l.cmds, l.put = append(l.cmds, cmd), append(l.put, put)
}

// doMulti sends each command where its route says, the shards at once.
func (c *Client) doMulti(ctx context.Context, multi []rueidis.Completed, routes []route) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, len(multi))
	lanes := make([]lane, len(c.nodes))
	var after []func() // in order, once all have answered
	for i, cmd := range multi {
		r := routes[i]
		switch {
		case r.err != nil:
			results[i] = rueidis.NewErrorResult(r.err)
		case r.to >= 0:
			lanes[r.to].add(cmd, &results[i])
		case r.spec.kind == anyone:
			after = append(after, func() { results[i] = c.ask(ctx, cmd.Commands()) })
		default:
			words := append([]string(nil), cmd.Commands()...) // the client recycles a command with its reply
			parts := c.partsOf(words, r.spec)
			answers := make([]rueidis.RedisResult, len(parts))
			for j, p := range parts {
				lanes[p.to].add(c.partial(words, r.spec, p), &answers[j])
			}
			after = append(after, func() { results[i] = r.spec.merged(parts, answers) })
		}
	}
	if mayBeAbsent(routes) { // who is away is not waited for
		c = c.FailFast()
	}
	c.drive(ctx, lanes)
	for _, f := range after {
		f()
	}
	return results
}

// mayBeAbsent reports whether no shard that is away matters to the answers.
func mayBeAbsent(routes []route) bool {
	for _, r := range routes {
		if r.err != nil || r.spec.merge != sameSaid {
			return false
		}
	}
	return true
}

// drive sends every lane's commands, the last lane's from this goroutine.
func (c *Client) drive(ctx context.Context, lanes []lane) {
	var wg sync.WaitGroup
	last := -1
	send := func(to int) {
		for i, r := range c.sendMulti(ctx, to, lanes[to].cmds) {
			*lanes[to].put[i] = r
		}
	}
	for to := range lanes {
		if len(lanes[to].cmds) == 0 {
			continue
		}
		if previous := last; previous >= 0 {
			wg.Go(func() { send(previous) })
		}
		last = to
	}
	if last >= 0 {
		send(last)
	}
	wg.Wait()
}

// partsOf divides a command that goes to several shards.
func (c *Client) partsOf(words []string, s *spec) []part {
	if s.kind == split {
		return c.split(words, s)
	}
	parts := make([]part, len(c.nodes))
	for i := range parts {
		parts[i].to = i
	}
	return parts
}

// partial is the command for one part.
func (c *Client) partial(words []string, s *spec, p part) rueidis.Completed {
	if s.kind != split {
		return c.builder.Arbitrary(words...).Build()
	}
	return c.builder.Arbitrary(words[:s.first]...).Keys(p.keys...).Args(words[len(words)+s.last+1:]...).ReadOnly()
}

// ask asks one shard after the other what any of them answers alike, until one
// is there.
func (c *Client) ask(ctx context.Context, words []string) rueidis.RedisResult {
	fast := c.FailFast()
	var r rueidis.RedisResult
	for to := range c.nodes {
		r = fast.send(ctx, to, c.builder.Arbitrary(words...).Build())
		if r.Error() == nil || !redstart.Away(r.Error()) {
			break
		}
	}
	return r
}

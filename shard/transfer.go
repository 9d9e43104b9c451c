package shard

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// batch moves keys from one shard to another, in pipelines of at most BatchBytes.
func (c *copier) batch(ctx context.Context, from, to string, keys []string) (conflicts int64, err error) {
	client := c.cfg.Shards[from]
	cmds := make([]rueidis.Completed, len(keys))
	for i, k := range keys {
		cmds[i] = client.B().MemoryUsage().Key(k).Build()
	}
	begin, bytes := 0, int64(0)
	for i, r := range client.DoMulti(ctx, cmds...) {
		size, _ := r.AsInt64() // 0 where the server cannot tell: then only the number of keys is bounded
		if err := r.NonRedisError(); err != nil {
			return conflicts, copyError(from, err)
		}
		if i > begin && bytes+size > c.cfg.BatchBytes {
			n, err := c.move(ctx, from, to, keys[begin:i])
			if err != nil {
				return conflicts, err
			}
			conflicts += n
			begin, bytes = i, 0
		}
		bytes += size
	}
	n, err := c.move(ctx, from, to, keys[begin:])
	return conflicts + n, err
}

// value is a key's contents as DUMP gives them.
type value struct {
	key, dump string
	ttl       int64 // ms; 0: none
}

// move moves keys: the target has them before the source loses them.
func (c *copier) move(ctx context.Context, from, to string, keys []string) (conflicts int64, err error) {
	values, err := c.read(ctx, from, keys)
	if err != nil {
		return 0, err
	}
	done := Copied{Gone: int64(len(keys) - len(values))}
	target := c.cfg.Shards[to]
	cmds := make([]rueidis.Completed, len(values))
	for i, v := range values {
		done.Bytes += int64(len(v.dump))
		restore := target.B().Restore().Key(v.key).Ttl(v.ttl).SerializedValue(v.dump)
		if c.cfg.Conflict == SourceWins {
			cmds[i] = restore.Replace().Build()
		} else {
			cmds[i] = restore.Build()
		}
	}
	var finished []string
	var failed error
	for i, r := range doMulti(ctx, target, cmds) {
		err := r.Error()
		switch {
		case err == nil:
			done.Moved++
			finished = append(finished, values[i].key)
		case busyKey(err):
			same, err := c.alike(ctx, from, to, values[i])
			switch {
			case err != nil:
				failed = err
			case same:
				done.Found++
				finished = append(finished, values[i].key)
			default:
				done.Conflicts++
				if c.cfg.Conflict == TargetWins {
					finished = append(finished, values[i].key)
				}
			}
		case failed == nil:
			failed = copyError(to, err)
		}
	}
	if err := c.drop(ctx, from, finished); failed == nil {
		failed = err
	}
	c.add(done, false)
	return done.Conflicts, failed
}

// read gives what the keys hold and what is left of their TTL. Keys that have
// ended are left out.
func (c *copier) read(ctx context.Context, from string, keys []string) ([]value, error) {
	client := c.cfg.Shards[from]
	cmds := make([]rueidis.Completed, 0, 2*len(keys))
	for _, k := range keys {
		cmds = append(cmds, client.B().Dump().Key(k).Build(), client.B().Pttl().Key(k).Build())
	}
	results := doMulti(ctx, client, cmds)
	values := make([]value, 0, len(keys))
	for i, k := range keys {
		dump, err := results[2*i].ToString()
		if rueidis.IsRedisNil(err) {
			continue
		}
		ttl, err2 := results[2*i+1].AsInt64()
		if err == nil {
			err = err2
		}
		if err != nil {
			return nil, copyError(from, err)
		}
		if ttl, there := restored(ttl); there {
			values = append(values, value{k, dump, ttl})
		}
	}
	return values, nil
}

// restored is what RESTORE calls the TTL that PTTL gives, in milliseconds; false
// for a key that has ended.
func restored(pttl int64) (int64, bool) {
	switch pttl {
	case -2:
		return 0, false
	case -1:
		return 0, true // for good
	case 0:
		return 1, true // less than a millisecond, which is not for good
	default:
		return pttl, true
	}
}

// drop deletes keys on the source.
func (c *copier) drop(ctx context.Context, from string, keys []string) error {
	if c.cfg.Keep || len(keys) == 0 {
		return nil
	}
	client := c.cfg.Shards[from]
	if err := client.Do(ctx, client.B().Unlink().Key(keys...).Build()).Error(); err != nil {
		return copyError(from, err)
	}
	return nil
}

func doMulti(ctx context.Context, client *redstart.Client, cmds []rueidis.Completed) []rueidis.RedisResult {
	if len(cmds) == 0 {
		return nil
	}
	return client.DoMulti(ctx, cmds...)
}

func busyKey(err error) bool {
	re, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(re.Error(), "BUSYKEY")
}

// alike reports whether the target has the same contents: first by DUMP, then,
// since a large hash or set is written in an order that only its server knows,
// and versions of servers write differently, by the elements. The TTL plays no
// part. A key that has ended on the source is alike: there is nothing to move.
func (c *copier) alike(ctx context.Context, from, to string, v value) (bool, error) {
	target := c.cfg.Shards[to]
	dump, err := target.Do(ctx, target.B().Dump().Key(v.key).Build()).ToString()
	if err == nil && dump == v.dump {
		return true, nil
	}
	if err != nil && !rueidis.IsRedisNil(err) {
		return false, copyError(to, err)
	}
	was, err := contents(ctx, c.cfg.Shards[from], v.key)
	if err != nil {
		return false, copyError(from, err)
	}
	is, err := contents(ctx, target, v.key)
	if err != nil {
		return false, copyError(to, err)
	}
	return was[0] == "none" || was[0] != "" && slices.Equal(was, is), nil
}

// contents is the type of a key and its elements, in an order that does not
// depend on the server; a type that is not known here is "".
func contents(ctx context.Context, c *redstart.Client, k string) ([]string, error) {
	typ, err := c.Do(ctx, c.B().Type().Key(k).Build()).ToString()
	if err != nil {
		return nil, err
	}
	list := []string{typ}
	add := func(more []string, err error) ([]string, error) { return append(list, more...), err }
	switch typ {
	case "none":
		return list, nil
	case "string":
		s, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString()
		return add([]string{s}, err)
	case "list":
		return add(c.Do(ctx, c.B().Lrange().Key(k).Start(0).Stop(-1).Build()).AsStrSlice())
	case "set":
		members, err := c.Do(ctx, c.B().Smembers().Key(k).Build()).AsStrSlice()
		slices.Sort(members)
		return add(members, err)
	case "hash":
		fields, err := c.Do(ctx, c.B().Hgetall().Key(k).Build()).AsStrMap()
		return add(flat(fields), err)
	case "zset":
		members, err := c.Do(ctx, c.B().Zrange().Key(k).Min("0").Max("-1").Withscores().Build()).AsZScores()
		for _, m := range members {
			list = append(list, m.Member, strconv.FormatFloat(m.Score, 'g', -1, 64))
		}
		return list, err
	default: // streams have consumers, modules their own types: only DUMP knows
		return []string{""}, nil
	}
}

func flat(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for f := range m {
		list = append(list, f)
	}
	slices.Sort(list)
	all := make([]string, 0, 2*len(m))
	for _, f := range list {
		all = append(all, f, m[f])
	}
	return all
}

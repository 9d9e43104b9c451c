package redstart

import (
	"context"
	"crypto/sha1" //nolint:gosec // the server names scripts by SHA-1
	"encoding/hex"
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/outcome"
)

// Script is a Lua script that the server runs in one step. It travels by its
// hash (EVALSHA) and, whenever the server does not know it (first use,
// restart, failover, SCRIPT FLUSH), once by its text, in the same call: the
// caller never sees NOSCRIPT.
//
// A script is the answer when a decision and the writes that follow from it
// must be one step. It is not when one command does it already (SET NX GET,
// GETDEL, INCRBY), when it would run long (it blocks the whole server), when
// its keys are not known beforehand or lie in several slots, or when its logic
// changes with every release: then it hides from the type checker, from the
// debugger and from review.
type Script struct {
	name, text, sha string
}

// NewScript makes a script of its Lua text; name is what events call it.
// Declare every key in KEYS, take the time only from TIME, and check
// everything before the first write: Lua does not roll back.
func NewScript(name, text string) *Script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return &Script{name: name, text: text, sha: hex.EncodeToString(sum[:])}
}

// Name is the script's name.
func (s *Script) Name() string { return s.name }

// Exec runs the script: one round trip, two when the server must be told the
// text. OutcomeOf says of an error raised half way that it is Unknown.
func (s *Script) Exec(ctx context.Context, c *Client, keys, args []string) rueidis.RedisResult {
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(&Error{Op: "redstart: run script", Template: s.name, Outcome: NotApplied, Err: err})
	}
	r := c.do(ctx, c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build())
	if unknownScript(r.Error()) {
		call(c.core.cfg.Events.ScriptLoad, ScriptInfo{Name: s.name})
		r = c.do(ctx, c.B().Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build())
	}
	return r
}

// Command builds the command that runs the script, for DoMulti among others.
func (s *Script) Command(c *Client, keys, args []string) rueidis.Completed {
	if _, ok := c.core.scripts.Load(s.sha); !ok {
		c.core.scripts.LoadOrStore(s.sha, &loaded{script: s})
	}
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// loaded is a script registered with a client.
type loaded struct {
	script *Script
	epoch  atomic.Uint64 // one more than the epoch in which the server was last seen to know it
}

const evalsha = "EVALSHA"

func isScript(cmd *rueidis.Completed) bool {
	return cmd.Commands()[0] == evalsha
}

// scriptOf finds the registered script that cmd runs and copies its arguments
// (numkeys, keys, args): the client recycles the command with its reply.
func (c *core) scriptOf(cmd *rueidis.Completed) (*loaded, []string) {
	words := cmd.Commands()
	if words[0] != evalsha || len(words) < 3 {
		return nil, nil
	}
	v, ok := c.scripts.Load(words[1])
	if !ok {
		return nil, nil // not ours: the caller sees what the server says
	}
	return v.(*loaded), append(make([]string, 0, len(words)-2), words[2:]...)
}

// whole is the command that runs the script by its text.
func (c *Client) whole(l *loaded, args []string) rueidis.Completed {
	keys, _ := strconv.Atoi(args[0])
	keys = min(max(keys, 0), len(args)-1)
	call(c.core.cfg.Events.ScriptLoad, ScriptInfo{Name: l.script.name})
	return c.B().Eval().Script(l.script.text).Numkeys(int64(keys)).Key(args[1 : 1+keys]...).Arg(args[1+keys:]...).Build()
}

// runScript sends a script by its hash, by its text when that is unknown.
func (c *Client) runScript(ctx context.Context, cmd rueidis.Completed, l *loaded, args []string) rueidis.RedisResult {
	epoch := c.core.epoch.Load()
	r := c.do(ctx, cmd)
	if unknownScript(r.Error()) {
		r = c.do(ctx, c.whole(l, args))
	}
	if r.NonRedisError() == nil {
		l.epoch.Store(epoch + 1)
	}
	return r
}

// runScripts sends a batch in which scripts occur. Those that the server may
// not know yet are loaded first, so that the order of the batch holds.
func (c *Client) runScripts(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	type item struct {
		l    *loaded
		args []string
	}
	items := make([]item, len(multi))
	var unsure []*loaded
	transaction := false
	epoch := c.core.epoch.Load()
	for i := range multi {
		items[i].l, items[i].args = c.core.scriptOf(&multi[i])
		transaction = transaction || multi[i].Commands()[0] == "MULTI"
		if l := items[i].l; l != nil && l.epoch.Load() != epoch+1 {
			unsure = append(unsure, l)
		}
	}
	if transaction {
		sent := append([]rueidis.Completed(nil), multi...)
		for i, it := range items {
			if it.l != nil {
				sent[i] = c.whole(it.l, it.args)
			}
		}
		return c.doMulti(ctx, sent)
	}
	if err := c.load(ctx, unsure, epoch); err != nil {
		return failAll(len(multi), err)
	}
	results := c.doMulti(ctx, multi)
	var again []rueidis.Completed
	var at []int
	for i, it := range items {
		if it.l != nil && unknownScript(results[i].Error()) {
			again, at = append(again, c.whole(it.l, it.args)), append(at, i)
		}
	}
	if len(again) > 0 {
		for j, r := range c.doMulti(ctx, again) {
			results[at[j]] = r
		}
	}
	return results
}

// load tells the server the scripts, each once. Nothing of the batch has been
// sent yet, so a failure is NotApplied.
func (c *Client) load(ctx context.Context, scripts []*loaded, epoch uint64) error {
	seen := map[*loaded]bool{}
	for _, l := range scripts {
		if seen[l] {
			continue
		}
		seen[l] = true
		call(c.core.cfg.Events.ScriptLoad, ScriptInfo{Name: l.script.name})
		if err := c.do(ctx, c.B().ScriptLoad().Script(l.script.text).Build()).Error(); err != nil {
			return &Error{Op: "redstart: load script", Template: l.script.name, Outcome: NotApplied, Err: err}
		}
		l.epoch.Store(epoch + 1)
	}
	return nil
}

func unknownScript(err error) bool {
	var re *rueidis.RedisError
	return errors.As(err, &re) && !re.IsNil() && outcome.Code(re.Error()) == "NOSCRIPT"
}

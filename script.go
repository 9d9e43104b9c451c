package redstart

import (
	"context"
	"crypto/sha1" //nolint:gosec // the server names scripts by SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/command"
	"github.com/redstart-go/redstart/internal/guard"
	"github.com/redstart-go/redstart/internal/outcome"
	"github.com/redstart-go/redstart/key"
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
	if err := c.core.open(ctx, "redstart: run script", s.name); err != nil {
		return rueidis.NewErrorResult(err)
	}
	if err := c.core.oneSlot(s.name, keys); err != nil {
		return rueidis.NewErrorResult(err)
	}
	r := c.doScript(ctx, c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build())
	if unknownScript(r.Error()) {
		call(c.core.cfg.Events.ScriptLoad, ScriptInfo{Name: s.name})
		r = c.doScript(ctx, c.B().Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build())
	}
	return r
}

// Command builds the command that runs the script, for DoMulti among others.
func (s *Script) Command(c *Client, keys, args []string) rueidis.Completed {
	if c.core.scripts.Load(s.sha) == nil {
		c.core.scripts.Store(s.sha, &loaded{script: s})
	}
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// oneSlot refuses keys that lie in several slots of a cluster, before anything
// is sent.
func (c *core) oneSlot(script string, keys []string) error {
	if !c.cluster() || len(keys) < 2 {
		return nil
	}
	slots := make([]string, len(keys))
	same := true
	for i, k := range keys {
		slots[i] = strconv.Itoa(int(key.Slot(k)))
		same = same && slots[i] == slots[0]
	}
	if same {
		return nil
	}
	return &Error{Op: "redstart: run script", Template: script, Code: "CROSSSLOT", Outcome: NotApplied, Err: fmt.Errorf(
		"%w: the keys lie in the slots %s; give them one hash tag", ErrRefused, strings.Join(slots, ", "))}
}

// loaded is a script registered with a client.
type loaded struct {
	script *Script
	epoch  atomic.Uint64 // one more than the connections made when the server was last seen to know it
}

// scripts are those registered, by their hash. Few are added, all calls look.
type scripts struct {
	known atomic.Pointer[map[string]*loaded]
}

// Load gives a script; nil for none.
func (s *scripts) Load(sha string) *loaded {
	known := s.known.Load()
	if known == nil {
		return nil
	}
	return (*known)[sha]
}

// Store registers a script, unless one of that hash is.
func (s *scripts) Store(sha string, l *loaded) {
	for {
		known := s.known.Load()
		more := map[string]*loaded{sha: l}
		if known != nil {
			maps.Copy(more, *known)
		}
		if s.known.CompareAndSwap(known, &more) {
			return
		}
	}
}

const evalsha = "EVALSHA"

// scriptOf finds the registered script that cmd runs; nil for one that is not
// ours: the caller sees what the server says.
func (c *core) scriptOf(cmd *rueidis.Completed) *loaded {
	words := cmd.Commands()
	if words[0] != evalsha || len(words) < 3 {
		return nil
	}
	return c.scripts.Load(words[1])
}

// whole is the command that runs the script by its text. args are numkeys, keys
// and arguments.
func (c *Client) whole(l *loaded, args []string) rueidis.Completed {
	keys, _ := strconv.Atoi(args[0])
	keys = min(max(keys, 0), len(args)-1)
	call(c.core.cfg.Events.ScriptLoad, ScriptInfo{Name: l.script.name})
	return c.B().Eval().Script(l.script.text).Numkeys(int64(keys)).Key(args[1 : 1+keys]...).Arg(args[1+keys:]...).Build()
}

// runScript sends a script by its hash, by its text when that is unknown.
func (c *Client) runScript(ctx context.Context, cmd rueidis.Completed, l *loaded) rueidis.RedisResult {
	epoch := c.core.conns.Made()
	k := command.Keep(&cmd)
	r := c.doKept(ctx, cmd, k)
	if err := r.Error(); err != nil {
		if r = judged(r); unknownScript(err) {
			r = c.doScript(ctx, c.whole(l, k.Words[2:]))
		}
	}
	k.Drop()
	if l.epoch.Load() != epoch+1 && r.Error() == nil { // all callers share it
		l.epoch.Store(epoch + 1)
	}
	return r
}

// doScript sends a command that runs a script. What its error reply says of
// the effect is for OfScript to judge.
func (c *Client) doScript(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	k := command.Keep(&cmd)
	r := c.doKept(ctx, cmd, k)
	k.Drop()
	if r.Error() != nil {
		r = judged(r)
	}
	return r
}

// judged marks an error reply to a script as Unknown, unless nothing can have
// been written.
func judged(r rueidis.RedisResult) rueidis.RedisResult {
	err := r.Error()
	if err == nil {
		return r
	}
	text, ok := reply(err)
	if !ok || outcome.OfScript(text) == NotApplied {
		return r
	}
	return rueidis.NewErrorResult(&scriptError{err})
}

// scriptError is an error reply to a script that may have written before.
type scriptError struct{ err error }

func (e *scriptError) Error() string    { return describe(e.err) }
func (e *scriptError) Unwrap() error    { return e.err }
func (e *scriptError) Outcome() Outcome { return Unknown }

// runScripts sends a batch in which scripts occur. Those that the server may
// not know yet are loaded first, so that the order of the batch holds.
func (c *Client) runScripts(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	type item struct {
		l    *loaded
		args []string
	}
	items := make([]item, len(multi))
	ran := make([]bool, len(multi))
	var unsure []*loaded
	transaction := false
	epoch := c.core.conns.Made()
	for i := range multi {
		ran[i] = command.RunsCode(&multi[i])
		items[i].l = c.core.scriptOf(&multi[i])
		transaction = transaction || strings.EqualFold(multi[i].Commands()[0], "MULTI")
		if l := items[i].l; l != nil {
			items[i].args = slices.Clone(multi[i].Commands()[2:]) // the command is recycled with its reply
			if l.epoch.Load() != epoch+1 {
				unsure = append(unsure, l)
			}
		}
	}
	err := error(nil)
	if !transaction {
		err = c.load(ctx, unsure, epoch)
	}
	if _, refused := reply(err); transaction || refused {
		sent := append([]rueidis.Completed(nil), multi...)
		for i, it := range items {
			if it.l != nil {
				sent[i] = c.whole(it.l, it.args)
			}
		}
		return judgedMulti(c.doMulti(ctx, sent), ran)
	}
	if err != nil {
		return guard.FailAll(len(multi), err)
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
	return judgedMulti(results, ran)
}

// judgedMulti is judged for those of a batch that ran code.
func judgedMulti(results []rueidis.RedisResult, ran []bool) []rueidis.RedisResult {
	for i := range results {
		if ran[i] {
			results[i] = judged(results[i])
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
			err = NewError("redstart: load script", l.script.name, "", err)
			err.(*Error).Outcome = NotApplied //nolint:errorlint // made a line above
			return err
		}
		l.epoch.Store(epoch + 1)
	}
	return nil
}

func unknownScript(err error) bool {
	if err == nil { // nearly always: looking into one allocates
		return false
	}
	var re *rueidis.RedisError
	return errors.As(err, &re) && !re.IsNil() && strings.HasPrefix(re.Error(), "NOSCRIPT No matching script")
}

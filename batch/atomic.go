package batch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/resilience"
)

// Atomic runs commands as one step (MULTI … EXEC): all of them, with nothing of
// anyone else in between, or none. A pipeline, which Do sends, promises
// neither. The keys lie in one slot, on a single server too, so that a program
// runs everywhere: give them one hash tag ({user:7}:cart, {user:7}:total).
//
// Redis does not roll back: a command that fails while they run (INCR on a
// list) fails alone, with an error in its Result, and the others stand. What
// the server refuses beforehand (an unknown command, no memory) refuses all.
//
// An error says that nothing was done (NotApplied), or that it is not known
// (the reply was lost: then all was done, or nothing). A step that surely did
// not run, because the server was away or a slot on its way, is tried again to
// ctx's deadline, for 10 s at most; one whose reply was lost only if every
// command is Idempotent.
//
// Cost: one round trip, on the connections that all share.
func Atomic(ctx context.Context, c *redstart.Client, commands ...Command) ([]Result, error) {
	const op = "redstart/batch: atomic"
	t := transaction{client: c, op: op, commands: commands}
	if err := t.check(nil); err != nil {
		return nil, err
	}
	return t.repeat(ctx, func() ([]Result, error) {
		return t.exec(ctx, c.DoMulti)
	})
}

// Reader runs a command that only reads, and at once, on the connection that
// watches.
type Reader func(cmd Command) rueidis.RedisResult

// AtomicWatch is Atomic for commands that depend on what they find: decide
// reads, and gives the commands, which run only if none of the watched keys has
// changed since before decide began; otherwise the error is ErrConflict and
// nothing was done. Trying again is the caller's choice: under contention a
// script (Eval) costs one round trip and never conflicts.
//
// decide gives no commands to do nothing; its error is returned as it is. It
// may be called again when the server was away. What it reads and does lies in
// the slot of the watched keys.
//
// Cost: three round trips and one for each read, on a connection of its own
// from the client's pool (Config.BlockingPool) meanwhile.
func AtomicWatch(ctx context.Context, c *redstart.Client, watch []string, decide func(read Reader) ([]Command, error)) ([]Result, error) {
	const op = "redstart/batch: atomic watch"
	t := transaction{client: c, op: op}
	if len(watch) == 0 {
		return nil, failure(op, "", &refusal{"no key to watch; use Atomic"}, redstart.NotApplied)
	}
	if err := t.check(watch); err != nil {
		return nil, err
	}
	return t.repeat(ctx, func() ([]Result, error) {
		d, giveBack := c.Dedicate()
		defer giveBack() // Dedicated would keep it if decide panicked
		return t.watched(ctx, d, watch, decide)
	})
}

// transaction is one call of Atomic or AtomicWatch.
type transaction struct {
	client   *redstart.Client
	op       string
	commands []Command
}

// check refuses what cannot be one step, before anything is sent.
func (t *transaction) check(watch []string) error {
	cluster := t.client.Mode() == rueidis.ClientModeCluster
	slots, seen := []string(nil), map[uint16]bool{}
	add := func(key string) {
		if slot := (&Command{Key: key}).slot(); key != "" && !seen[slot] {
			seen[slot] = true
			slots = append(slots, strconv.Itoa(int(slot)))
		}
	}
	for _, key := range watch {
		add(key)
	}
	for i := range t.commands {
		if err := t.commands[i].check(false); err != nil {
			return failure(t.op, t.commands[i].Key, err, redstart.NotApplied)
		}
		add(t.commands[i].Key)
	}
	switch {
	case len(slots) > 1:
		return &redstart.Error{Op: t.op, Code: "CROSSSLOT", Outcome: redstart.NotApplied, Err: &refusal{
			"the keys lie in the slots " + strings.Join(slots, ", ") + "; a step is done in one, give the keys one hash tag: {user:7}:cart, {user:7}:total",
		}}
	case len(slots) == 0 && cluster && len(t.commands) > 0:
		return failure(t.op, "", &refusal{"no command has a Key, so none of the cluster's nodes is the one to ask"}, redstart.NotApplied)
	}
	return nil
}

// repeat tries until the step ran, is not to be repeated, or the time is over.
func (t *transaction) repeat(ctx context.Context, try func() ([]Result, error)) ([]Result, error) {
	retry := patience(defaultWait)
	var series resilience.Attempts
	began, unsure := false, false
	for {
		results, err := try()
		if err == nil {
			return results, nil
		}
		unsure = unsure || redstart.OutcomeOf(err) == redstart.Unknown
		if t.repeatable(err) {
			if !began {
				began, series = true, retry.Begin()
			}
			if series.Again(ctx, err) {
				continue
			}
		}
		if own := (*decision)(nil); errors.As(err, &own) {
			return nil, own.err
		}
		if e := (*redstart.Error)(nil); unsure && errors.As(err, &e) {
			e.Outcome = redstart.Unknown
		}
		return nil, err
	}
}

func (t *transaction) repeatable(err error) bool {
	switch own := (*decision)(nil); {
	case errors.As(err, &own), !redstart.Away(err) && !redirects(err):
		return false
	case redstart.OutcomeOf(err) == redstart.NotApplied:
		return true
	}
	for _, cmd := range t.commands {
		if !cmd.Idempotent {
			return false
		}
	}
	return true
}

// watched is one attempt on a connection of its own.
func (t *transaction) watched(ctx context.Context, d rueidis.DedicatedClient, watch []string, decide func(Reader) ([]Command, error)) ([]Result, error) {
	watching := true
	defer func() {
		if !watching {
			return
		}
		// The connection goes back to the pool, and must not watch there.
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := d.Do(short, d.B().Unwatch().Build()).Error(); err != nil {
			d.Close()
		}
	}()
	if err := d.Do(ctx, d.B().Watch().Key(watch...).Build()).Error(); err != nil {
		return nil, failure(t.op, "", err, redstart.NotApplied)
	}
	slot := (&Command{Key: watch[0]}).slot()
	var failed error // the last read's
	commands, err := decide(func(cmd Command) rueidis.RedisResult {
		if err := cmd.check(false); err != nil {
			return rueidis.NewErrorResult(failure(t.op, cmd.Key, err, redstart.NotApplied))
		}
		if cmd.Key != "" && cmd.slot() != slot {
			return rueidis.NewErrorResult(t.elsewhere(&cmd, slot))
		}
		r := d.Do(ctx, t.build(&cmd, watch[0]))
		if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
			failed = err
		}
		return r
	})
	switch {
	case err != nil && failed != nil && errors.Is(err, failed): // the server's word, and nothing was written
		return nil, failure(t.op, "", err, redstart.NotApplied)
	case err != nil:
		return nil, &decision{err}
	case len(commands) == 0:
		return nil, nil
	}
	t.commands = commands
	if err := t.check(watch); err != nil {
		return nil, err
	}
	watching = false // EXEC ends it, and so does the loss of the connection
	results, err := t.exec(ctx, d.DoMulti)
	if err != nil && redstart.OutcomeOf(err) == redstart.NotApplied && !errors.Is(err, ErrConflict) {
		watching = true
	}
	return results, err
}

func (t *transaction) elsewhere(cmd *Command, slot uint16) error {
	return &redstart.Error{Op: t.op, Code: "CROSSSLOT", Outcome: redstart.NotApplied, Err: &refusal{
		fmt.Sprintf("the key lies in slot %d, the watched ones in %d; give them one hash tag", cmd.slot(), slot),
	}}
}

// build makes a command of the step; one without a key goes where the others do.
func (t *transaction) build(cmd *Command, home string) rueidis.Completed {
	built := cmd.build(t.client, false)
	if cmd.Key == "" && home != "" {
		built = built.SetSlot(home)
	}
	return built
}

// decision is the caller's own error on its way out.
type decision struct{ err error }

func (d *decision) Error() string             { return d.err.Error() }
func (d *decision) Unwrap() error             { return d.err }
func (d *decision) Outcome() redstart.Outcome { return redstart.NotApplied }

// exec sends the step and reads what the server says of it.
func (t *transaction) exec(ctx context.Context, send func(context.Context, ...rueidis.Completed) []rueidis.RedisResult) ([]Result, error) {
	if len(t.commands) == 0 {
		return nil, nil
	}
	home := ""
	for _, cmd := range t.commands {
		if home == "" {
			home = cmd.Key
		}
	}
	mark := func(verb string) rueidis.Completed {
		built := t.client.B().Arbitrary(verb).Build()
		if home != "" {
			built = built.SetSlot(home)
		}
		return built
	}
	multi := make([]rueidis.Completed, 0, len(t.commands)+2)
	multi = append(multi, mark("MULTI"))
	for i := range t.commands {
		multi = append(multi, t.build(&t.commands[i], home))
	}
	replies := send(ctx, append(multi, mark("EXEC"))...)

	last := len(replies) - 1
	ran, err := replies[last].ToArray()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, failure(t.op, "", ErrConflict, redstart.NotApplied)
	case err != nil:
		return nil, t.refused(replies, err)
	case len(ran) != len(t.commands):
		return nil, failure(t.op, "", errHalf, redstart.Unknown)
	}
	results := make([]Result, len(ran))
	for i, m := range ran {
		results[i] = Result{Index: i, Key: t.commands[i].Key}
		if err := m.Error(); err != nil && !rueidis.IsRedisNil(err) {
			results[i].Err = t.member(i, err)
			continue
		}
		results[i].Reply = m
	}
	return results, nil
}

// errHalf is not for Redis or Valkey to give.
var errHalf = errors.New("the server refused a command and ran others all the same: its transactions, or those of a proxy before it, are none")

// member is the failure of one command in a step that ran. A script's may have
// come after a write.
func (t *transaction) member(i int, err error) error {
	known := redstart.OutcomeOf(err)
	switch strings.ToUpper(t.commands[i].Words[0]) {
	case "EVAL", "EVALSHA", "FCALL":
		known = redstart.Unknown
	}
	return failure(t.op, t.commands[i].Key, err, known)
}

// refused is the failure of a whole step whose EXEC failed with err. The
// reason, if the server gave one, is what it said to the command that it
// refused.
func (t *transaction) refused(replies []rueidis.RedisResult, err error) error {
	var code *rueidis.RedisError
	if !errors.As(err, &code) { // no reply: nothing was sent, or nothing is known
		return failure(t.op, "", err, redstart.OutcomeOf(err))
	}
	if began := replies[0].Error(); began != nil {
		// Without MULTI what followed ran by itself, unless it was refused too.
		known := redstart.NotApplied
		for _, r := range replies[1 : len(replies)-1] {
			if redstart.OutcomeOf(r.Error()) != redstart.NotApplied {
				known = redstart.Unknown
			}
		}
		return failure(t.op, "", began, known)
	}
	for i, r := range replies[1 : len(replies)-1] {
		if said := r.Error(); said != nil {
			return failure(t.op, t.commands[i].Key, said, redstart.OutcomeOf(err))
		}
	}
	return failure(t.op, "", err, redstart.OutcomeOf(err))
}

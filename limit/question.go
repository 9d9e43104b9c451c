package limit

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// question is what one caller asks the server.
type question struct {
	key         string
	plan        plan
	least, most int64
	one         [1]string // what words gives for one key

	done     chan struct{} // has one place
	decision Decision
	err      error
}

var questions = sync.Pool{New: func() any { return &question{done: make(chan struct{}, 1)} }}

// drop gives back a question that nobody else can still hold.
func (q *question) drop() {
	*q = question{done: q.done}
	questions.Put(q)
}

// words are those of the script that answers.
func (q *question) words() (script *redstart.Script, keys, args []string) {
	if !q.simple() {
		return limitsScript, q.plan.keys(q.key), q.plan.args(q.least, q.most)
	}
	one := q.plan.policies[0]
	args = one.gcra[:]
	if q.most != 1 {
		args = []string{decimal(q.most * one.num), one.gcra[1]}
	}
	q.one[0] = q.key + one.suffix
	return gcraScript, q.one[:], args
}

// simple says that gcra.lua answers it.
func (q *question) simple() bool { return q.plan.simple && q.least == q.most && q.most > 0 }

// read is what the server said.
func (q *question) read(r rueidis.RedisResult) (Decision, error) {
	if q.simple() {
		reply, err := r.AsInt64()
		if err != nil {
			return Decision{}, err
		}
		return q.plan.policies[0].decision(q.most, reply), nil
	}
	reply, err := r.AsIntSlice()
	if err != nil {
		return Decision{}, err
	}
	return q.plan.decision(reply), nil
}

var errTimeout = errors.New("no decision within Config.Timeout")

// timeoutError is a server that did not answer in time.
type timeoutError struct {
	err     error
	outcome redstart.Outcome
}

func (e *timeoutError) Error() string { return errTimeout.Error() + ": " + e.err.Error() }
func (e *timeoutError) Unwrap() []error {
	return []error{errTimeout, redstart.ErrUnavailable, e.err}
}
func (e *timeoutError) Outcome() redstart.Outcome { return e.outcome }

// cause says of an error that it was the limiter's own patience that ended.
func cause(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(context.Cause(ctx), errTimeout) {
		return err
	}
	return &timeoutError{err, redstart.OutcomeOf(err)}
}

// errSilent is the answer while the server is suspected.
var errSilent error = silentError{}

type silentError struct{}

func (silentError) Error() string             { return "the server has not answered a moment ago" }
func (silentError) Outcome() redstart.Outcome { return redstart.NotApplied }
func (silentError) Unwrap() error             { return redstart.ErrUnavailable }

package limit

import (
	"context"
	"time"
)

// question is what one call wants to know of the server.
type question struct {
	ctx         context.Context
	key         string
	plan        plan
	least, most int64
	answers     chan answer // with room for one
}

// answer is what the server said to one question.
type answer struct {
	decision Decision
	err      error
}

// idle is after how long one who asks for others ends, at the latest twice that,
// when there was nothing to ask.
const idle = time.Second

// aside asks from another goroutine, since a connection that is being made, or
// whose queue is full, holds a call past its time. One that has nothing to do is
// taken where there is one: a new one would have to grow its stack at each call.
func (l *Limiter) aside(ctx context.Context, k string, p plan, least, most int64) (Decision, error) {
	q := question{ctx: ctx, key: k, plan: p, least: least, most: most}
	q.answers, _ = l.free.Get().(chan answer)
	if q.answers == nil {
		q.answers = make(chan answer, 1)
	}
	select {
	case l.questions <- q:
	default:
		if err := l.client.Go(func(background context.Context) { l.askAll(background, q) }); err != nil {
			<-l.places
			return Decision{}, err
		}
	}
	select {
	case a := <-q.answers:
		l.free.Put(q.answers)
		return a.decision, a.err
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	}
}

// askAll asks, and then for whoever comes, until nobody did for a while.
func (l *Limiter) askAll(background context.Context, q question) {
	var asked bool // since the pause began
	pause := time.NewTimer(idle)
	defer pause.Stop()
	for {
		var a answer
		a.decision, a.err = l.run(q.ctx, q.key, q.plan, q.least, q.most)
		<-l.places
		q.answers <- a
		asked = true
		q = question{} // nothing of it is kept while there is nothing to do
		for q.answers == nil {
			select {
			case q = <-l.questions:
			case <-background.Done():
				return
			case <-pause.C:
				if !asked {
					return
				}
				asked = false
				pause.Reset(idle)
			}
		}
	}
}

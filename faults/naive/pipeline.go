package naive

import (
	"context"

	"github.com/redis/rueidis"
)

// Pipeline is: put commands into a pipeline, execute it, and execute it again
// when that fails, at most three times.
type Pipeline struct {
	Client rueidis.Client
	Size   int // 0: all at once
}

// Exec is the recipe. What it says of one command it says of its whole
// pipeline: the replies, or the first error.
func (p Pipeline) Exec(ctx context.Context, commands [][]string, each func(i int, reply string, err error)) {
	size := p.Size
	if size == 0 {
		size = len(commands)
	}
	for begin := 0; begin < len(commands); begin += size {
		part := commands[begin:min(begin+size, len(commands))]
		replies, err := p.execute(ctx, part)
		for again := 0; err != nil && again < 3; again++ {
			replies, err = p.execute(ctx, part)
		}
		for i := range part {
			if err != nil {
				each(begin+i, "", err)
			} else {
				each(begin+i, replies[i], nil)
			}
		}
	}
}

func (p Pipeline) execute(ctx context.Context, commands [][]string) ([]string, error) {
	multi := make(rueidis.Commands, len(commands))
	for i, words := range commands {
		multi[i] = p.Client.B().Arbitrary(words...).Build()
	}
	replies := make([]string, len(commands))
	for i, r := range p.Client.DoMulti(ctx, multi...) {
		m, err := r.ToMessage()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		replies[i], _ = m.ToString() // a number is none of the replies that are looked at
	}
	return replies, nil
}

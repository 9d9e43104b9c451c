package journal

import (
	"context"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/keeps"
)

// admit refuses servers that may drop the journal, or that have not what its
// durability needs.
func (j *Journal[K, V]) admit() error {
	ctx, cancel := context.WithTimeout(context.Background(), j.client.Config().Timeout)
	defer cancel()
	d := j.cfg.Durability
	if d.level == waitAOF {
		s, err := j.client.Server(ctx)
		if err == nil {
			err = s.Require("redstart/journal: Durability", redstart.WaitAOF)
		}
		if err != nil {
			return err
		}
	}
	return keeps.Check(ctx, j.client, keeps.Terms{
		Eviction: j.cfg.AllowEviction, Unknown: j.cfg.UnknownEviction, AOF: d.level == everySecond || d.level == waitAOF,
	})
}

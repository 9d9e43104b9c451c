package stamp

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/held.lua
	heldText string
	//go:embed lua/hold.lua
	holdText string
	//go:embed lua/release.lua
	releaseText string

	hold    = redstart.NewScript("stamp/hold", heldText+holdText)
	release = redstart.NewScript("stamp/release", heldText+releaseText)
)

// Held are tags that are held: in the place of a tag's stamp stands who holds it
// and until when, with the stamp before it, so that no entry is alive and none
// that is stored becomes so. Several may hold a tag at once; it is free when the
// last has released it, or its time has come.
type Held struct {
	tags       *Tags
	labels     []Label
	name       string // 8 random bytes
	time, life time.Duration
}

// Hold holds tags for a time, which [Held.Extend] begins anew. life is how long
// their keys must live at least, zero for good. One script a tag, one round trip.
// After an error some of them may be held; Release them.
func (t *Tags) Hold(ctx context.Context, labels []Label, d, life time.Duration) (*Held, error) {
	h := &Held{tags: t, labels: labels, name: token()[:8], time: d, life: life}
	if life > 0 {
		h.life = max(life, 2*d)
	}
	_, err := h.Extend(ctx)
	return h, err
}

// Extend makes the time begin anew. whole says that no tag's hold had ended. It
// may be repeated.
func (h *Held) Extend(ctx context.Context) (whole bool, err error) {
	return h.run(ctx, func(l Label) rueidis.Completed {
		return hold.Command(h.tags.client, []string{l.Key}, []string{h.name, millis(h.time), millis(h.life)})
	})
}

// Release ends the hold, and with changed what carries the tags. noted: loads may
// be under way that do not know yet that they carry them. whole says that no tag's
// hold had ended before. Repeating it does no harm.
func (h *Held) Release(ctx context.Context, changed, noted bool) (whole bool, err error) {
	end := "0"
	if changed {
		end = "1"
	}
	if changed && noted {
		for _, l := range h.labels {
			if err := h.tags.ledger.Note(ctx, l.Name); err != nil {
				return false, err
			}
		}
	}
	return h.run(ctx, func(l Label) rueidis.Completed {
		return release.Command(h.tags.client, []string{l.Key}, []string{h.name, token(), millis(h.life), end})
	})
}

// Labels are the tags.
func (h *Held) Labels() []Label { return h.labels }

func (h *Held) run(ctx context.Context, command func(Label) rueidis.Completed) (whole bool, err error) {
	for range attempts {
		commands := make([]rueidis.Completed, len(h.labels))
		for i, l := range h.labels {
			commands[i] = command(l)
		}
		whole, err = true, nil
		for _, r := range h.tags.client.DoMulti(ctx, commands...) {
			n, bad := r.AsInt64()
			if bad != nil {
				err = bad
				break
			}
			whole = whole && n == 1
		}
		if err == nil || ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			break
		}
	}
	return whole && err == nil, err
}

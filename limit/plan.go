package limit

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/redstart-go/redstart/key"
)

// plan is a set of limits as the scripts want it.
type plan struct {
	policies []*policy
	simple   bool // gcra.lua serves it
}

func planOf(limits []Limit) plan {
	p := plan{policies: make([]*policy, len(limits))}
	for i, l := range limits {
		p.policies[i] = l.policy()
	}
	p.simple = len(limits) == 1 && p.policies[0].simple()
	return p
}

func (p plan) limits() []Limit {
	out := make([]Limit, len(p.policies))
	for i, l := range p.policies {
		out[i] = l.Limit
	}
	return out
}

// ever says whether n units can be there at all.
func (p plan) ever(n int64) error {
	if n <= 0 {
		return ErrUnits
	}
	for _, l := range p.policies {
		if n > l.most() && !l.Shadow {
			return fmt.Errorf("%w: %s has %d at most", ErrNever, l.Name, l.most())
		}
	}
	return nil
}

// keys are those of the limits of an id, whose own is k.
func (p plan) keys(k string) []string {
	out := make([]string, len(p.policies))
	for i, l := range p.policies {
		out[i] = k + l.suffix
	}
	return out
}

func (p plan) args(least, most int64) []string {
	out := make([]string, 2, 2+len(p.policies)*len(policy{}.args))
	out[0], out[1] = decimal(least), decimal(most)
	for _, l := range p.policies {
		out = append(out, l.args[:]...)
	}
	return out
}

// plans gives an id's plan.
type plans struct {
	fixed plan
	known sync.Map // Limit as it was given -> *policy
	size  atomic.Int64
}

// maxPlans bounds how many different limits are remembered.
const maxPlans = 10_000

// of prepares limits that were given for one call.
func (p *plans) of(limits []Limit) (plan, error) {
	out := plan{policies: make([]*policy, len(limits))}
	for i, l := range limits {
		known, ok := p.known.Load(l)
		if !ok || len(limits) > 1 {
			full, err := checked(limits)
			if err != nil {
				return plan{}, err
			}
			if !ok {
				known = full[i].policy()
				if p.size.Add(1) > maxPlans {
					p.known.Clear()
					p.size.Store(1)
				}
				p.known.Store(l, known)
			}
		}
		out.policies[i] = known.(*policy)
	}
	if len(limits) == 0 {
		_, err := checked(nil)
		return plan{}, err
	}
	out.simple = len(limits) == 1 && out.policies[0].simple()
	return out, nil
}

// plan gives the limits of an id.
func (l *Limiter) plan(op, id string) (plan, error) {
	if l.cfg.LimitsOf == nil {
		return l.plans.fixed, nil
	}
	p, err := l.plans.of(l.cfg.LimitsOf(id))
	if err != nil {
		return plan{}, l.refuse(op, fmt.Errorf("LimitsOf: %w", err))
	}
	return p, nil
}

// keys builds the keys of ids.
type keys struct {
	template    *key.Template
	head, after string
}

// longestSuffix is what a limit may add to a key.
const longestSuffix = 1 + maxName + len(":counter")

func keysOf(t *key.Template) (keys, error) {
	const id = "x"
	k, err := t.Key(id)
	if err != nil {
		return keys{}, err
	}
	if len(k)+longestSuffix+len(hashed(id)) > key.MaxLen {
		return keys{}, key.ErrTooLong
	}
	return keys{t, t.Prefix(), k[len(t.Prefix())+len(id):]}, nil
}

// of gives the key of an id. One that is too long for a key is hashed: refusing
// it would let whoever sends it pass where an error does.
func (ks keys) of(id string) string {
	if len(id) <= key.MaxLen-longestSuffix {
		if k, err := ks.template.Key(id); err == nil && len(k)+longestSuffix <= key.MaxLen {
			return k
		}
	}
	return ks.head + hashed(id) + ks.after
}

// hashed is a spelling that no id gives: its own '%' would be escaped.
func hashed(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "%sha256_" + base64.RawURLEncoding.EncodeToString(sum[:])
}

package httplimit

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/redstart-go/redstart/limit"
)

// Middleware limits the requests that pass through it. It is shared by all
// goroutines.
type Middleware struct {
	limiter *limit.Limiter
	cfg     Config
	last    atomic.Pointer[advert]
}

// advert is a RateLimit-Policy field and what it was made of, since it is
// mostly the same again.
type advert struct {
	limits []limit.Limit
	field  string
}

// New makes a middleware on a limiter. It sends nothing.
func New(limiter *limit.Limiter, cfg Config) (*Middleware, error) {
	cfg, err := cfg.withDefaults()
	if limiter == nil {
		err = errors.Join(errors.New("redstart/limit/httplimit: the limiter is missing"), err)
	}
	if err != nil {
		return nil, err
	}
	return &Middleware{limiter: limiter, cfg: cfg}, nil
}

// Handler gives next behind the limits: it sees the requests that pass. The
// fields are set before it is called, so it may change them, and the writer is
// handed on as it is. It suits whatever takes a func(http.Handler) http.Handler.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.Allow(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// Allow takes the request's units and sets the fields. True: go on. False: the
// request was answered. It is for frameworks that have another shape than
// [Middleware.Handler]. It costs one [limit.Limiter.Take].
func (m *Middleware) Allow(w http.ResponseWriter, r *http.Request) bool {
	id, n, err := m.ask(r)
	switch {
	case err != nil:
		return m.failed(w, r, nobody(), err)
	case n == 0:
		return true
	}
	limits, err := m.limiter.Limits(id)
	if err != nil {
		return m.failed(w, r, broken(), err)
	}
	d, err := m.limiter.Take(r.Context(), id, n)
	if errors.Is(err, limit.ErrNever) {
		m.advertise(w, limits)
		return m.denied(w, never(beyond(limits, n)), Info{Request: r, Decision: d, Policies: beyond(limits, n), Err: err})
	}
	if err != nil {
		return m.failed(w, r, broken(), err)
	}

	m.advertise(w, limits)
	now := states(d, limits)
	if field := stateField(now, d.Allowed); field != "" {
		w.Header().Add(stateName, field)
	}
	switch {
	case d.Allowed:
		if d.Shadowed && d.Source == limit.SourceServer {
			tell(m.cfg.Events.Shadowed, Info{Request: r, Decision: d, Policies: denying(now, true)})
		}
		return true
	case d.Source == limit.SourceOutage:
		return m.denied(w, closed(retryAfter(d, nil)), Info{Request: r, Decision: d, Err: d.Err})
	default:
		policies := denying(now, false)
		return m.denied(w, exceeded(policies, retryAfter(d, now)), Info{Request: r, Decision: d, Policies: policies, Err: d.Err})
	}
}

// ask says whose units the request takes, and how many.
func (m *Middleware) ask(r *http.Request) (id string, units int64, err error) {
	if units, err = m.cfg.Cost(r); err != nil || units == 0 {
		return "", 0, err
	}
	if id, err = m.cfg.Key(r); err == nil && id == "" {
		err = errNoKey
	}
	return id, units, err
}

var errNoKey = errors.New("redstart/limit/httplimit: the key is empty")

// advertise sets RateLimit-Policy. Where there is one already, of a limit
// around this one, the list goes on in a second field.
func (m *Middleware) advertise(w http.ResponseWriter, limits []limit.Limit) {
	a := m.last.Load()
	if a == nil || !slices.Equal(a.limits, limits) {
		a = &advert{limits, policyField(limits, m.cfg.Unit)}
		m.last.Store(a)
	}
	if a.field != "" {
		w.Header().Add(policyName, a.field)
	}
}

func (m *Middleware) denied(w http.ResponseWriter, p problem, info Info) bool {
	p.write(w)
	tell(m.cfg.Events.Denied, info)
	return false
}

// failed is for a request without a decision. One whose context has ended is
// refused in any case: nobody waits for what the handler would do.
func (m *Middleware) failed(w http.ResponseWriter, r *http.Request, p problem, err error) bool {
	tell(m.cfg.Events.Failed, Info{Request: r, Err: err})
	if m.cfg.OnFailure == Pass && r.Context().Err() == nil {
		return true
	}
	p.write(w)
	return false
}

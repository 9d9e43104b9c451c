package httplimit

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/redstart-go/redstart/limit"
)

// KeyFunc says whose units a request takes: an id of the limiter. An error, or
// an empty id, is a request that belongs to nobody: see [Config.OnFailure]. Its
// text goes to [Events.Failed] alone. [ByAddress] and [ByHeader] make one.
type KeyFunc func(r *http.Request) (id string, err error)

// Failure says what becomes of a request for which there is no decision: its
// key or its cost is not known, or the limiter gave an error. That the server
// is away is none of these: there [limit.Config.OnOutage] decides.
type Failure uint8

const (
	// Refuse answers 400 where key or cost is not known, and 503 for an error of
	// the limiter. It is the default: else a request without the header that
	// names its sender would be one without a limit.
	Refuse Failure = iota
	// Pass lets the request through, uncounted and without fields.
	Pass
)

// Config says how requests are limited. Key is needed; any other zero field is
// the documented default; every invalid field is reported at once by [New].
type Config struct {
	// Key says whose units a request takes.
	Key KeyFunc

	// Cost is how many units a request takes. 0 is a request that is not
	// limited, such as a health check; the limiter is not asked and no fields
	// are set. An error, and a number below 0, is a failure. Default: 1.
	Cost func(r *http.Request) (units int64, err error)

	// Unit is what Cost counts, told to clients as qu: "requests",
	// "content-bytes", or another name of the registry, in small letters,
	// digits and '-', 64 at most. Default: "requests".
	Unit string

	// OnFailure says what becomes of a request without a decision.
	// Default: Refuse.
	OnFailure Failure

	// Events are hooks. Default: none.
	Events Events
}

// Events are hooks, called on the request's goroutine, so they must return at
// once; one that panics is ignored. Any of them may be nil.
type Events struct {
	// Denied: a request was answered in place of the handler, with 429, or with
	// 503 where [limit.Deny] decided without the server.
	Denied func(Info)
	// Shadowed: a request passed, and Policies are the shadow limits that would
	// have denied it. Decisions from a batch are not told.
	Shadowed func(Info)
	// Failed: there was no decision, and Err is why.
	Failed func(Info)
}

// Info describes what happened to a request.
type Info struct {
	Request  *http.Request
	Decision limit.Decision // zero where Err is set
	Policies []string       // the names of the limits that denied, or would have
	Err      error          // of Config.Key, Config.Cost or the limiter
}

const (
	defaultUnit = "requests"
	maxUnit     = 64
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults() (Config, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/limit/httplimit: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Key == nil {
		bad("Key", "is missing; ByAddress and ByHeader make one")
	}
	if cfg.Cost == nil {
		cfg.Cost = func(*http.Request) (int64, error) { return 1, nil }
	}
	if cfg.Unit == "" {
		cfg.Unit = defaultUnit
	}
	if len(cfg.Unit) > maxUnit || strings.ContainsFunc(cfg.Unit, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) {
		bad("Unit", "must be at most %d small letters, digits and '-'", maxUnit)
	}
	if cfg.OnFailure > Pass {
		bad("OnFailure", "%d is none of Refuse and Pass", cfg.OnFailure)
	}
	return cfg, errors.Join(wrong...)
}

// tell runs a hook, if there is one, and survives its panic.
func tell(hook func(Info), info Info) {
	if hook == nil {
		return
	}
	defer func() { _ = recover() }()
	hook(info)
}

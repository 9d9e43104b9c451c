package limit

import (
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Outage says what to decide while the server cannot be asked.
type Outage uint8

const (
	// Allow lets all pass, the default: a limit protects a service that works,
	// and turning the limiter's outage into everyone's is worse than some
	// minutes without it. Where a limit guards money or logins, use Deny.
	Allow Outage = iota
	// Deny lets nothing pass.
	Deny
	// Local decides in the process, by GCRA at the same rates divided by
	// Config.Processes.
	Local
)

// Config says what a Limiter lets pass. Limits, or LimitsOf, is needed; a zero
// field is the documented default, a negative one switches the thing off where
// the field says so; every invalid field is reported at once by [New].
type Config struct {
	// Key is the template of the keys with one placeholder for the id, inside
	// a hash tag where there are several limits; the client's Namespace is put
	// in front. A limit that is not called "default", or is not GCRA, has
	// ":name" behind it. Default: "limit:{<id>}".
	Key string

	// Limits are decided together: all of them let a call pass, or none counts
	// it. At most 16.
	Limits []Limit

	// LimitsOf gives the limits of an id, in place of Limits; it is asked at
	// every call, so it must be fast. When a limit of the same Name and
	// Algorithm changes, what was counted stays, up to what the new one can
	// hold: of windows the units, of GCRA the time until all is back, so that a
	// limit used up is used up at its new rate too, until Reset.
	LimitsOf func(id string) []Limit

	// OnOutage says what to decide while the server cannot be asked.
	// Default: Allow.
	OnOutage Outage

	// Processes is by how many processes the limits are shared, for Local:
	// each gives its part. Default: 1, each gives all.
	Processes int

	// Timeout is within what time a decision is there, whatever the server
	// does. Default: 100 ms, at most the client's Timeout.
	Timeout time.Duration

	// Denials is for how many ids a denial is remembered in the process, until
	// its units can be there: those who call again at once cost the server
	// nothing. What others give back meanwhile is not seen before. Negative:
	// off. Default: 10,000.
	Denials int

	// Batch is how many units of an id this process may take from the server
	// at once, for ids that are asked for so often that one key is too hot. It
	// begins with what is asked for and doubles while all of it is used, up to
	// Batch. Over any span at most Batch more units pass for each process than
	// the limits say. Default: off.
	Batch int64

	// BatchFor is how long such units are kept; what is not used by then is
	// lost. Default: 100 ms.
	BatchFor time.Duration
}

const (
	defaultKey      = "limit:{<id>}"
	defaultTimeout  = 100 * time.Millisecond
	defaultDenials  = 10_000
	defaultBatchFor = 100 * time.Millisecond
	maxLimits       = 16
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults(c *redstart.Client) (Config, *key.Template, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/limit: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Key == "" {
		cfg.Key = defaultKey
	}
	template, err := keyTemplate(c, cfg.Key, len(cfg.Limits) > 1 || cfg.LimitsOf != nil)
	if err != nil {
		bad("Key", "%v", err)
	}
	switch {
	case len(cfg.Limits) == 0 && cfg.LimitsOf == nil:
		bad("Limits", "is missing, and so is LimitsOf; one of them says what passes")
	case len(cfg.Limits) > 0 && cfg.LimitsOf != nil:
		bad("Limits", "and LimitsOf are both set; leave one out")
	case len(cfg.Limits) > 0:
		if cfg.Limits, err = checked(cfg.Limits); err != nil {
			bad("Limits", "%v", err)
		}
	}
	if cfg.OnOutage > Local {
		bad("OnOutage", "%d is none of Allow, Deny and Local", cfg.OnOutage)
	}
	cfg.Processes = positive("Processes", cfg.Processes, 1, bad)
	cfg.Timeout = positive("Timeout", cfg.Timeout, min(defaultTimeout, c.Config().Timeout), bad)
	cfg.BatchFor = positive("BatchFor", cfg.BatchFor, defaultBatchFor, bad)
	if cfg.Denials == 0 {
		cfg.Denials = defaultDenials
	}
	if cfg.Batch < 0 {
		cfg.Batch = 0
	}
	return cfg, template, errors.Join(wrong...)
}

// keyTemplate is the template of keys, with the client's namespace.
func keyTemplate(c *redstart.Client, text string, several bool) (*key.Template, error) {
	if ns := c.Config().Namespace; ns != "" {
		text = ns + ":" + text
	}
	t, err := key.Parse(text)
	if err != nil {
		return nil, err
	}
	if n := len(t.Names()); n != 1 {
		return nil, fmt.Errorf("has %d placeholders; one stands for the id", n)
	}
	if _, tagged := t.HashTag(); several && !tagged {
		return nil, errors.New(`has no hash tag, so that several limits would lie in several slots; write "limit:{<id>}"`)
	}
	return t, nil
}

// checked gives the limits with their defaults.
func checked(limits []Limit) ([]Limit, error) {
	var wrong []error
	out := make([]Limit, len(limits))
	names := map[string]bool{}
	for i, l := range limits {
		var err error
		if out[i], err = l.check(); err != nil {
			wrong = append(wrong, fmt.Errorf("limit %d: %w", i, err))
		}
		if names[out[i].Name] {
			wrong = append(wrong, fmt.Errorf("limit %d: Name: is that of another limit", i))
		}
		names[out[i].Name] = true
	}
	if len(limits) > maxLimits {
		wrong = append(wrong, fmt.Errorf("%d limits are more than %d", len(limits), maxLimits))
	}
	if len(limits) == 0 {
		wrong = append(wrong, errors.New("there is none"))
	}
	return out, errors.Join(wrong...)
}

func positive[T int | time.Duration](field string, v, def T, bad func(string, string, ...any)) T {
	switch {
	case v < 0:
		bad(field, "is negative; it cannot be switched off")
		return def
	case v == 0:
		return def
	default:
		return v
	}
}

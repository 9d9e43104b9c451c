package lock

import (
	"errors"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// A guarded script runs for the newest token only, as often as its holder likes.
func TestGuard(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ctx := t.Context()
		c := open(t, url, redstart.Config{})
		set := NewGuard("set", "if #KEYS ~= 1 or #ARGV ~= 1 then return redis.error_reply('ERR arguments') end return redis.call('SET', KEYS[1], ARGV[1])")
		for _, resource := range []string{"account:7", "account:{7}"} {
			write := func(token int64, v string) error {
				return set.Exec(ctx, c, token, []string{resource}, []string{v}).Error()
			}
			for _, step := range []struct {
				token  int64
				fenced bool
			}{{1795544535558637, false}, {1795544535558637, false}, {1795544535558636, true}, {1795544535558638, false}, {1795544535558637, true}} {
				err := write(step.token, "v")
				if errors.Is(err, ErrFenced) != step.fenced || !step.fenced && err != nil {
					t.Errorf("token %d: %v", step.token, err)
				}
				if step.fenced && redstart.OutcomeOf(err) != redstart.NotApplied {
					t.Errorf("the outcome is %v", redstart.OutcomeOf(err))
				}
			}
		}
		if err := set.Exec(ctx, c, 0, []string{"k"}, nil).Error(); err == nil || errors.Is(err, ErrFenced) {
			t.Errorf("without a token: %v", err)
		}
	})
}

type affected int64

func (a affected) LastInsertId() (int64, error) { return 0, errors.New("none") }
func (a affected) RowsAffected() (int64, error) { return int64(a), nil }

func TestSQL(t *testing.T) {
	if s := SQLCondition("fence", "$2"); !strings.Contains(s, "fence <= $2") || !strings.HasPrefix(s, "(") {
		t.Error(s)
	}
	broken := errors.New("broken")
	if err := SQLResult(nil, broken); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := SQLResult(affected(0), nil); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
	if err := SQLResult(affected(1), nil); err != nil {
		t.Error(err)
	}
}

// Whatever the key, its fence lies in its slot, or there is none; no two share one.
func FuzzFenceOf(f *testing.F) {
	for _, k := range []string{"a", "", "{a}", "a{b", "a}b", "a{}b", "{}{a}", "a{b}c{d}", "\x00", strings.Repeat("x", 10_000)} {
		f.Add(k, k+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		fa, ok := fenceOf(a)
		if ok && key.Slot(fa) != key.Slot(a) {
			t.Errorf("%q and %q lie in two slots", a, fa)
		}
		if fb, too := fenceOf(b); ok && too && fa == fb && a != b {
			t.Errorf("%q and %q share %q", a, b, fa)
		}
	})
}

// Whatever the ids, the keys of their locks are in one slot each, and no two
// locks share one.
func FuzzKeysOf(f *testing.F) {
	for _, id := range []string{"a", "", "}x", "{", "a{b}c", "a:b", "%", "é", "\x00", strings.Repeat("x", 10_000)} {
		f.Add(id, id+"x")
	}
	var templates []*key.Template
	for _, text := range []string{"lock:{<id>}", "lock:<id>", "{jobs}:<id>"} {
		templates = append(templates, key.MustParse(text))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, template := range templates {
			ka, err := template.Key(a)
			if err != nil {
				continue // too long: refused before anything is sent
			}
			seen := map[string]bool{}
			for _, k := range keysOf(ka) {
				seen[k] = true
				if key.Slot(k) != key.Slot(ka) {
					t.Errorf("%q and %q lie in two slots", ka, k)
				}
			}
			if kb, err := template.Key(b); err == nil && a != b {
				for _, k := range keysOf(kb) {
					if seen[k] {
						t.Errorf("%q and %q share %q", a, b, k)
					}
				}
			}
		}
	})
}

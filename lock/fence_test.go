package lock

import (
	"errors"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
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

package stamp

import (
	"context"
	_ "embed"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/open.lua
	openText string
	//go:embed lua/note.lua
	noteText string

	open = redstart.NewScript("stamp/open", openText)
	note = redstart.NewScript("stamp/note", noteText)
)

// Ledger tells whether a stamp was replaced while something was being loaded,
// for tags that only what was loaded tells: their stamps cannot be sampled
// before. Every replacement is noted first and replaced then; a load opens a
// page before it begins, samples the stamps after, and looks last. A stamp of a
// replacement that it did not see noted is then the old one.
//
// It is one Hash of a generation, a count of changes, and the number of the
// last change for each of a bounded number of fields, onto which tags are
// spread. A ledger that was lost has another generation.
type Ledger struct {
	Client *redstart.Client
	Key    string
	Life   time.Duration // longer than any load; one that outlasts it counts as disturbed
}

// fields bounds the ledger's size. Two tags on one field disturb each other's
// loads, no more.
const fields = 1024

// Page is the state of the ledger when a load began.
type Page struct {
	gen string
	seq int64
}

// Open opens a page. One script.
func (l Ledger) Open(ctx context.Context) (Page, error) {
	var err error
	for range attempts {
		var words []string
		words, err = open.Exec(ctx, l.Client, []string{l.Key}, []string{token(), millis(l.Life), millis(2 * l.Life)}).AsStrSlice()
		if err == nil && len(words) == 2 {
			seq, _ := strconv.ParseInt(words[1], 10, 64)
			return Page{gen: words[0], seq: seq}, nil
		}
		if ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return Page{}, err
		}
	}
	return Page{}, err
}

// Note notes that the tag's stamp is about to be replaced. One script.
func (l Ledger) Note(ctx context.Context, tag string) error {
	var err error
	for range attempts {
		err = note.Exec(ctx, l.Client, []string{l.Key}, []string{token(), field(tag), millis(2 * l.Life)}).Error()
		if err == nil || ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return err
		}
	}
	return err
}

// Quiet reports whether none of the tags was noted since the page was opened.
// One HMGET.
func (l Ledger) Quiet(ctx context.Context, p Page, tags []string) (bool, error) {
	names := make([]string, 1, 1+len(tags))
	names[0] = "gen"
	for _, t := range tags {
		names = append(names, field(t))
	}
	got, err := l.Client.Do(ctx, l.Client.B().Hmget().Key(l.Key).Field(names...).Build()).ToArray()
	if err != nil {
		return false, err
	}
	if gen, err := got[0].ToString(); err != nil || gen != p.gen {
		return false, nil //nolint:nilerr // no generation is another one
	}
	for _, m := range got[1:] {
		text, err := m.ToString()
		if rueidis.IsRedisNil(err) {
			continue
		}
		if n, bad := strconv.ParseInt(text, 10, 64); err != nil || bad != nil || n > p.seq {
			return false, err
		}
	}
	return true, nil
}

func field(tag string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tag))
	return strconv.Itoa(int(h.Sum32() % fields))
}

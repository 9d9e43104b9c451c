package stamp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/key"
)

// Tags are the tags of a cache's entries: their keys stand beside the
// entries', one for each tag, one for what ends all entries, and the ledger.
type Tags struct {
	client *redstart.Client
	tag    *key.Template
	all    Label
	ledger Ledger
}

// Label is a tag and the key of its stamp. That which all entries carry has no
// name.
type Label struct{ Name, Key string }

// ErrEmpty is the error of a tag without a name.
var ErrEmpty = errors.New("a tag is empty")

// Of puts the keys beside those of the template, with a '%' for each
// placeholder and a word that begins with one. No id can write such a word, so
// no template of entries that has none itself gives such a key. Braces become
// others, so that the stamps do not all share one slot of a cluster. longest is
// how long a load may take.
func Of(client *redstart.Client, entries *key.Template, longest time.Duration) (*Tags, error) {
	var base strings.Builder
	inside := false
	for _, c := range []byte(entries.String()) {
		switch {
		case c == '<':
			inside = true
			base.WriteByte('%')
		case c == '>':
			inside = false
		case inside:
		case c == '{':
			base.WriteByte('(')
		case c == '}':
			base.WriteByte(')')
		default:
			base.WriteByte(c)
		}
	}
	tag, err := key.Parse(base.String() + ":%tag:<tag>")
	return &Tags{
		client: client,
		tag:    tag,
		all:    Label{Key: base.String() + ":%clear"},
		ledger: Ledger{Client: client, Key: base.String() + ":%ledger", Life: longest + time.Minute},
	}, err
}

// Channel is where caches tell one another of changed keys.
func (t *Tags) Channel() string { return strings.TrimSuffix(t.all.Key, "clear") + "near" }

// WithPrefix adds the prefix of the tags' keys to those of a broadcast, unless
// one covers it: servers refuse prefixes that overlap.
func (t *Tags) WithPrefix(prefixes []string) []string {
	own := strings.TrimSuffix(t.all.Key, "clear")
	for _, p := range prefixes {
		if strings.HasPrefix(own, p) {
			return prefixes
		}
	}
	return append(prefixes, own)
}

// All is the label that all entries carry.
func (t *Tags) All() Label { return t.all }

// Label gives the key of a tag's stamp.
func (t *Tags) Label(name string) (Label, error) {
	if name == "" {
		return t.all, nil
	}
	k, err := t.tag.Key(name)
	return Label{name, k}, err
}

// Labels adds the tags' labels to those that are there, each once.
func (t *Tags) Labels(to []Label, names []string) ([]Label, error) {
	for _, name := range names {
		if name == "" {
			return nil, ErrEmpty
		}
		l, err := t.Label(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(to, l) {
			to = append(to, l)
		}
	}
	return to, nil
}

// Alive reports whether an entry carries exactly the tags that were asked for,
// with the stamps that stand at their keys.
func Alive(m *frame.Meta, stamps []frame.Tag) bool {
	n := 0
	for name, was := range m.Tags() {
		n++
		if was == "" || !slices.Contains(stamps, frame.Tag{Name: name, Stamp: was}) {
			return false
		}
	}
	return n == len(stamps)
}

// Sampling is the stamps of a load's tags, and the page of the ledger for those
// that only its result tells.
type Sampling struct {
	Tags []frame.Tag
	life time.Duration // for which the stamps live at least; zero for good
	page Page
}

// Sample takes the stamps of the tags that are known before a load, and opens a
// page of the ledger if the result may tell others. One round trip each; none
// for nothing.
func (t *Tags) Sample(ctx context.Context, labels []Label, life time.Duration, open bool) (s Sampling, err error) {
	s.life = life
	if s.Tags, err = t.stamps(ctx, labels, life); err == nil && open {
		s.page, err = t.ledger.Open(ctx)
	}
	return s, err
}

func (t *Tags) stamps(ctx context.Context, labels []Label, life time.Duration) ([]frame.Tag, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	keys := make([]string, len(labels))
	for i, l := range labels {
		keys[i] = l.Key
	}
	got, err := Sample(ctx, t.client, keys, life)
	if err != nil {
		return nil, err
	}
	tags := make([]frame.Tag, len(labels))
	for i, l := range labels {
		tags[i] = frame.Tag{Name: l.Name, Stamp: got[i]}
	}
	return tags, nil
}

// SampleMany is Sample for loads that begin together, each with its labels and
// no page. A label that several have is sampled once.
func (t *Tags) SampleMany(ctx context.Context, labels [][]Label, life time.Duration) ([]Sampling, error) {
	places := map[Label]int{}
	var all []Label
	for _, some := range labels {
		for _, l := range some {
			if _, ok := places[l]; !ok {
				places[l] = len(all)
				all = append(all, l)
			}
		}
	}
	stamps := make([]frame.Tag, 0, len(all))
	for some := range slices.Chunk(all, together) {
		got, err := t.stamps(ctx, some, life)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, got...)
	}
	samplings := make([]Sampling, len(labels))
	for i, some := range labels {
		samplings[i].life = life
		for _, l := range some {
			samplings[i].Tags = append(samplings[i].Tags, stamps[places[l]])
		}
	}
	return samplings, nil
}

// together bounds how many stamps are sampled in one round trip.
const together = 1000

// Extend adds the tags of a result, and lets all stamps live as long as it
// does. quiet is false when a tag was, or may have been, invalidated since
// the load began.
func (t *Tags) Extend(ctx context.Context, s *Sampling, labels []Label, life time.Duration, load bool) (quiet bool, err error) {
	if len(s.Tags) > 0 && s.life > 0 && (life == 0 || life > s.life) {
		first := make([]Label, len(s.Tags))
		for i, tag := range s.Tags {
			if first[i], err = t.Label(tag.Name); err != nil {
				return false, err
			}
		}
		now, err := t.stamps(ctx, first, life)
		if err != nil || !slices.Equal(now, s.Tags) {
			return false, err
		}
	}
	var names []string
	labels = slices.DeleteFunc(labels, func(l Label) bool {
		return slices.ContainsFunc(s.Tags, func(tag frame.Tag) bool { return tag.Name == l.Name })
	})
	more, err := t.stamps(ctx, labels, life)
	if err != nil || len(more) == 0 {
		return err == nil, err
	}
	s.Tags = append(s.Tags, more...)
	if !load {
		return true, nil
	}
	for _, tag := range more {
		names = append(names, tag.Name)
	}
	return t.ledger.Quiet(ctx, s.page, names)
}

// End puts a fresh stamp at a tag's key, for life: what carries another is
// dead. noted: loads may be under way that do not know yet that they carry it.
func (t *Tags) End(ctx context.Context, l Label, life time.Duration, noted bool) error {
	if noted {
		if err := t.ledger.Note(ctx, l.Name); err != nil {
			return err
		}
	}
	return Replace(ctx, t.client, l.Key, life)
}

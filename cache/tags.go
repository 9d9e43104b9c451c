package cache

import (
	"context"

	"github.com/redstart-go/redstart/internal/stamp"
)

// InvalidateTag ends all entries that carry the tag, however many: when it has
// returned nil, no Get that begins later, in any process, returns a value that
// was loaded before. A load under way leaves an entry that is dead already. One
// script; with Config.ResultTags another one before it. An error means that old
// values may still be served: repeat it.
func (c *Cache[K, V]) InvalidateTag(ctx context.Context, tag string) error {
	if c.cfg.Tags == nil && !c.cfg.ResultTags {
		return c.failRead("invalidate tag", "", errNoTags)
	}
	labels, err := c.tags.Labels(nil, []string{tag})
	if err != nil {
		return c.failRead("invalidate tag", "", err)
	}
	return c.end(ctx, "invalidate tag", labels[0], c.cfg.ResultTags)
}

// Clear ends all entries of the cache, as InvalidateTag ends those of a tag. It
// needs Config.Clearable. One script; the entries' memory comes back as they
// expire.
func (c *Cache[K, V]) Clear(ctx context.Context) error {
	if !c.cfg.Clearable {
		return c.failRead("clear", "", errNoClear)
	}
	return c.end(ctx, "clear", c.tags.All(), false)
}

// end ends what carries a label; noted says that results may.
func (c *Cache[K, V]) end(ctx context.Context, op string, l stamp.Label, noted bool) error {
	err := c.pauses().Insist(ctx, func() error {
		return c.tags.End(ctx, l, 2*c.terms.StampLife(c.cfg.TTL), noted)
	})
	c.wrote(ctx, l.Key, err)
	return c.fail(op, l.Key, err)
}

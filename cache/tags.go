package cache

import "context"

// InvalidateTag ends all entries that carry the tag, however many: when it has
// returned nil, no Get that begins later, in any process, returns a value that
// was loaded before. A load under way leaves an entry that is dead already. One
// SET; with Config.ResultTags one script before it. An error means that old
// values may still be served: repeat it.
func (c *Cache[K, V]) InvalidateTag(ctx context.Context, tag string) error {
	if c.cfg.Tags == nil && !c.cfg.ResultTags {
		return c.failRead("invalidate tag", "", errNoTags)
	}
	labels, err := c.tags.Labels(nil, []string{tag})
	if err != nil {
		return c.failRead("invalidate tag", "", err)
	}
	err = c.tags.End(ctx, labels[0], 2*c.terms.StampLife(c.cfg.TTL), c.cfg.ResultTags)
	c.wrote(ctx, labels[0].Key, err)
	return c.fail("invalidate tag", labels[0].Key, err)
}

// Clear ends all entries of the cache, as InvalidateTag ends those of a tag. It
// needs Config.Clearable. One SET; the entries' memory comes back as they
// expire.
func (c *Cache[K, V]) Clear(ctx context.Context) error {
	if !c.cfg.Clearable {
		return c.failRead("clear", "", errNoClear)
	}
	all := c.tags.All()
	err := c.tags.End(ctx, all, 2*c.terms.StampLife(c.cfg.TTL), false)
	c.wrote(ctx, all.Key, err)
	return c.fail("clear", all.Key, err)
}

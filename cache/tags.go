package cache

import (
	"context"
	"time"

	"github.com/redstart-go/redstart/internal/stamp"
)

// known are the tags of an entry that its id tells: Clear's and Config.Tags'.
func (c *Cache[K, V]) known(id K) ([]stamp.Label, error) {
	if c.cfg.Tags == nil && !c.cfg.Clearable {
		return nil, nil
	}
	var labels []stamp.Label
	if c.cfg.Clearable {
		labels = append(labels, c.tags.All())
	}
	if c.cfg.Tags == nil {
		return labels, nil
	}
	return c.tags.Labels(labels, c.cfg.Tags(id))
}

// stampLife is how long a stamp must live that an entry stored by now, or soon,
// carries; zero for good.
func (c *Cache[K, V]) stampLife(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return c.cfg.LoadTimeout + max(ttl, c.cfg.NegativeTTL) + c.cfg.StaleFor
}

// sample takes the stamps of the tags that the id tells, before a load or a
// Set.
func (c *Cache[K, V]) sample(ctx context.Context, id K, load bool) (stamp.Sampling, error) {
	labels, err := c.known(id)
	open := load && c.cfg.ResultTags
	if err != nil || len(labels) == 0 && !open {
		return stamp.Sampling{}, err
	}
	return c.tags.Sample(ctx, labels, c.stampLife(c.cfg.TTL), open)
}

// resultLabels are the keys of a result's tags.
func (c *Cache[K, V]) resultLabels(names []string) ([]stamp.Label, error) {
	if len(names) > 0 && !c.cfg.ResultTags {
		return nil, errResultTags
	}
	return c.tags.Labels(nil, names)
}

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
	err = c.tags.End(ctx, labels[0], 2*c.stampLife(c.cfg.TTL), c.cfg.ResultTags)
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
	err := c.tags.End(ctx, all, 2*c.stampLife(c.cfg.TTL), false)
	c.wrote(ctx, all.Key, err)
	return c.fail("clear", all.Key, err)
}

package naive

import (
	"context"
	"errors"
	"hash/fnv"
	"io/fs"
	"os"
	"strconv"

	"github.com/redis/rueidis"
)

// Modulo is: hash(key) % N.
func Modulo(key string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(n))
}

// Copy is: SCAN, and for each key that goes elsewhere DUMP, RESTORE without a
// TTL, DEL. The cursor is kept in a file as soon as SCAN has given it, and a
// run that is started again goes on from there.
type Copy struct {
	From   rueidis.Client
	To     func(key string) rueidis.Client // nil: the key stays
	Cursor string                          // the file
}

// Run is the recipe.
func (c Copy) Run(ctx context.Context) error {
	text, err := os.ReadFile(c.Cursor)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cursor, _ := strconv.ParseUint(string(text), 10, 64) // 0: from the beginning
	for {
		page, err := c.From.Do(ctx, c.From.B().Scan().Cursor(cursor).Count(50).Build()).AsScanEntry()
		if err != nil {
			return err
		}
		cursor = page.Cursor
		if err := os.WriteFile(c.Cursor, strconv.AppendUint(nil, cursor, 10), 0o600); err != nil {
			return err
		}
		for _, key := range page.Elements {
			if to := c.To(key); to != nil {
				if err := c.move(ctx, to, key); err != nil {
					return err
				}
			}
		}
		if cursor == 0 {
			return nil
		}
	}
}

func (c Copy) move(ctx context.Context, to rueidis.Client, key string) error {
	dump, err := c.From.Do(ctx, c.From.B().Dump().Key(key).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := to.Do(ctx, to.B().Restore().Key(key).Ttl(0).SerializedValue(dump).Replace().Build()).Error(); err != nil {
		return err
	}
	return c.From.Do(ctx, c.From.B().Del().Key(key).Build()).Error()
}

package lease

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
)

var (
	//go:embed lua/block_read.lua
	blockReadText string
	//go:embed lua/block.lua
	blockText string
	//go:embed lua/block_end.lua
	blockEndText string

	blockScript = redstart.NewScript("lease/block", blockReadText+blockText)
	blockEnd    = redstart.NewScript("lease/block_end", blockReadText+blockEndText)

	blockHead   = frame.BlockHeader()
	rides       = frame.RiderBegins()
	ridesLength = strconv.Itoa(frame.RiderLength)
)

// Block keeps a key from being filled while its value is written at the source:
// claims under way are ended, and none can be taken. The value that is there stays
// readable, for no longer than the block unless it ends otherwise, so that a writer
// who dies after the source took the write leaves it no longer than that.
//
// Any number of writers may be at a key. Whose write the source took last nobody
// knows then, so the last to end leaves nothing there.
type Block struct {
	Client *redstart.Client
	Key    string
	Token  string // 16 bytes, of this writer alone
	Time   time.Duration
}

// ErrCrowded says that a thousand writers are at the key.
var ErrCrowded = errors.New("too many writers are at the key at once")

// Take blocks the key. One script, one round trip. A copy that the network held
// back does no more harm than a writer that died.
func (b Block) Take(ctx context.Context) error { return b.hold(ctx, "0") }

func (b Block) hold(ctx context.Context, again string) error {
	ok, err := run(ctx, b.Client, blockScript, b.Key, blockHead, b.Token, millis(b.Time), again, rides, ridesLength)
	if err == nil && !ok {
		err = ErrCrowded
	}
	return err
}

// Keep makes the block last, and puts it back where somebody deleted the key,
// until stop is called.
func (b Block) Keep() (stop func()) {
	_, stop = keep(b.Client, b.Time, func(ctx context.Context) (bool, error) { return true, b.hold(ctx, "1") })
	return stop
}

// Put ends the block with a new value, for ttl (zero: for good). False means that
// nothing was left there, because another writer was at it, or the block was lost.
func (b Block) Put(ctx context.Context, value string, ttl time.Duration) (bool, error) {
	return run(ctx, b.Client, blockEnd, b.Key, blockHead, b.Token, "put", value, millis(ttl))
}

// Drop ends the block, and what is behind it.
func (b Block) Drop(ctx context.Context) error {
	_, err := run(ctx, b.Client, blockEnd, b.Key, blockHead, b.Token, "drop", "", "0")
	return err
}

// Restore ends the block and leaves everything as it was, if nobody else was at
// it.
func (b Block) Restore(ctx context.Context) error {
	_, err := run(ctx, b.Client, blockEnd, b.Key, blockHead, b.Token, "restore", "", "0")
	return err
}

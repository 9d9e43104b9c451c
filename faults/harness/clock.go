package harness

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"
)

// Clock is a counter in memory that several processes share. Two ticks are
// ordered as they happened, whichever process took them, so "this read began
// after that invalidation returned" is a fact, and no clock of the machine
// decides about it.
type Clock struct {
	memory []byte
	count  *atomic.Uint64
}

// NewClock opens the clock in a file, which is made when it is not there.
func NewClock(path string) (*Clock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the shared clock: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, fmt.Errorf("open the shared clock: %w", err)
	}
	memory, err := shared(f, 8)
	if err != nil {
		return nil, fmt.Errorf("share the clock: %w", err)
	}
	return &Clock{memory: memory, count: (*atomic.Uint64)(unsafe.Pointer(&memory[0]))}, nil
}

// Tick gives the next moment, which no other call in any process gets.
func (c *Clock) Tick() uint64 { return c.count.Add(1) }

// Close ends the use of the clock in this process.
func (c *Clock) Close() error {
	if c.memory == nil {
		return errors.New("the clock is closed already")
	}
	memory := c.memory
	c.memory, c.count = nil, nil
	return unshare(memory)
}

package command

import (
	"sync"

	"github.com/redis/rueidis"
)

// Kept is a copy of a command. The command itself is never sent again: with a
// reply the inner client has recycled it, and without one the connection that
// was lost may still be reading it.
type Kept struct {
	Words    []string
	Slot     uint16
	ReadOnly bool
	block    bool
	marked   bool // ToRetryable
}

var pool = sync.Pool{New: func() any { return &Kept{Words: make([]string, 0, 16)} }}

// Keep copies a command for as long as a call takes: Drop ends it.
func Keep(cmd *rueidis.Completed) *Kept {
	k := pool.Get().(*Kept)
	k.copy(cmd)
	return k
}

// Copy is Keep for something that may outlive the call: it needs no Drop.
func Copy(cmd *rueidis.Completed) *Kept {
	k := &Kept{}
	k.copy(cmd)
	return k
}

func (k *Kept) copy(cmd *rueidis.Completed) {
	k.Words = append(k.Words[:0], cmd.Commands()...)
	k.Slot, k.block, k.ReadOnly, k.marked = cmd.Slot(), cmd.IsBlock(), cmd.IsReadOnly(), cmd.IsRetryable()
}

// Drop gives the copy back; it holds nothing of the command any more.
func (k *Kept) Drop() {
	clear(k.Words)
	pool.Put(k)
}

// Repeatable reports whether running the command twice does no harm.
func (k *Kept) Repeatable() bool {
	return !k.block && (k.ReadOnly || k.marked || harmlessTwice(k.Words))
}

// All are copies of several commands, in their order.
type All struct{ Each []*Kept }

var allPool = sync.Pool{New: func() any { return &All{} }}

// KeepAll is Keep for several commands.
func KeepAll(multi []rueidis.Completed) *All {
	a := allPool.Get().(*All)
	for i := range multi {
		a.Each = append(a.Each, Keep(&multi[i]))
	}
	return a
}

// Drop gives the copies back.
func (a *All) Drop() {
	for _, k := range a.Each {
		k.Drop()
	}
	clear(a.Each)
	a.Each = a.Each[:0]
	allPool.Put(a)
}

// Again makes the command again. In a cluster its slot is that of one of its own
// words.
func (k *Kept) Again(from rueidis.Builder) rueidis.Completed {
	b := from.Arbitrary(k.Words[0]).Args(k.Words[1:]...)
	var cmd rueidis.Completed
	switch {
	case k.block:
		cmd = b.Blocking()
	case k.ReadOnly:
		cmd = b.ReadOnly()
	default:
		cmd = b.Build()
	}
	if k.Slot < 1<<14 {
		for _, w := range k.Words[1:] {
			if again := cmd.SetSlot(w); again.Slot() == k.Slot {
				return again
			}
		}
	}
	return cmd
}

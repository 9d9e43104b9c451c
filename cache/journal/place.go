package journal

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/redstart-go/redstart/internal/commit"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/internal/room"
)

// partition is what a process knows of one.
type partition struct {
	number int
	state, log, newest, left,
	dead, deadOf string // its keys

	put, settle, own, restamp, find, lag []string // of the scripts, as far as they are always the same

	seen   atomic.Int64 // the greatest version of which this process has heard
	room   room.Room
	commit *commit.Group
	poke   chan struct{} // somebody waits for a flush
}

// newPartition names the keys of a partition. No entry has such a name: an id's
// percent sign is escaped, and a literal one is refused.
func newPartition(prefix, name string, number int) *partition {
	begin := prefix + "{" + name + ":" + strconv.Itoa(number) + "}:%"
	p := &partition{
		number: number, state: begin + "state", log: begin + "log", newest: begin + "newest", left: begin + "left",
		dead: begin + "dead", deadOf: begin + "dead-of", poke: make(chan struct{}, 1), room: room.Room{Opened: make(chan struct{}, 1)},
	}
	p.put = []string{p.state, p.log, p.newest, p.left, p.deadOf}
	p.settle = []string{p.state, p.log, p.newest, p.left}
	p.own = []string{p.state}
	p.restamp = []string{p.state, p.log, p.newest}
	p.find = []string{p.log, p.newest}
	p.lag = []string{p.state, p.log, p.dead}
	return p
}

// saw notes a version.
func (p *partition) saw(version int64) {
	for {
		seen := p.seen.Load()
		if seen >= version || p.seen.CompareAndSwap(seen, version) {
			return
		}
	}
}

// place gives an id's bytes and its partition.
func (j *Journal[K, V]) place(id K) (*partition, string, error) {
	if _, err := j.text(id); err != nil {
		return nil, "", err
	}
	raw, err := j.cfg.IDs.Append(nil, id)
	if err != nil {
		return nil, "", fmt.Errorf("the id cannot be written by Config.IDs: %w", err)
	}
	return j.partitions[int(ids.Spread(raw)%uint64(len(j.partitions)))], unsafe.String(unsafe.SliceData(raw), len(raw)), nil
}

// args are the values of the placeholders of the entries' template: the
// partition, then the id's own.
func (j *Journal[K, V]) args(own func(K) []string) func(K) []string {
	return func(id K) []string {
		var buf [64]byte
		raw, err := j.cfg.IDs.Append(buf[:0], id)
		if err != nil {
			return nil
		}
		p := j.partitions[int(ids.Spread(raw)%uint64(len(j.partitions)))]
		if own != nil {
			return append([]string{p.label()}, own(id)...)
		}
		text, err := j.text(id)
		if err != nil {
			return nil
		}
		return []string{p.label(), text}
	}
}

// label is the partition's number in its keys.
func (p *partition) label() string { return strconv.Itoa(p.number) }

// hurry tells a flusher of this process not to wait for more.
func (p *partition) hurry() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

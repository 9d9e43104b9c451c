package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Kind is what an event is.
type Kind uint8

const (
	// Read: a caller asked at Begin and got Version at End.
	Read Kind = iota + 1
	// ReadFailed: he got an error.
	ReadFailed
	// Committed: Version came into the source at Begin or a little later.
	Committed
	// Invalidated: an invalidation that was sent after Version was committed
	// returned nil at End: from then on nothing older may be read.
	Invalidated
	// InvalidateFailed: one returned an error, and sets no floor.
	InvalidateFailed
	// SetFailed: a write of Version returned an error, and may still run: the
	// version may be read at any time.
	SetFailed
	// Loaded: the source gave Version to a load that began at Begin. LoadFailed:
	// it failed.
	Loaded
	LoadFailed
)

// Where a version was read, and by whom one was invalidated.
const (
	Near   uint8 = 1 << iota // in the process
	Redis                    // in the server
	Source                   // loaded for this caller, or for one with whom he waited
	Old                      // flagged: it is past its TTL
	Own                      // an invalidation by the cache of this very process
)

// Event is one call. Begin and End are ticks of the shared clock, or times of
// the machine's, the first taken before the call and the second after it.
type Event struct {
	Kind       Kind
	Mark       uint8
	Process    uint16
	Caller     uint16 // one who calls at one time only
	Key        uint32
	Version    uint64
	Begin, End uint64
}

// eventSize is the length of an event in a file: all fields, little-endian.
const eventSize = 1 + 1 + 2 + 2 + 4 + 8 + 8 + 8

// Log is the history of one process, in a file of its own. An event is with
// the kernel when Add returns, so SIGKILL loses none that ended before.
type Log struct {
	mu sync.Mutex
	f  *os.File
}

// Create starts the log of one process in a folder.
func Create(dir, name string) (*Log, error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".history"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the history: %w", err)
	}
	return &Log{f: f}, nil
}

// Add writes an event.
func (l *Log) Add(e Event) error {
	buf := bytes.NewBuffer(make([]byte, 0, eventSize))
	_ = binary.Write(buf, binary.LittleEndian, e) // a buffer takes everything
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.f.Write(buf.Bytes())
	return err
}

// Sync returns when everything that was added is on the disk, where it outlasts
// the machine.
func (l *Log) Sync() error { return l.f.Sync() }

// Close ends the log.
func (l *Log) Close() error { return l.f.Close() }

// ReadDir gives the events of all logs in a folder. An event that a killed
// process wrote by half is left out.
func ReadDir(dir string) ([]Event, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.history"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		events := make([]Event, len(raw)/eventSize)
		if _, err := binary.Decode(raw[:len(events)*eventSize], binary.LittleEndian, events); err != nil {
			return nil, fmt.Errorf("read the history %s: %w", name, err)
		}
		all = append(all, events...)
	}
	return all, nil
}

// Size is how many events the logs in a folder hold so far.
func Size(dir string) (n int) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.history")) // the pattern is a good one
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			n += int(info.Size()) / eventSize
		}
	}
	return n
}

// Count is how many events are of a kind.
func Count(events []Event, kind Kind) (n int) {
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

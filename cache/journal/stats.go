package journal

import (
	"sync/atomic"

	"github.com/redstart-go/redstart"
)

// Stats are counts since the journal was made, in this process. What is pending
// at the server, Lag tells.
type Stats struct {
	Puts       uint64 // records acknowledged, Deletes included
	Repeated   uint64 // scripts sent again after a lost reply
	Blocked    uint64 // writes that found the journal full
	Direct     uint64 // writes beyond a bound that waited for the sink
	Batches    uint64 // calls of Sink.Apply that succeeded
	Failures   uint64 // that failed
	Applied    uint64 // changes that the sink took, or had
	Superseded uint64 // records for which a later change of the same key stands
	Dead       uint64 // changes sent to the dead letters
	Restamped  uint64 // changes that the sink refused and that got a later version
	Fenced     uint64 // partitions given up since somebody else had them

	Partitions  int  // that this process has now
	BackingOff  int  // keys that wait after a failure
	SinkFailing bool // the last call of Sink.Apply failed, whatever was in it
}

type counters struct {
	puts, repeated, blocked, direct, batches, failures, applied, superseded, dead, restamped, fenced atomic.Uint64

	runs, partitions, behind atomic.Int64
	failing                  atomic.Bool
}

// Stats gives the counts so far.
func (j *Journal[K, V]) Stats() Stats {
	c := &j.stats
	return Stats{
		Puts: c.puts.Load(), Repeated: c.repeated.Load(), Blocked: c.blocked.Load(), Direct: c.direct.Load(),
		Batches: c.batches.Load(), Failures: c.failures.Load(), Applied: c.applied.Load(), Superseded: c.superseded.Load(),
		Dead: c.dead.Load(), Restamped: c.restamped.Load(), Fenced: c.fenced.Load(),
		Partitions: int(c.partitions.Load()), BackingOff: int(c.behind.Load()), SinkFailing: c.failing.Load(),
	}
}

func (j *Journal[K, V]) notify(event string, err error) {
	j.client.Notify(redstart.PatternInfo{Pattern: "journal", Template: j.name, Event: event, Err: err})
}

// Package lab is what the scenarios share: real traffic against real servers and real faults, the recipe that tutorials
// print beside what Redstart does.
//
// A scenario is a package below this one that implements [Scenario]; the command line lists them. It opens its server with
// [Open], so that a private server is stopped and a given one is left as it was, and returns a report.
package lab

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/report"
)

// Scenario is one experiment of the lab.
type Scenario interface {
	// Name is the word by which the command line calls it.
	Name() string
	// About says in one line what it shows.
	About() string
	// Run runs it to the end and leaves nothing behind: no server, no process, no file, no key.
	Run(ctx context.Context, o Options, p Progress) (*report.Report, error)
}

// Options are what a user may choose, of which a scenario takes what applies to it. The zero value is the default run.
type Options struct {
	// Redis is the server: a URL, "embedded", or "" for the best there is (a private redis-server, else embedded).
	Redis string
	// Database is where rows are kept: a file of SQLite, of which a copy is used, or the URL of a PostgreSQL. Default: SQLite
	// in a file of the lab's own.
	Database string
	// Fault is made in the middle of the traffic. Default: None.
	Fault Fault
	// Trace is a file of recorded traffic, Column the column of its keys if it is a CSV. Default: a Zipf load.
	Trace, Column string
	// Requests is how many requests to run. Default: the whole trace, or as many as the scenario needs.
	Requests int
	// Workers is how many callers there are at a time. Default: the scenario's.
	Workers int
	// Rate is how many requests begin in a second; negative: as many as the workers manage. Default: the scenario's.
	Rate int
	// Seed decides everything that is left to chance. Default: 1.
	Seed uint64
	// Near adds Redstart with its near tier, Refresh Redstart with refresh-ahead and the recipe of that name.
	Near, Refresh bool
	// Latency is that of one query of the database. Default: 2 ms.
	Latency time.Duration
	// TTL is the time to live of cached values, in whole seconds. Default: 2 s.
	TTL time.Duration
	// Limit is how many requests of one client are let through in each Per. Default: 20 in 500 ms.
	Limit int
	Per   time.Duration
}

// ErrUsage is wrapped by errors that the user has to correct on the command line.
var ErrUsage = errors.New("bad usage")

// ErrPromise is wrapped by the error of a run that ended and in which Redstart broke its word. The report comes with it.
var ErrPromise = errors.New("promise broken")

// Progress hears how far a scenario is. Its calls come from one goroutine at a time.
type Progress interface {
	// Start begins a piece of work of so many steps, ending the one before it.
	Start(what string, steps int)
	// Step counts one.
	Step()
	// Done ends the last piece.
	Done()
}

// Command bench measures Redstart beside its peers, all in one run, on a private redis-server.
//
//	go run ./bench                      every benchmark, tables for people
//	go run ./bench --only hit,stampede  some of them
//	go run ./bench --rounds 21          steadier figures
//	go run ./bench --json               one object for programs
//	go run ./bench --guarantees GUARANTEES.md
//	                                    also writes the rows of that page whose figures come from here
//
// A round measures every contestant once, in an order of its own, and the control twice: a ratio is taken inside a
// round, its median is printed with the quartiles over all rounds, and so is the control's ratio to itself, which says
// how much of a difference the machine makes up. Where that hides a target, allocations and the server's CPU per call
// decide. Speed fails nothing: the exit status is 0 unless a measurement could not be made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/redstart-go/redstart/bench/crowd"
	"github.com/redstart-go/redstart/bench/table"
)

func main() {
	if role := os.Getenv(crowd.Env); role != "" {
		os.Exit(crowd.Main(role, os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// benchmarks are all there are, in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{hitBenchmark{}, nearBenchmark{}, manyBenchmark{}, structBenchmark{}, stampedeBenchmark{}, callBenchmark{}, layerBenchmark{}, limitBenchmark{}, lockBenchmark{}, behindBenchmark{}}
}

// run is main without the process: 0 done, 1 something could not be measured, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var all []string
	for _, b := range benchmarks() {
		all = append(all, b.name())
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		only   = flags.String("only", "", "run these benchmarks: "+strings.Join(all, ", "))
		rounds = flags.Int("rounds", 11, "rounds; a ratio wants nine or more")
		quick  = flags.Bool("quick", false, "two short rounds, which show that it works and not how fast")
		asJSON = flags.Bool("json", false, "print one JSON object")
		page   = flags.String("guarantees", "", "write the figures of promises into this `page`, GUARANTEES.md")
	)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	var chosen []string
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			fmt.Fprintf(stderr, "bench: --only %s: there is no such benchmark; there are %s\n", name, strings.Join(all, ", "))
			return 2
		}
	}
	if flags.NArg() > 0 || *rounds < 1 {
		fmt.Fprintln(stderr, "bench: takes flags only, and at least one round; see --help")
		return 2
	}
	if *page != "" && (*quick || *rounds < leastRounds) {
		fmt.Fprintf(stderr, "bench: --guarantees needs %d rounds or more, and not --quick\n", leastRounds)
		return 2
	}
	l := lab{rounds: *rounds, quick: *quick, progress: stderr}
	if *quick {
		l.rounds = 2
	}
	rep, stopped := l.run(ctx, chosen)
	var err error
	switch {
	case stopped != nil && len(rep.Sections) == 0:
	case *asJSON:
		err = rep.WriteJSON(stdout)
	default:
		err = rep.WriteText(stdout)
	}
	if err = errors.Join(stopped, err); err == nil && *page != "" {
		err = keepPromises(rep, *page)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

func keepPromises(rep table.Report, page string) error {
	all, err := promises(rep)
	if err != nil {
		return err
	}
	return writePromises(page, all)
}

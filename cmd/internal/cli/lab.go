package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/lab/locks"
	"github.com/redstart-go/redstart/cmd/internal/lab/musicstore"
	"github.com/redstart-go/redstart/cmd/internal/lab/ratelimit"
	"github.com/redstart-go/redstart/cmd/internal/lab/sessions"
	"github.com/redstart-go/redstart/cmd/internal/lab/webcache"
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// experiment is a scenario with what the command line knows of it.
type experiment struct {
	lab.Scenario

	// flags adds what only some scenarios take.
	flags    func(f *labFlags, cmd *cobra.Command)
	rate     int // the default, 0 for none
	workers  int
	examples string
}

func experiments() []experiment {
	return []experiment{
		{webcache.Scenario{}, cacheFlags, webcache.Rate, 16, `
  redstart lab web-cache --fault kill --report lab.html
  redstart lab web-cache --near --refresh
  redstart lab web-cache --trace /var/log/apache2/access.log
  redstart lab web-cache --trace requests.csv --key-column url --requests 50000
  redstart lab web-cache --redis redis://localhost:6379 --json`},
		{ratelimit.Scenario{}, limitFlags, ratelimit.Rate, 16, `
  redstart lab rate-limit --report lab.html
  redstart lab rate-limit --trace /var/log/apache2/access.log
  redstart lab rate-limit --limit 100 --per 1s --rate 20000
  redstart lab rate-limit --trace calls.csv --key-column customer --json`},
		{locks.Scenario{}, lockFlags, 0, locks.Workers, `
  redstart lab lock --report lab.html
  redstart lab lock --workers 16 --requests 500
  redstart lab lock --redis redis://localhost:6379 --json`},
		{sessions.Scenario{}, sessionFlags, sessions.Rate, sessions.Workers, `
  redstart lab session-store --report lab.html
  redstart lab session-store --database postgres://user:password@localhost/test
  redstart lab session-store --requests 20000 --rate 5000
  redstart lab session-store --redis redis://localhost:6379 --json`},
		{musicstore.Scenario{}, queryFlags, 0, musicstore.Workers, `
  redstart lab sql-cache --report lab.html
  redstart lab sql-cache --database chinook.sqlite
  redstart lab sql-cache --database postgres://user:password@localhost/test --db-latency 0
  redstart lab sql-cache --redis redis://localhost:6379 --json`},
	}
}

// labFlags are the flags of one command.
type labFlags struct {
	lab.Options

	fault  string
	report string
	json   bool
}

func newLab() *cobra.Command {
	all := experiments()
	cmd := labCommand(all, experiment{flags: func(f *labFlags, cmd *cobra.Command) {
		cacheFlags(f, cmd)
		limitFlags(f, cmd)
		databaseFlag(f, cmd)
	}})
	cmd.Use = "lab [scenario]"
	cmd.Short = "Run experiments: the recipe that tutorials print beside Redstart, on real traffic and real faults"
	cmd.Long = `Run an experiment, or all of them: the recipe that tutorials print beside Redstart, on the same traffic.

It runs on a private redis-server when there is one on this machine, and else on a server inside this
process. Only what it started itself is ever killed or frozen. On a server given with --redis it works
under a namespace of its own and removes its keys by name afterwards.`
	cmd.Example = `  redstart lab
  redstart lab --trace /var/log/apache2/access.log --report lab.html`
	for _, e := range all {
		sub := labCommand([]experiment{e}, e)
		sub.Use, sub.Short, sub.Example = e.Name(), e.About(), strings.TrimPrefix(e.examples, "\n")
		cmd.Example += "\n" + strings.Split(e.examples, "\n")[1]
		cmd.AddCommand(sub)
	}
	return cmd
}

// labCommand makes the command that runs some experiments, with the flags and the defaults of e.
func labCommand(run []experiment, e experiment) *cobra.Command {
	f := &labFlags{fault: string(lab.None)}
	cmd := &cobra.Command{
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, run) },
	}
	p := cmd.Flags()
	p.StringVar(&f.Redis, "redis", "", "server: a `URL`, or embedded (default: a private redis-server, else embedded)")
	p.IntVar(&f.Workers, "workers", e.workers, "how many callers at a time"+without(e.workers))
	p.Uint64Var(&f.Seed, "seed", 1, "decides all that is left to chance")
	p.StringVar(&f.report, "report", "", "write a page with pictures to `FILE` (HTML)")
	p.BoolVar(&f.json, "json", false, "print one JSON object per scenario instead of the table")
	e.flags(f, cmd)
	if p.Lookup("trace") != nil || e.rate > 0 {
		p.IntVar(&f.Rate, "rate", e.rate, "requests begun in a second; 0 for as many as the workers manage"+without(e.rate))
	}
	return cmd
}

// without says what holds where no number does.
func without(n int) string {
	if n == 0 {
		return " (default: the scenario's)"
	}
	return ""
}

func traceFlags(f *labFlags, cmd *cobra.Command) {
	p := cmd.Flags()
	if p.Lookup("trace") != nil {
		return
	}
	p.StringVar(&f.Trace, "trace", "", "replay a `FILE`: an access log, a CSV with --key-column, or one key per line; may be gzipped")
	p.StringVar(&f.Column, "key-column", "", "`NAME` of the column that holds the key, for a CSV with a header")
	p.IntVar(&f.Requests, "requests", 0, "how many requests (default: the whole trace, or as many as the scenario needs)")
}

func cacheFlags(f *labFlags, cmd *cobra.Command) {
	traceFlags(f, cmd)
	p := cmd.Flags()
	p.StringVar(&f.fault, "fault", f.fault, "a `FAULT` of the server in the middle of the traffic: none, kill or freeze")
	p.BoolVar(&f.Near, "near", false, "also with Redstart's near tier, which keeps values in each process")
	p.BoolVar(&f.Refresh, "refresh", false, "also with refresh-ahead, as tutorials print it and as Redstart does it")
	latencyFlag(f, cmd)
	p.DurationVar(&f.TTL, "ttl", 2*time.Second, "how long cached values live, in whole seconds")
}

func latencyFlag(f *labFlags, cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.Latency, "db-latency", 2*time.Millisecond, "latency of one query of the database")
}

func limitFlags(f *labFlags, cmd *cobra.Command) {
	traceFlags(f, cmd)
	p := cmd.Flags()
	p.IntVar(&f.Limit, "limit", ratelimit.Limit, "how many requests of one client are let through in each --per")
	p.DurationVar(&f.Per, "per", ratelimit.Per, "the span of the limit")
}

func lockFlags(f *labFlags, cmd *cobra.Command) {
	p := cmd.Flags()
	p.IntVar(&f.Requests, "requests", locks.Turns, "how often the lock is taken")
}

func databaseFlag(f *labFlags, cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Database, "database", "",
		"`WHERE` rows are kept: a file of SQLite, of which a copy is used, or postgres://…, in a schema of its own that is dropped afterwards (default: SQLite in a temporary file)")
}

func sessionFlags(f *labFlags, cmd *cobra.Command) {
	databaseFlag(f, cmd)
	cmd.Flags().IntVar(&f.Requests, "requests", sessions.Writes, "how many writes")
}

func queryFlags(f *labFlags, cmd *cobra.Command) {
	databaseFlag(f, cmd)
	latencyFlag(f, cmd)
	cmd.Flags().IntVar(&f.Requests, "requests", musicstore.Reads, "how many queries")
}

// check validates what pflag cannot, and translates to what Options means by zero and negative.
func (f *labFlags) check(cmd *cobra.Command) (err error) {
	p := cmd.Flags()
	if f.Fault, err = lab.ParseFault(f.fault); err != nil {
		return err
	}
	asks := func(flag string) bool { return p.Lookup(flag) != nil }
	switch {
	case f.Requests < 0 || f.Requests > trace.MaxRequests:
		return usage("--requests takes 1 to %d, or 0 for the default", trace.MaxRequests)
	case p.Changed("workers") && f.Workers < 1 || f.Workers < 0 || f.Workers > 10_000:
		return usage("--workers takes 1 to 10000")
	case f.Rate < 0:
		return usage("--rate takes 1 or more, or 0 for no limit")
	case f.Latency < 0 || f.Latency > time.Second:
		return usage("--db-latency takes 0 to 1s")
	case asks("ttl") && (f.TTL < time.Second || f.TTL%time.Second != 0):
		return usage("--ttl takes whole seconds, 1s or more")
	case f.Column != "" && f.Trace == "":
		return usage("--key-column needs --trace FILE")
	case asks("limit") && (f.Limit < 1 || f.Limit > 1000):
		return usage("--limit takes 1 to 1000")
	case asks("per") && (f.Per < 200*time.Millisecond || f.Per > 10*time.Second || f.Per%time.Millisecond != 0):
		return usage("--per takes 200ms to 10s, in whole milliseconds")
	}
	if p.Changed("rate") && f.Rate == 0 {
		f.Rate = -1
	}
	if f.Latency == 0 {
		f.Latency = -1
	}
	return nil
}

func (f *labFlags) run(cmd *cobra.Command, scenarios []experiment) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	var page *os.File
	if f.report != "" {
		// Before the run, so that a bad path costs no waiting; a failed run leaves an older report as it is.
		var err error
		if page, err = os.CreateTemp(filepath.Dir(f.report), ".redstart-report-*"); err != nil {
			return usage("--report %s: %v", f.report, err)
		}
		defer os.Remove(page.Name()) // after the rename there is nothing left
		defer page.Close()           // again: writePage closes it and tells
	}
	var reports []*report.Report
	var failed error
	for i, s := range scenarios {
		progress := newProgress(cmd.ErrOrStderr(), s.Name())
		r, err := s.Run(cmd.Context(), f.Options, progress)
		progress.Done()
		if err != nil && !errors.Is(err, lab.ErrUsage) {
			err = fmt.Errorf("%s: %w", s.Name(), err)
		}
		failed = errors.Join(failed, err)
		if r == nil {
			break
		}
		reports = append(reports, r)
		if i > 0 && !f.json {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := f.print(cmd.OutOrStdout(), r); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
		if err != nil {
			break
		}
	}
	if page != nil && len(reports) > 0 {
		if err := writePage(page, f.report, reports); err != nil {
			return errors.Join(failed, fmt.Errorf("write the report: %w", err))
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "redstart: report written to %s\n", f.report)
	}
	return failed
}

func (f *labFlags) print(w io.Writer, r *report.Report) error {
	if f.json {
		return r.JSON(w)
	}
	return r.Text(w, colours(w))
}

func writePage(page *os.File, path string, reports []*report.Report) error {
	made := fmt.Sprintf("Made by redstart lab on %s with %s on %s/%s, %d CPUs.",
		time.Now().Format("2 January 2006"), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	err := report.HTML(page, reports, made)
	if err == nil {
		err = page.Chmod(0o644)
	}
	if err = errors.Join(err, page.Close()); err != nil {
		return err
	}
	return os.Rename(page.Name(), path)
}

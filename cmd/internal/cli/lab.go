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
	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// labFlags are the flags that all scenarios share.
type labFlags struct {
	lab.Options
	fault  string
	report string
	json   bool
}

func newLab() *cobra.Command {
	f := &labFlags{}
	cmd := &cobra.Command{
		Use:   "lab [scenario]",
		Short: "Run experiments: the recipe that tutorials print beside Redstart, on real traffic and real faults",
		Long: `Run an experiment, or all of them: the recipe that tutorials print beside Redstart, on the same traffic.

It runs on a private redis-server when there is one on this machine, and else on a server inside this
process. Only what it started itself is ever killed or frozen. On a server given with --redis it works
under a namespace of its own and removes its keys by name afterwards.`,
		Example: "  redstart lab" + labExamples(lab.All()[0].Name()),
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd, lab.All()) },
	}
	p := cmd.PersistentFlags()
	p.StringVar(&f.Redis, "redis", "", "server: a `URL`, or embedded (default: a private redis-server, else embedded)")
	p.StringVar(&f.fault, "fault", "none", "a `FAULT` of the server in the middle of the traffic: none, kill or freeze")
	p.BoolVar(&f.Near, "near", false, "also with Redstart's near tier, which keeps values in each process")
	p.BoolVar(&f.Refresh, "refresh", false, "also with refresh-ahead, as tutorials print it and as Redstart does it")
	p.StringVar(&f.Trace, "trace", "", "replay a `FILE`: an access log, a CSV with --key-column, or one key per line; may be gzipped")
	p.StringVar(&f.Column, "key-column", "", "`NAME` of the column that holds the key, for a CSV with a header")
	p.IntVar(&f.Requests, "requests", 0, "how many requests (default: the whole trace, or 10000)")
	p.IntVar(&f.Workers, "workers", 16, "how many callers at a time")
	p.IntVar(&f.Rate, "rate", 2500, "requests begun in a second; 0 for as many as the workers manage")
	p.DurationVar(&f.Latency, "db-latency", 2*time.Millisecond, "latency of one query of the database")
	p.DurationVar(&f.TTL, "ttl", 2*time.Second, "how long cached values live, in whole seconds")
	p.Uint64Var(&f.Seed, "seed", 1, "decides all that is left to chance")
	p.StringVar(&f.report, "report", "", "write a page with pictures to `FILE` (HTML)")
	p.BoolVar(&f.json, "json", false, "print one JSON object per scenario instead of the table")
	for _, s := range lab.All() {
		cmd.AddCommand(&cobra.Command{
			Use:     s.Name(),
			Short:   s.About(),
			Example: strings.TrimPrefix(labExamples(s.Name()), "\n"),
			Args:    noArgs,
			RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd, []lab.Scenario{s}) },
		})
	}
	return cmd
}

func labExamples(scenario string) string {
	return strings.ReplaceAll(`
  redstart lab SCENARIO --fault kill --report lab.html
  redstart lab SCENARIO --near --refresh
  redstart lab SCENARIO --trace /var/log/apache2/access.log
  redstart lab SCENARIO --trace requests.csv --key-column url --requests 50000
  redstart lab SCENARIO --redis redis://localhost:6379 --json`, "SCENARIO", scenario)
}

// check validates what pflag cannot, and translates to what Options means by zero and negative.
func (f *labFlags) check() (err error) {
	if f.Fault, err = lab.ParseFault(f.fault); err != nil {
		return err
	}
	switch {
	case f.Requests < 0 || f.Requests > trace.MaxRequests:
		return usage("--requests takes 1 to %d, or 0 for the whole trace", trace.MaxRequests)
	case f.Workers < 1 || f.Workers > 10_000:
		return usage("--workers takes 1 to 10000")
	case f.Rate < 0:
		return usage("--rate takes 1 or more, or 0 for no limit")
	case f.Latency < 0 || f.Latency > time.Second:
		return usage("--db-latency takes 0 to 1s")
	case f.TTL < time.Second || f.TTL%time.Second != 0:
		return usage("--ttl takes whole seconds, 1s or more")
	case f.Column != "" && f.Trace == "":
		return usage("--key-column needs --trace FILE")
	}
	if f.Rate == 0 {
		f.Rate = -1
	}
	if f.Latency == 0 {
		f.Latency = -1
	}
	return nil
}

func (f *labFlags) run(cmd *cobra.Command, scenarios []lab.Scenario) error {
	if err := f.check(); err != nil {
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

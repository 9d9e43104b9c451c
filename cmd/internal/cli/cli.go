// Package cli is the command line of redstart. Its manners: results go to stdout, everything else to stderr; an error is one
// line that begins with "redstart:" and says what to do; colour is only for terminals, and NO_COLOR is respected. The exit
// code is 0 when all went well, 1 when a run failed, 2 when the command line has to be corrected.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/lab/locks"
	"github.com/redstart-go/redstart/cmd/internal/lab/sessions"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line and returns the exit code. An interrupt ends what runs in good order: servers are stopped,
// files removed. A second one ends it at once.
func Main(args []string, stdout, stderr io.Writer) int {
	if locks.Child() || sessions.Child() {
		return exitOK
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal is the system's again

	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "redstart: interrupted")
		return exitFailed
	case errors.Is(err, lab.ErrUsage):
		fmt.Fprintf(stderr, "redstart: %s (see: %s --help)\n", oneLine(err), ran.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(stderr, "redstart: %s\n", oneLine(err))
		return exitFailed
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "redstart",
		Short: "Redis patterns that stay right when things fail: see, measure, look inside",
		Example: `  redstart lab                                            run every experiment
  redstart lab web-cache --trace access.log --report r.html   on your own traffic, with pictures
  redstart show shop:user:42:profile                          what is in that cache entry`,
		Args:              noArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.AddCommand(newLab(), newShow(), newVersion())
	return root
}

// usage makes an error that the user has to correct.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", lab.ErrUsage, fmt.Sprintf(format, args...))
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasAvailableSubCommands() {
		return usage("%s takes no argument, got %q", cmd.Name(), args[0])
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	what := "command"
	if cmd.HasParent() {
		what = "scenario"
	}
	return usage("unknown %s %q; known: %s", what, args[0], strings.Join(names, ", "))
}

// oneLine drops what the prefix says already, and line breaks.
func oneLine(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", "; ")
	s = strings.TrimPrefix(s, lab.ErrUsage.Error()+": ")
	s = strings.TrimPrefix(s, "redstart: ")
	return strings.TrimPrefix(s, "redstart/")
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor fits
}

// colours reports whether w shows colours and the user wants them.
func colours(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

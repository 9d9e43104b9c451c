// Command testsum runs `go test -json` with the arguments it is given and prints what a person needs of the
// result: a line per package as it finishes, every failure whole, and at the end each skipped test with its
// reason and a count. `go test` itself says nothing of what a passing package skipped, so a test that never ran
// for want of a server would look green.
//
// Its exit code is that of `go test`. With REDSTART_TEST_REQUIRE=1 it is also 1 when a test was skipped for want
// of something from outside: its reason then begins with "needs ".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	code, err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, os.Getenv("REDSTART_TEST_REQUIRE") == "1")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	os.Exit(code)
}

// run starts `go test -json args...`, reports on out, and returns the exit code for the process.
func run(ctx context.Context, args []string, out, errs io.Writer, require bool) (int, error) {
	if len(args) == 0 {
		return 2, errors.New("usage: testsum PACKAGE... (the arguments of go test)")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = errs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	sum := newSummary(out, require)
	readErr := read(stdout, sum)
	waitErr := cmd.Wait()
	sum.Close()

	var exit *exec.ExitError
	switch {
	case errors.As(waitErr, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	case waitErr != nil: // not started, or ended by a signal
		return 1, waitErr
	case readErr != nil:
		return 1, readErr
	case sum.Failed() || len(sum.Wants()) > 0:
		return 1, nil
	}
	return 0, nil
}

// read feeds every event of r to sum. A line that is not an event (a toolchain's notice) is passed on as it is.
func read(r io.Reader, sum *summary) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				sum.Add(e)
			} else {
				sum.Plain(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

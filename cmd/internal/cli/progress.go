package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// newProgress shows a bar on a terminal, and plain lines elsewhere.
func newProgress(w io.Writer, scenario string) lab.Progress {
	if isTerminal(w) {
		return &bar{w: w, scenario: scenario}
	}
	return &lines{w: w, scenario: scenario}
}

type bar struct {
	w        io.Writer
	scenario string
	bar      *progressbar.ProgressBar
}

func (b *bar) Start(what string, steps int) {
	b.Done()
	b.bar = progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetDescription(fmt.Sprintf("%-44s", b.scenario+": "+what)),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionShowCount(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "━", SaucerHead: "━", SaucerPadding: " ", BarStart: "", BarEnd: ""}),
		progressbar.OptionClearOnFinish(),
	)
}

func (b *bar) Step() { b.bar.Add(1) } //nolint:errcheck // a bar that cannot be drawn is no reason to stop

func (b *bar) Done() {
	if b.bar != nil {
		b.bar.Finish() //nolint:errcheck // as above
		b.bar = nil
	}
}

// lines says when a piece of work begins, and every few seconds how far it is.
type lines struct {
	w              io.Writer
	scenario, what string
	step, steps    int
	said           time.Time
}

const sayEvery = 5 * time.Second

func (l *lines) Start(what string, steps int) {
	l.what, l.step, l.steps, l.said = what, 0, steps, time.Now()
	fmt.Fprintf(l.w, "%s: %s\n", l.scenario, l.what)
}

func (l *lines) Step() {
	l.step++
	if time.Since(l.said) >= sayEvery {
		l.said = time.Now()
		fmt.Fprintf(l.w, "%s: %s, %d %%\n", l.scenario, l.what, l.step*100/max(l.steps, 1))
	}
}

func (l *lines) Done() {}

package cost

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const rootPackage = "github.com/redstart-go/redstart"

// Build makes the root package's test program in dir.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "redstart.test")
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, rootPackage).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", rootPackage, err, out)
	}
	return program, nil
}

// Run runs one of the program's BenchmarkCall ("get/client") in both its forms, for so long each.
func Run(ctx context.Context, program, name string, long time.Duration) (c Call, err error) {
	call, who, _ := strings.Cut(name, "/")
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.benchtime="+long.String(),
		fmt.Sprintf("-test.bench=^BenchmarkCall$/^%s$/^%s(-every-core)?$", call, who))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return c, fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	figures := benchmarkFigures(string(out))
	one, every := figures["BenchmarkCall/"+name], figures["BenchmarkCall/"+name+"-every-core"]
	if one == nil || every == nil {
		return c, fmt.Errorf("%s: no figures in\n%s", name, out)
	}
	return Call{Alone: one["ns/op"], Shared: every["ns/op"], Allocs: one["allocs/op"]}, nil
}

// benchmarkLine is a line that a Go benchmark prints: its name, the number of cores unless that is one, the
// iterations, and figures with their units.
var benchmarkLine = regexp.MustCompile(`(?m)^(Benchmark\S+?)(?:-\d+)?\s+\d+\t(.+)$`)

// benchmarkFigures reads what Go benchmarks printed: figures by their units, by name.
func benchmarkFigures(text string) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	for _, line := range benchmarkLine.FindAllStringSubmatch(text, -1) {
		fields := strings.Fields(line[2])
		figures := map[string]float64{}
		for i := 0; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				figures[fields[i+1]] = v
			}
		}
		all[line[1]] = figures
	}
	return all
}

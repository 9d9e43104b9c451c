package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/cmd/internal/lab/locks"
	"github.com/redstart-go/redstart/cmd/internal/lab/sessions"
)

func TestMain(m *testing.M) {
	if locks.Child() || sessions.Child() { // of a test that calls Main
		return
	}
	testscript.Main(leakless{m}, map[string]func(){
		"redstart": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// leakless runs the tests and fails when a goroutine is left.
type leakless struct{ *testing.M }

func (l leakless) Run() int {
	code := l.M.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: fillServer,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":    exitCode,
			"labjson": labJSON,
			"oneline": oneLineOf,
			"results": results,
			"shows":   shows,
		},
	})
}

// exitCode runs redstart and wants an exit code: code 2 lab --workers 0.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("redstart", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("redstart %q: exit code %s, want %s", args[1:], got, args[0])
	}
}

// oneLineOf wants stderr to be one line that begins as errors do.
func oneLineOf(ts *testscript.TestScript, _ bool, _ []string) {
	s := ts.ReadFile("stderr")
	if strings.Count(s, "\n") != 1 || !strings.HasPrefix(s, "redstart: ") || strings.Contains(s, "redstart: redstart") {
		ts.Fatalf("not one line of an error:\n%s", s)
	}
}

// labJSON reads stdout as JSON objects, one a line, with exactly the promised names: labjson <objects>
// <requests> <fault> <results in each>.
func labJSON(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	if fmt.Sprint(len(lines)) != args[0] {
		ts.Fatalf("%d lines, want %s", len(lines), args[0])
	}
	for _, line := range lines {
		var o struct {
			Scenario, Server *string
			Input            *struct{ Requests, Keys *int }
			Fault            *string
			Results          []struct {
				Recipe   *string
				Requests *int
				HitRatio *float64 `json:"hit_ratio"`
				Loads    *int
				Burst    *int     `json:"burst_loads_per_key"`
				Near     *float64 `json:"near_hit_ratio"`
				P50      *float64 `json:"p50_us"`
				P99      *float64 `json:"p99_us"`
				P999     *float64 `json:"p999_us"`
				Stale    *int     `json:"stale_reads"`
				StaleFor *float64 `json:"stale_for_us"`
				Errors   *int
				Misses   *struct {
					First   *int `json:"first_read"`
					Written *int `json:"after_write"`
					Outage  *int
					Rarely  *int `json:"read_rarely"`
					Often   *int `json:"read_often"`
				}
			}
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		ts.Check(d.Decode(&o))
		if o.Scenario == nil || o.Server == nil || o.Input == nil || o.Fault == nil || o.Input.Requests == nil || o.Input.Keys == nil {
			ts.Fatalf("a field is missing in %s", line)
		}
		if fmt.Sprint(*o.Input.Requests) != args[1] || !strings.HasPrefix(*o.Fault, args[2]) {
			ts.Fatalf("%d requests, fault %q", *o.Input.Requests, *o.Fault)
		}
		if fmt.Sprint(len(o.Results)) != args[3] {
			ts.Fatalf("%d results, want %s", len(o.Results), args[3])
		}
		ours := 0
		for _, r := range o.Results {
			if r.Recipe == nil || r.Requests == nil || r.HitRatio == nil || r.Loads == nil || r.Burst == nil || r.P50 == nil ||
				r.P99 == nil || r.P999 == nil || r.Stale == nil || r.Errors == nil || r.Near == nil || r.StaleFor == nil || r.Misses == nil ||
				r.Misses.First == nil || r.Misses.Written == nil || r.Misses.Outage == nil || r.Misses.Rarely == nil || r.Misses.Often == nil {
				ts.Fatalf("a field is missing in %s", line)
			}
			if strings.HasPrefix(*r.Recipe, "redstart") {
				ours++
			} else if strings.Contains(*r.Recipe, "redstart") {
				ts.Fatalf("the recipe %q bears our name", *r.Recipe)
			}
		}
		if ours == 0 || ours == len(o.Results) {
			ts.Fatalf("%d of %d results are ours", ours, len(o.Results))
		}
	}
}

// object is the JSON of a scenario, whatever its results are.
type object struct {
	Scenario, Server, Fault string
	Input                   struct{ Requests, Keys int }
	Results                 []map[string]any
}

// oneObject reads stdout as the JSON object of one scenario.
func oneObject(ts *testscript.TestScript) object {
	var o object
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.DisallowUnknownFields()
	ts.Check(d.Decode(&o))
	return o
}

// results wants the JSON of a scenario, with exactly these names in each result: results <scenario> <requests> <results> <name>...
func results(ts *testscript.TestScript, _ bool, args []string) {
	o := oneObject(ts)
	if got := []string{o.Scenario, fmt.Sprint(o.Input.Requests), fmt.Sprint(len(o.Results))}; !slices.Equal(got, args[:3]) || o.Server == "" || o.Fault == "" {
		ts.Fatalf("got %v of %+v", got, o)
	}
	names := slices.Sorted(slices.Values(args[3:]))
	for _, r := range o.Results {
		if got := slices.Sorted(maps.Keys(r)); !slices.Equal(got, names) {
			ts.Fatalf("names %v", got)
		}
	}
}

// shows wants something to be none with Redstart, which comes last, and some with the recipe, which comes first: shows <name>.
func shows(ts *testscript.TestScript, _ bool, args []string) {
	o := oneObject(ts)
	first, last := o.Results[0], o.Results[len(o.Results)-1]
	if last["recipe"] != "redstart" || last[args[0]] != 0.0 || first[args[0]].(float64) <= 0 {
		ts.Fatalf("%s: %v with %v, %v with %v", args[0], first[args[0]], first["recipe"], last[args[0]], last["recipe"])
	}
}

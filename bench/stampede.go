package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redstart-go/redstart/bench/askers"
	"github.com/redstart-go/redstart/bench/crowd"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/bench/usage"
	"github.com/redstart-go/redstart/redstarttest"
)

// stampedeBenchmark lets 4 processes of 64 goroutines each ask for the same cold key at the same moment.
type stampedeBenchmark struct{}

func (stampedeBenchmark) name() string { return "stampede" }

const (
	stampedeProcesses = 4
	stampedeNotice    = 15 * time.Millisecond // from the order to the moment
	stampedeHeadStart = 20 * time.Millisecond // of one process over the others, while warming up

	stampedeLast     = 1.05 // of the hand-written one's last caller
	stampedeCommands = 40
)

func (b stampedeBenchmark) run(ctx context.Context, l lab) (_ []table.Section, err error) {
	all := askers.All()
	teams := make([]*team, 0, len(all))
	defer func() {
		for _, t := range teams {
			t.close()
		}
	}()
	for _, c := range all {
		l.tell("stampede: %s: starting %d processes", c.Name, stampedeProcesses)
		t, err := newTeam(ctx, l, c)
		if t != nil {
			teams = append(teams, t)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	// The control, which is the first, runs twice a round.
	slots := append([]*team{teams[0]}, teams...)
	got := make([][]stampede, len(slots))
	for round := range l.rounds {
		l.tell("stampede: round %d of %d", round+1, l.rounds)
		for _, i := range order(round, len(slots)) {
			s, err := slots[i].round(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", slots[i].Name, err)
			}
			got[i] = append(got[i], s)
		}
	}
	return []table.Section{b.section(all, got)}, nil
}

// stampede is what one came to.
type stampede struct {
	loads    int
	last     float64        // ms until the last caller had the value
	commands map[string]int // by name, as the server counts them
}

func (s stampede) total() float64 {
	n := 0
	for _, calls := range s.commands {
		n += calls
	}
	return float64(n)
}

// team is a contestant's processes, and its own server, so that no other's commands are counted.
type team struct {
	askers.Contestant
	server   *redstarttest.Server // nil for one that needs none
	children []*crowd.Child
	asked    int // ids used up: every stampede is for a key that is cold
}

// newTeam starts the processes and warms them up: one stampede for each, in which it has a head start and loads while
// the others wait, so that afterwards each has loaded once, has waited, and has the connections for both.
func newTeam(ctx context.Context, l lab, c askers.Contestant) (*team, error) {
	t := &team{Contestant: c}
	r := crowd.Role{Contestant: c.Name, Place: askers.Place{Callers: callers, TTL: ttl}}
	if !c.Local {
		var err error
		if t.server, err = l.server(ctx); err != nil {
			return t, err
		}
		r.Place.Address, r.Place.URL = t.server.Addr(), t.server.URL()
		if c.Prepare != nil {
			if err := c.Prepare(ctx, t.server); err != nil {
				return t, err
			}
		}
	}
	for range stampedeProcesses {
		one, err := crowd.Start(ctx, r)
		if err != nil {
			return t, err
		}
		t.children = append(t.children, one)
	}
	for i := range t.children {
		if _, err := t.stampede(i); err != nil {
			return t, fmt.Errorf("warming up: %w", err)
		}
	}
	return t, nil
}

func (t *team) close() {
	for _, c := range t.children {
		c.End()
	}
	if t.server != nil {
		_ = t.server.Close()
	}
}

// round is a stampede with the commands that it cost.
func (t *team) round(ctx context.Context) (stampede, error) {
	before, err := t.settled(ctx)
	if err != nil {
		return stampede{}, err
	}
	s, err := t.stampede(-1)
	if err != nil {
		return s, err
	}
	after, err := t.settled(ctx)
	if err != nil {
		return s, err
	}
	s.commands = map[string]int{}
	for name, calls := range after {
		if calls -= before[name]; calls > 0 {
			s.commands[name] = calls
		}
	}
	return s, nil
}

// stampede sends all processes off at the same moment. One of them (-1: none) has a head start.
func (t *team) stampede(first int) (s stampede, err error) {
	t.asked++
	at := time.Now().Add(stampedeNotice)
	for i, c := range t.children {
		o := crowd.Order{ID: t.asked, At: at.UnixNano()}
		if first >= 0 && i != first {
			o.At = at.Add(stampedeHeadStart).UnixNano()
		}
		if err := c.Send(o); err != nil {
			return s, err
		}
	}
	for _, c := range t.children {
		out, answerErr := c.Answer()
		err = errors.Join(err, answerErr)
		s.loads += out.Loads
		s.last = max(s.last, float64(out.Last)/float64(time.Millisecond))
	}
	return s, err
}

// settled gives the server's counts of commands once they stand still.
func (t *team) settled(ctx context.Context) (map[string]int, error) {
	if t.server == nil {
		return nil, nil
	}
	var last map[string]int
	for begin := time.Now(); time.Since(begin) < crowd.Limit; {
		now, err := usage.Commands(ctx, t.server)
		if err != nil {
			return nil, err
		}
		if last != nil && maps.Equal(now, last) {
			return now, nil
		}
		last = now
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("commands still come %v after the last caller", crowd.Limit)
}

// section sums the rounds up; got[0] and got[1] are the control's.
func (b stampedeBenchmark) section(all []askers.Contestant, got [][]stampede) table.Section {
	last := func(s stampede) float64 { return s.last }
	loads := func(s stampede) float64 { return float64(s.loads) }
	first, second := table.Pick(got[0], last), table.Pick(got[1], last)
	columns := []table.Column{
		{Key: "loads", Title: "loads"},
		{Key: "most_loads", Title: "most"},
		{Key: "last_ms", Title: "last caller ms", Digits: 1},
		{Key: "ratio", Title: "ratio", Digits: 3, Spread: true},
		{Key: "commands", Title: "commands"},
		{Key: "most_commands", Title: "most"},
	}
	s := table.Section{
		Name: b.name(), Title: "a cold key, asked for by 4 × 64 callers", Control: all[0].Name, Columns: columns,
		How: "4 processes of 64 goroutines; the loader takes 50 ms. Medians, and the most of any round. Commands as the server counts them, those inside\n" +
			"scripts as well, PINGs of idle connections not; every process has loaded and waited before. The ratio is of the last caller's time.",
		Noise: table.SpreadOf(table.Over(second, first)).Noise(),
	}
	add := func(name, about string, rounds []stampede, ratios []float64) {
		s.Rows = append(s.Rows, table.Row{Name: name, About: about, Columns: columns, Figures: []table.Spread{
			table.Exact(table.Median(table.Pick(rounds, loads))),
			table.Exact(slices.Max(table.Pick(rounds, loads))),
			table.Exact(table.Median(table.Pick(rounds, last))),
			table.SpreadOf(ratios),
			table.Exact(table.Median(table.Pick(rounds, stampede.total))),
			table.Exact(slices.Max(table.Pick(rounds, stampede.total))),
		}})
	}
	add(all[0].Name, all[0].About, got[0], nil)
	add(all[0].Name+table.Again, "the control once more; the ratio is to its other run, those below are to the mean of both", got[1], table.Over(second, first))
	control := table.Mean(first, second)
	for i, c := range all[1:] {
		rounds := got[i+2]
		about := c.About
		if !c.Local {
			about = strings.TrimPrefix(about+"; commands: "+breakdown(rounds), "; ")
		}
		add(c.Name, about, rounds, table.Over(table.Pick(rounds, last), control))
	}
	r := s.Find("redstart")
	most := max(r.At("most_loads"), s.Find("redstart, polling").At("most_loads"))
	s.Verdicts = []table.Verdict{
		table.AtMost("redstart loads once, in every round, with tracking and without", most, 1, 0),
		table.AtMost(fmt.Sprintf("redstart's last caller within %.2f of the hand-written one's", stampedeLast), r.At("ratio"), stampedeLast, 3),
		table.AtMost(fmt.Sprintf("redstart costs at most %d commands", stampedeCommands), r.At("commands"), stampedeCommands, 0),
	}
	return s
}

// breakdown names the commands of the median round.
func breakdown(rounds []stampede) string {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b stampede) int { return int(a.total() - b.total()) })
	commands := sorted[len(sorted)/2].commands
	parts := make([]string, 0, len(commands))
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, commands[name]))
	}
	return strings.Join(parts, ", ")
}

// Package usage is what a server and this process have used so far.
package usage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// Server is what the server has used so far, user and system.
func Server(ctx context.Context, server *redstarttest.Server) (time.Duration, error) {
	reply, err := server.Do(ctx, "INFO", "cpu")
	if err != nil {
		return 0, err
	}
	text, _ := reply.(string)
	var seconds float64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("INFO cpu: %w", err)
			}
			seconds += v
		}
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// Commands gives the server's counts of commands by name. What keeps idle connections alive (PING) and what asks for
// the counts (INFO) are left out. A command that the server refused was sent as well, and counts.
func Commands(ctx context.Context, server *redstarttest.Server) (map[string]int, error) {
	reply, err := server.Do(ctx, "INFO", "commandstats")
	if err != nil {
		return nil, err
	}
	text, _ := reply.(string)
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
		if !ok || name == "info" || name == "ping" {
			continue
		}
		for field := range strings.SplitSeq(rest, ",") {
			what, value, _ := strings.Cut(field, "=")
			if what != "calls" && what != "rejected_calls" {
				continue
			}
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, fmt.Errorf("INFO commandstats: %w", err)
			}
			counts[name] += n
		}
	}
	return counts, nil
}

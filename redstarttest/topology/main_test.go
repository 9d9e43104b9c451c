package topology_test

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got gives the value of a call that must not fail.
func got[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// do asks a node's process.
func do(t *testing.T, n *topology.Node, args ...string) any {
	t.Helper()
	return got(n.Do(within(t, patience), args...))(t)
}

// refused asks for what must be answered with an error.
func refused(t *testing.T, n *topology.Node, args ...string) string {
	t.Helper()
	reply, err := n.Do(within(t, patience), args...)
	var e redstarttest.ReplyError
	if !errors.As(err, &e) {
		t.Fatalf("%v = %v, %v; want an error reply", args, reply, err)
	}
	return string(e)
}

// onEach runs f for every server program of the machine, all at the same time: most of it is waiting.
func onEach(t *testing.T, f func(t *testing.T, i int, path string)) {
	t.Helper()
	all := redstarttest.Launchers()
	if len(all) == 0 {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
	}
	for i, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			f(t, i, l.Path)
		})
	}
}

// closes checks that Close leaves no process of the nodes.
func closes(t *testing.T, topology interface{ Close() error }, nodes []*topology.Node) {
	t.Helper()
	must(t, topology.Close())
	for _, n := range nodes {
		if err := syscall.Kill(n.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is there after Close: %v", n.Pid(), err)
		}
	}
	must(t, topology.Close()) // again: no error
}

// inSlot makes a key of the slot, another for each n.
func inSlot(slot, n int) string {
	for i := 0; ; i++ {
		key := "{" + strconv.Itoa(i) + "}:" + strconv.Itoa(n)
		if keySlot(key) == slot {
			return key
		}
	}
}

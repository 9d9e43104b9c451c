package topology_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

func keySlot(k string) int { return int(key.Slot(k)) }

// ask sends a command to an address, as a client does, and gives the first line of the answer.
func ask(t *testing.T, addr string, args ...string) string {
	t.Helper()
	return got(askWithin(patience, addr, args...))(t)
}

func askWithin(d time.Duration, addr string, args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, d)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(d))
	fmt.Fprintf(conn, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(a), a)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(line[1:], "\r\n"), nil
}

// recorder is a TB that notes that a test would have been skipped.
type recorder struct {
	*testing.T
	skip string
}

func (r *recorder) Skipf(format string, args ...any) { r.skip = fmt.Sprintf(format, args...) }

func TestSkippedWithoutServers(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("REDSTART_TEST_REQUIRE", "")
	r := &recorder{T: t}
	if s := topology.RunSentinel(r, topology.SentinelConfig{}); s != nil || !strings.HasPrefix(r.skip, "needs redis-server") {
		t.Errorf("Sentinel: skipped %q", r.skip)
	}
	r = &recorder{T: t}
	if c := topology.RunCluster(r, topology.ClusterConfig{}); c != nil || !strings.HasPrefix(r.skip, "needs redis-server") {
		t.Errorf("Cluster: skipped %q", r.skip)
	}
}

package sqlcache

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	osexec "os/exec"
	"testing"

	"github.com/redstart-go/redstart"
)

// childEnv makes the test's program one that writes, and dies between the commit
// and what comes after it.
const childEnv = "REDSTART_SQLCACHE_CHILD"

// order is what a child is to do.
type order struct {
	Driver, DSN, Redis, Table string
	Row, Value                int
	Who                       string
	Naive                     bool
}

// TestChild is such a child, where the program was started as one.
func TestChild(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	var o order
	must(t, json.Unmarshal([]byte(text), &o))
	t.Fatal("the child lives: ", o.run(context.Background()))
}

func (o order) run(ctx context.Context) error {
	c, err := redstart.Open(ctx, o.Redis, redstart.Config{})
	if err != nil {
		return err
	}
	x, err := newStore(c, o.Driver, o.DSN, o.Table, o.Naive, meddler{die: true})
	if err != nil {
		return err
	}
	return x.write(ctx, nil, o.Who, map[int]int{o.Row: o.Value}, true)
}

// dies runs a child and waits for its death.
func (o order) dies(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(o)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := osexec.Command(self, "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	if exit := (*osexec.ExitError)(nil); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
}

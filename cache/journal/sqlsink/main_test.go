package sqlsink

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/cache/journal"
)

var _ journal.Sink[string, []byte] = (*Sink[string, []byte])(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

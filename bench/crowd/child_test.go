package crowd

import (
	"bytes"
	"strings"
	"testing"
)

func TestChildRefusesWhatIsNoRole(t *testing.T) {
	for _, role := range []string{"x", `{"contestant":"nobody"}`} {
		var out, errs bytes.Buffer
		if code := Main(role, strings.NewReader(""), &out, &errs); code != 1 || !strings.Contains(out.String(), `"error"`) {
			t.Errorf("%s: exit %d, %q", role, code, out.String())
		}
	}
}

package wake

import (
	"slices"
	"testing"

	"github.com/redstart-go/redstart/key"
)

func TestSlotsPrimary(t *testing.T) {
	slot := key.Slot("k")
	for name, c := range map[string]struct {
		ranges []slotRange
		want   string
	}{
		"none":   {nil, ""},
		"all":    {[]slotRange{{0, 16383, "a"}}, "a"},
		"begins": {[]slotRange{{0, slot - 1, "a"}, {slot, 16383, "b"}}, "b"},
		"ends":   {[]slotRange{{0, slot, "a"}, {slot + 1, 16383, "b"}}, "a"},
		"alone":  {[]slotRange{{0, slot - 1, "a"}, {slot, slot, "b"}, {slot + 1, 16383, "a"}}, "b"},
		"a gap":  {[]slotRange{{0, slot - 1, "a"}, {slot + 1, 16383, "b"}}, ""},
		"before": {[]slotRange{{slot + 1, 16383, "b"}}, ""},
	} {
		addr, ok := (&Slots{c.ranges}).Primary("k")
		if addr != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", name, addr, ok)
		}
	}
	s := &Slots{[]slotRange{{0, 1, "b"}, {2, 3, "a"}, {4, 5, "b"}}}
	if got := s.Primaries(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Primaries = %v", got)
	}
}

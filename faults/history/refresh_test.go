package history

import "testing"

func TestRefreshedOnceCatches(t *testing.T) {
	first := Load{Key: 1, Process: 1, Version: 2, Begin: 0, End: 10}
	over := func(process uint16, begin uint64) Load {
		return Load{Key: 1, Process: process, Old: 2, Version: 3, Begin: begin, End: begin + 10}
	}
	dies := func(l Load) bool { return l.Process == 9 }
	for _, test := range []struct {
		name  string
		loads []Load
		wrong int
	}{
		{"once", []Load{first, over(1, 110)}, 0},
		{"twice", []Load{first, over(1, 110), over(2, 500)}, 1},
		{"too early", []Load{first, over(1, 109)}, 1},
		{"a miss", []Load{first, {Key: 1, Version: 4, Begin: 500, End: 510}}, 1},
		{"after a death", []Load{first, over(9, 110), over(1, 160)}, 0},
		{"before its lease is over", []Load{first, over(9, 110), over(1, 159)}, 1},
		{"twice after a death", []Load{first, over(9, 110), over(1, 160), over(2, 300)}, 1},
	} {
		if wrong := RefreshedOnce(test.loads, dies, 50, 100); len(wrong) != test.wrong {
			t.Errorf("%s: %v", test.name, wrong)
		}
	}
}

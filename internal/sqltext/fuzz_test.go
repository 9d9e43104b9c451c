package sqltext

import "testing"

// Nothing is too odd to be analyzed, and what may be cached changes nothing.
func FuzzStatement(f *testing.F) {
	for _, s := range []string{
		"select * from a; delete from b", "with x as (delete from a returning *) select 1", "select $a$ $", "select '",
		"/* cache ttl=1s */ select 1", "e'\\", "a[", "(((", "update", "select 1 /*! ; delete from a */",
	} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(1))
	}
	f.Fuzz(func(t *testing.T, s string, d uint8) {
		if st := Analyze(s, Postgres+Dialect(d%4)); st.Read && !st.Plain() && st.Bad == nil && len(st.Ends) == 0 {
			t.Errorf("%q may be cached, and changes something: %+v", s, st)
		}
	})
}

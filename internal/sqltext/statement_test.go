package sqltext

import (
	"fmt"
	"strings"
	"testing"
)

// told is what an analysis says, in few words.
func told(s *statement) string {
	var b strings.Builder
	if s.bad != nil {
		return "bad"
	}
	if s.read {
		fmt.Fprintf(&b, "read %s", strings.Join(s.tables, ","))
		if s.blind {
			b.WriteString(" blind")
		}
	}
	if len(s.writes) > 0 {
		fmt.Fprintf(&b, " writes %s", strings.Join(s.writes, ","))
	}
	if s.all {
		b.WriteString(" all")
	}
	for v, name := range map[Verb]string{Begin: "begin", Commit: "commit", Rollback: "rollback", AutocommitOff: "auto off", AutocommitOn: "auto on"} {
		if s.verb == v {
			b.WriteString(" " + name)
		}
	}
	if s.strict {
		b.WriteString(" strict")
	}
	for v, name := range map[Session]string{Own: "own", Moved: "moved", Fresh: "fresh"} {
		if s.set == v {
			b.WriteString(" " + name)
		}
	}
	if s.noted {
		fmt.Fprintf(&b, " note %v %v %v", s.note.ttl, s.note.tags, s.note.ends)
	}
	return strings.TrimSpace(b.String())
}

func TestAnalyze(t *testing.T) {
	any4 := []Dialect{Postgres, MySQL, SQLite, Other}
	for _, test := range []struct {
		text string
		want string
		in   []Dialect
	}{
		{"SELECT 1", "read", any4},
		{"select * from track", "read track", any4},
		{"SELECT * FROM public.track t, album AS a WHERE t.id = a.id", "read album,track", any4},
		{"SELECT * FROM a JOIN b ON a.x = b.y, c LEFT OUTER JOIN s.d USING (x, y) WHERE e IN (1, 2)", "read a,b,c,d", any4},
		{"SELECT (SELECT max(x) FROM a), b FROM (SELECT * FROM c) AS d, (e JOIN f ON 1 = 1), g", "read a,c,e,f,g", any4},
		{`SELECT * FROM "My Table", "s"."Order"`, "read my table,order", any4},
		{"SELECT * FROM `a b`.`c``d`", "read c`d", []Dialect{MySQL, SQLite}},
		{"SELECT * FROM [a b].[c]", "read c", []Dialect{SQLite, Other}},
		{"SELECT a[1] FROM t", "read t", []Dialect{Postgres}},
		{"SELECT 'from x', $1 FROM t WHERE n = 'it''s from y'", "read t", any4},
		{"SELECT $$ from x $$, $a$ from $$ y $a$ FROM t", "read t", []Dialect{Postgres}},
		{`SELECT E'\' from x ', 'a\' FROM t`, "read t", []Dialect{Postgres}},
		{`SELECT 'a\' from x' FROM t`, "read t", []Dialect{MySQL}},
		{"SELECT 1 -- from x\nFROM t", "read t", any4},
		{"SELECT 1 # from x\nFROM t", "read t", []Dialect{MySQL}},
		{"SELECT 5--2 FROM t", "read t", []Dialect{MySQL}},
		{"SELECT /* from x /* from y */ from z */ 1 FROM t", "read t", []Dialect{Postgres}},
		{"SELECT /* from x */ 1 FROM t", "read t", any4},
		{"SELECT 1 FROM t /*!40000 , u */", "read t,u", []Dialect{MySQL}},
		{"WITH x AS (SELECT * FROM a) SELECT * FROM x", "read a,x", any4},
		{"VALUES (1), (2)", "read", any4},
		{"TABLE track", "read track", []Dialect{Postgres, MySQL}},
		{"SELECT extract(year FROM d) FROM t", "read d,t", any4},
		{"SELECT * FROM generate_series(1, 3) g, t", "read t", []Dialect{Postgres}},
		{"SELECT * FROM my_tracks(1)", "read  blind", any4},
		{"(SELECT * FROM a) UNION (SELECT * FROM b)", "read a,b", any4},
		{"SELECT * FROM a UNION ALL SELECT * FROM b ORDER BY 1, 2", "read a,b", any4},

		// Never cached.
		{"SELECT * FROM t FOR UPDATE", "", any4},
		{"SELECT * FROM t FOR NO KEY UPDATE", "", any4},
		{"SELECT * FROM t FOR SHARE", "", any4},
		{"SELECT * FROM t LOCK IN SHARE MODE", "", any4},
		{"SELECT now(), t.* FROM t", "", any4},
		{"SELECT pg_catalog . now ( ) FROM t", "", any4},
		{`SELECT "now"() FROM t`, "", any4},
		{"SELECT t.now FROM t", "read t", any4},
		{"SELECT random() FROM t", "", any4},
		{"SELECT nextval('s')", "", any4},
		{"SELECT current_date", "", any4},
		{"SELECT 'now'::timestamp", "", any4},
		{"SELECT date('now') FROM t", "", []Dialect{SQLite}},
		{"SELECT datetime() FROM t", "", []Dialect{SQLite}},
		{"SELECT date(created) FROM t", "read t", any4},
		{"SELECT @x FROM t", "", []Dialect{MySQL}},
		{"SELECT a @> b FROM t", "read t", []Dialect{Postgres}},
		{"SELECT set_config('search_path', 'x', false)", "own", any4},
		{"SELECT * INTO TEMP x FROM t", "all own", []Dialect{Postgres}},
		{"SELECT 1; SELECT 2", "", any4},
		{"SELECT 'unfinished", "all", any4},
		{`SELECT * FROM U&"d\0061t"`, "all", any4},

		// Changes.
		{"INSERT INTO track (a) VALUES (1)", "writes track", any4},
		{"INSERT INTO s.track SELECT * FROM old", "writes track", any4},
		{"insert or replace into track values (1)", "writes track", any4},
		{"INSERT IGNORE track VALUES (1)", "writes track", any4},
		{"INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2 RETURNING *", "writes t", any4},
		{"INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2", "writes t", any4},
		{"REPLACE INTO t VALUES (1)", "writes t", any4},
		{"UPDATE ONLY s.t AS x SET a = (SELECT b FROM c)", "writes t", any4},
		{"UPDATE a JOIN b ON a.x = b.x SET a.y = 1, b.y = 2", "writes a,b", any4},
		{"UPDATE a, (SELECT 1) x SET a.y = 1", "writes a", any4},
		{`UPDATE "T" SET a = 1 FROM b WHERE 1 = 1`, "writes t", any4},
		{"DELETE FROM t WHERE x IN (SELECT y FROM z)", "writes t", any4},
		{"DELETE a, b FROM a JOIN b ON 1 = 1", "writes a,b", any4},
		{"DELETE FROM a USING a JOIN b ON 1 = 1", "writes a,b", any4},
		{"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (1)", "writes t", any4},
		{"TRUNCATE TABLE a, b", "writes a,b", any4},
		{"TRUNCATE a CASCADE", "writes a all", any4},
		{"COPY track (a) FROM STDIN", "writes track", any4},
		{"COPY track TO STDOUT", "", any4},
		{"COPY (SELECT 1) TO STDOUT", "", any4},
		{"LOAD DATA INFILE 'x' INTO TABLE s.t", "writes t", any4},
		{"WITH x AS (UPDATE a SET b = 1 RETURNING *) SELECT * FROM x", "writes a", any4},
		{"WITH x AS (DELETE FROM a RETURNING *), y AS (INSERT INTO b SELECT * FROM x RETURNING *) SELECT * FROM y", "writes a,b", any4},
		{"WITH x AS (SELECT 1) INSERT INTO b SELECT * FROM x", "writes b", any4},
		{"WITH x AS (SELECT 1) UPDATE b SET c = 1", "writes b", any4},
		{"EXPLAIN ANALYZE UPDATE a SET b = 1", "writes a", []Dialect{Postgres}},
		{"EXPLAIN UPDATE a SET b = 1", "", any4},
		{"INSERT INTO $1 VALUES (1)", "all", any4},
		{"UPDATE a SET b = 1; DELETE FROM c", "writes a,c", any4},
		{"SELECT replace(a, 'x', 'y'), insert(b, 1, 2, 'z') FROM t", "read t", any4},
		{"SELECT t.update, t.delete FROM t", "read t", any4},
		{"CREATE TABLE x (a int REFERENCES y ON DELETE CASCADE)", "all", any4},
		{"CREATE TRIGGER x AFTER INSERT ON y BEGIN UPDATE z SET a = 1; END", "all", any4},
		{"CREATE TEMP TABLE x (a int)", "all own", any4},
		{"DROP TABLE x", "all", any4},
		{"CALL p()", "all", any4},
		{"DO $$ BEGIN END $$", "all", any4},
		{"EXECUTE p(1)", "all", any4},
		{"GRANT SELECT ON t TO u", "all", any4},
		{"something else", "all", any4},
		{"", "", any4},

		// Transactions.
		{"BEGIN", "begin", any4},
		{"start transaction isolation level repeatable read", "begin strict", any4},
		{"BEGIN ISOLATION LEVEL READ COMMITTED", "begin", any4},
		{"COMMIT", "commit", any4},
		{"END", "commit", any4},
		{"ROLLBACK", "rollback", any4},
		{"ROLLBACK TO SAVEPOINT a", "", any4},
		{"SAVEPOINT a", "", any4},
		{"PREPARE TRANSACTION 'x'", "all commit", any4},
		{"COMMIT PREPARED 'x'", "all commit", any4},
		{"BEGIN; UPDATE a SET b = 1; COMMIT", "writes a all commit", any4},
		{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "strict", any4},
		{"SET autocommit = 0", "auto off", []Dialect{MySQL}},
		{"SET autocommit=1", "auto on", []Dialect{MySQL}},

		// Sessions.
		{"SET search_path TO a, b", "moved", []Dialect{Postgres}},
		{"SET SESSION search_path = a", "moved", []Dialect{Postgres}},
		{"SET LOCAL search_path = a", "strict", []Dialect{Postgres}},
		{"SET SCHEMA 'x'", "moved", []Dialect{Postgres}},
		{"SET ROLE x", "moved", []Dialect{Postgres}},
		{"SET SESSION AUTHORIZATION x", "moved", []Dialect{Postgres}},
		{"SET TIME ZONE 'UTC'", "moved", []Dialect{Postgres}},
		{"RESET ALL", "moved", []Dialect{Postgres}},
		{"DISCARD ALL", "fresh", []Dialect{Postgres}},
		{"DISCARD TEMP", "own", []Dialect{Postgres}},
		{"SET app.tenant = '1'", "own", []Dialect{Postgres}},
		{"SET statement_timeout = 1", "", []Dialect{Postgres}},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "strict own", []Dialect{Postgres}},
		{"USE x", "moved", []Dialect{MySQL}},
		{"SET @x = 1", "own", []Dialect{MySQL}},
		{"SET NAMES utf8mb4", "moved", []Dialect{MySQL}},
		{"PRAGMA foreign_keys = ON", "", []Dialect{SQLite}},
		{"PRAGMA main.table_info(x)", "", []Dialect{SQLite}},
		{"PRAGMA case_sensitive_like = ON", "own", []Dialect{SQLite}},
		{"ATTACH 'x' AS y", "own", []Dialect{SQLite}},

		// Comments.
		{"/* cache ttl=30s tags=Track,album */ SELECT * FROM t", "read t note 30s [album track] []", any4},
		{"SELECT * FROM t /*cache*/", "read t note 0s [] []", any4},
		{"SELECT '/* cache ttl=30s */' FROM t", "read t", any4},
		{`SELECT "/* cache ttl=30s */" FROM t`, "read t", any4},
		{"SELECT * FROM t -- /* cache ttl=30s */", "read t", any4},
		{"SELECT * FROM t /* cached by nobody */", "read t", any4},
		{"SELECT * FROM t /* cache is cold here */", "read t", any4},
		{"SELECT * FROM t /* cache ttl=30 */", "bad", any4},
		{"SELECT * FROM t /* cache ttl=-1s */", "bad", any4},
		{"SELECT * FROM t /* cache tll=30s */", "bad", any4},
		{"SELECT * FROM t /* cache tags=a,,b */", "bad", any4},
		{"SELECT * FROM t /* cache ttl=30s for ever */", "bad", any4},
		{"/* cache ttl=1s */ SELECT * FROM t /* cache ttl=2s */", "bad", any4},
		{"UPDATE t SET a = 1 /* cache invalidates=x,y */", "writes t note 0s [] [x y]", any4},
	} {
		for _, d := range test.in {
			if got := told(analyze(test.text, d)); got != strings.TrimSpace(test.want) {
				t.Errorf("%d: %s\n got %q\nwant %q", d, test.text, got, test.want)
			}
		}
	}
}

// Whatever the text, an analysis ends, and says the same again.
func FuzzAnalyze(f *testing.F) {
	for _, text := range []string{"SELECT * FROM a /* cache ttl=1s */", "WITH x AS (UPDATE a SET b = 1) SELECT 1", "a'b\"c`d[e$$f", "/*/*", "--", "DELETE a,(b"} {
		f.Add(text, uint8(1))
	}
	f.Fuzz(func(t *testing.T, text string, d uint8) {
		dialect := Dialect(d % 5)
		if a, b := told(analyze(text, dialect)), told(analyze(text, dialect)); a != b {
			t.Errorf("%q: %q, then %q", text, a, b)
		}
	})
}

// Package database gives tests real databases and faults that are real.
//
// # What
//
// [RunPostgres] and [RunMariaDB] make a private database for a test and start its
// server: a folder of its own, a free port of 127.0.0.1 or a Unix socket alone,
// stopped at the end of the test and removed. [StartPostgres] and [StartMariaDB] do
// so without a test. [Server.DSN] is what a driver wants to hear; none is imported
// here. The faults are those of package redstarttest: [Server.Kill] is SIGKILL to
// the server and every process that it has started, [Server.Freeze] SIGSTOP to all
// of them, [Server.Restart] brings it back on the same port and data, with the
// database's own recovery.
//
// # When not
//
// Not for anything of value: whoever reaches the port may do everything, and nothing
// here is meant to keep data. SIGKILL does not test fsync, for the page cache
// survives it. Faults need a Unix; elsewhere Freeze and Continue give an error.
//
// # Guarantees
//
// A server that is returned takes connections, and it is the process that was
// started. It forces each commit to the disk unless Config.NoSync says otherwise.
// PostgreSQL and MariaDB refuse to be run by root: a test that is run by root has
// them run by the users that their packages make (postgres, mysql), or by nobody.
// Only processes that this package started and their children are ever signalled,
// by their ids. After Kill, Restart or Close they are gone: no backend commits what
// it was at when the server was killed. Configuration files of the machine are not
// read. On Linux the kernel kills the servers when the program dies in whatever way.
//
// # Keys and cost
//
// No keys are stored. A start takes about a second of which most is the making of
// the database, and 40 MiB (PostgreSQL) or 35 MiB (MariaDB) of the temporary
// folder's disk. PostgreSQL that was killed and not restarted leaves a shared memory
// segment of 56 bytes behind. Programs are looked for on PATH, then where Debian
// puts them (/usr/lib/postgresql/*/bin, the newest; /usr/sbin).
//
// # Example
//
//	func TestSurvivesTheDatabase(t *testing.T) {
//		srv := database.RunPostgres(t, database.Config{})
//		db, err := sql.Open("pgx", srv.DSN())
//		// … begin something …
//		if err := srv.Kill(); err != nil {
//			t.Fatal(err)
//		}
//		if err := srv.Restart(t.Context()); err != nil {
//			t.Fatal(err)
//		}
//		// … what was committed is there, and nothing else …
//	}
package database

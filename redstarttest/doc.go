// Package redstarttest gives tests real Redis servers and faults that are real.
//
// # What
//
// [Run] starts a private redis-server for a test: free port of 127.0.0.1 or a
// Unix socket, a folder of its own, no snapshots, the append-only file off or at
// one of two fsync policies, stopped at the end of the test. Its faults are those
// of a machine: [Server.Kill] is SIGKILL, [Server.Freeze] SIGSTOP, and
// [Server.Cut] takes the tail of the append-only file that a power failure would
// have taken; [Server.Restart] brings it back on the same port and folder.
// [Launchers] lists the servers of the machine, for a test that must hold on each.
// Package proxy below stands between a client and any server and loses, delays
// or replaces what passes; package topology below starts Sentinel and Cluster,
// with such proxies between their processes; package database below starts
// PostgreSQL and MariaDB. [Data] finds a test's data file, and [Eventually] waits
// for a condition.
//
// Nothing here imports package testing: what takes a [TB] can be used by a program
// as well, and [StartServer] needs none.
//
// Environment: REDSTART_TEST_SERVERS names a folder with one folder per further
// server, each with a redis-server in it; REDSTART_TEST_DATA names the folder of
// data files; with REDSTART_TEST_REQUIRE=1 a test for which a server or data is
// missing fails instead of being skipped.
//
// # When not
//
// Not for servers that hold anything of value: nothing here is meant to keep data.
// A test that needs no fault, no script fidelity and no persistence runs faster on
// package embedded. SIGKILL does not test fsync, for the page cache survives it:
// use Cut for that. Faults need a Unix; elsewhere Freeze and Continue give an error.
//
// # Guarantees
//
// A server that StartServer returns has answered PING, and it is the process that
// was started: another's server on the same port is never taken for it. Only
// processes that this package started are ever signalled, by their id, and never
// after they have been waited for. After Kill, Restart or Close the process of
// before is gone, not a zombie. Close ends a frozen server as well, and may be
// called again. On Linux the kernel kills the servers when the program dies in
// whatever way; elsewhere a killed program leaves them running. Freeze returns when
// the kernel has stopped the process (on Linux; elsewhere when it was told to).
// Clocks are never changed.
//
// # Keys and cost
//
// No keys are stored, and readiness is asked with PING and INFO. A start takes
// about 20 to 50 ms, a connection per [Server.Do]; on Linux a server holds one
// thread of the program while it runs, because the kernel ties its death to the
// thread that started it.
//
// # Example
//
//	func TestSurvivesRestart(t *testing.T) {
//		srv := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
//		client, err := redstart.Open(t.Context(), srv.URL(), redstart.Config{})
//		// … write …
//		if err := srv.Kill(); err != nil {
//			t.Fatal(err)
//		}
//		if err := srv.Restart(t.Context()); err != nil {
//			t.Fatal(err)
//		}
//		// … everything acknowledged is there …
//	}
package redstarttest

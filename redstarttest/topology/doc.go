// Package topology gives tests real deployments of Redis: Sentinel and Cluster, as processes on loopback.
//
// # What
//
// [RunSentinel] starts a primary, two replicas and three sentinels, [RunCluster] three primaries and three replicas;
// [StartSentinel] and [StartCluster] do so without a test; [Shared] is one of each for all tests of a package. Each server is a [Node], a redstarttest.Server with all
// its faults (Kill, Freeze, Restart). [Sentinel.WaitPromoted] and [Cluster.WaitPromoted] wait for a failover's end,
// [Sentinel.Events] has what the sentinels published and when, [Sentinel.Settle] and [Cluster.Settle] wait until all
// is well again. [Cluster.BeginMigration] leaves a test in the middle of a slot's move.
//
// With Proxies in the config there is a proxy of its own on every way from one process to another, and on the way of
// the clients to each: [Links.Cut], [Links.Isolate] and [Links.Heal] make partitions, [Links.Proxy] gives single
// proxies for any other fault. All use the one address that the node announces; [Links] tells which way is which.
//
// # When not
//
// Not for measuring, and not where one server will do. The links need an operating system on which all of
// 127.0.0.0/8 is loopback, as on Linux. They are TCP proxies: a link that is cut still accepts connections, and is
// silent then, where a real network would leave the dial unanswered.
//
// # Guarantees
//
// What Start returns has formed: all its members agree on roles, addresses and slots, and every replica is in sync
// with its primary. Where this is not so in time (60 s without a deadline), the error has the end of each node's log.
// Nothing is left behind after an error or Close: processes are ended by their ids and waited for, and goroutines too.
// Timings of failovers are the servers' own: what Settle speeds up it sets back.
//
// # Keys and cost
//
// No keys are stored. Sentinel forms within about a second; Cluster in 2.5 s, of which two are the servers' wait
// before they first call a cluster well. A server takes some 10 MiB and a thread of the program.
//
// # Example
//
//	func TestFailover(t *testing.T) {
//		s := topology.RunSentinel(t, topology.SentinelConfig{})
//		primary, err := s.Primary(t.Context())
//		// … open a client on s.URL() and write …
//		if err := primary.Kill(); err != nil {
//			t.Fatal(err)
//		}
//		addr, at, err := s.WaitPromoted(t.Context(), primary.Announced())
//		// … the client must write to addr soon after at …
//	}
package topology

// Package embedded runs a Redis-compatible server inside the process.
//
// # What
//
// [Start] gives a server on a free loopback port with a URL for redstart.Open,
// so that an example, a unit test or a first look at Redstart needs no
// installation. The engine is miniredis v2.40: strings, hashes, lists, sets,
// sorted sets, streams with consumer groups, HEXPIRE, HyperLogLog, geo,
// pub/sub, transactions, Lua scripts, RESP2 and RESP3. This package adds what a
// client of today asks for and miniredis does not answer truthfully:
//
//   - TTLs run with the clock (miniredis leaves them standing still);
//   - HELLO names the server "redstart-embedded", gives each connection an id of
//     its own (CLIENT ID tells it as well), keeps SETNAME and lists no modules;
//   - COMMAND, COMMAND INFO, COMMAND LIST and COMMAND COUNT tell of exactly the
//     commands that are there, and answer null for all others ("client|tracking",
//     "vadd", "json.set", "ft.search"), so a capability can be asked of it;
//   - INFO has the sections server, clients, memory, persistence, stats,
//     replication and cluster, with the fields whose value is known;
//   - CLUSTER says that cluster support is disabled (miniredis claims a cluster
//     of one node, and clients then refuse what spans slots);
//   - CONFIG GET answers for maxmemory, maxmemory-policy, appendonly, save and
//     notify-keyspace-events; ROLE answers as a primary without replicas;
//   - on a RESP3 connection other commands go on working after SUBSCRIBE.
//
// Whatever else miniredis does not know stays the error that miniredis gives.
//
// # When not
//
// It is not a Redis to run a service on, and not the server to prove a
// guarantee with. There is
//
//   - no persistence: Close loses everything, there is no AOF, no RDB, no WAITAOF;
//   - no eviction and no memory limit: used memory is not known, maxmemory is 0;
//   - no CLIENT TRACKING: open rueidis with DisableCache, and near tiers have no
//     push; no keyspace notifications, no sharded pub/sub, no CLIENT UNBLOCK;
//   - no replication, Sentinel or Cluster, no ACL, no TLS, no CONFIG SET;
//   - no fault to inject: it cannot be killed or frozen apart from the process.
//     Package redstarttest starts real servers for that;
//   - no fidelity of scripts at the edges: `..` and tostring keep all digits of
//     a 16-digit number where a real server writes 1.7955144001235e+15 (write
//     string.format("%.0f", n)); an error that a command raises inside a script
//     loses its code; there is no shebang and no bit, struct or cmsgpack library.
//     Run the tests of a script on a real server as well;
//   - no fairness: clients blocked in BLPOP are not served in order of arrival.
//
// Inside MULTI the commands that this package answers (HELLO, COMMAND, INFO,
// CONFIG, ROLE, CLIENT ID, and SUBSCRIBE on RESP3) are refused, and EXEC then
// aborts. INFO and HELLO claim version 7.4.0, the level that the implemented
// commands reach as a whole (some are newer): ask COMMAND INFO, not the version.
//
// # Guarantees
//
// The server listens on 127.0.0.1 only. A TTL counts from the arrival of the
// command that set it, to the millisecond: nobody who counts from before sending
// it sees the key or field gone more than 1 ms early. It is gone at most 50 ms
// late (plus what one pass over all keys takes). The clock stands still inside a script and
// inside EXEC, and TIME, TTLs and stream ids use the same clock, which does not
// follow steps of the host's clock backwards. A reply on a connection is whole:
// no published message lands in the middle of it. Close is idempotent, waits for
// every connection's goroutine and frees the port.
//
// # Keys and cost
//
// It stores no keys of its own. Expiry walks all keys of all databases, at most
// once per millisecond, before commands that write or read the clock; before
// plain reads about a tenth of the time goes there. On one core that walk
// costs about 0.1 ms for 1,000 keys and 1.3 ms for 10,000: beyond some tens of
// thousands of keys use a real server. Scripts run at a few thousand a second. A
// subscriber that does not read its connection stalls PUBLISH, and with it the
// server.
//
// # Example
//
// See [Start].
package embedded

// Package shard makes one client of several independent servers.
//
// # What
//
// [Open] gives a [Client], a rueidis.Client over the servers of a [Config]; give
// it to redstart.Wrap, and every pattern works on it. A key has one of 16,384
// slots, as in Redis Cluster (hash tags included), and a [Layout] gives each slot
// to a shard by weighted rendezvous hashing over the shards' names. [Plan] lists
// the slots that move when a shard is added, removed or weighted differently, and
// [Copy] moves their keys.
//
// # When not
//
// Take Redis Cluster where you can run it: it moves slots while they are in use,
// replaces a dead node by its replica, and tells every client who owns what. The
// same program runs on both, since what a sharded client refuses, a cluster
// refuses too: redstart.Open with a redis+cluster:// URL in place of Open and
// Wrap. Shards are for servers that come without a cluster (managed single
// endpoints, one server a machine or a region), for caches, and for data sets
// that change their layout once in a year, with the writers stopped. While one
// server holds the data and the load, one server is better.
//
// # Guarantees
//
//   - Every process with the same names and weights agrees on the owner of every
//     key, whatever the order, the machine and the release. This differs from
//     the recipe (hash(key) modulo N), where adding a shard moves nearly all keys
//     and languages that salt their hash disagree between processes.
//   - Adding one shard to N equal ones moves about 1/(N+1) of the slots, at most
//     1/N + 2 %, all of them to it; removing one moves only its own.
//   - A shard that is down fails its own keys, with its name in the error and
//     redstart.ErrUnavailable, and no others. Nothing is ever looked for
//     elsewhere: a lock or a counter that moved to another shard for the time of
//     an outage would exist twice.
//   - A command whose keys lie in several slots is refused before it is sent, with
//     Code CROSSSLOT, the shards in the text and Outcome NotApplied, but for MGET,
//     JSON.MGET, EXISTS and TOUCH, which are sent to their shards at once and
//     merged in the order of their keys. They are no one moment's picture.
//   - What the keys of a command are, a table says, which tests hold against
//     COMMAND INFO and COMMAND GETKEYS of real servers, both ways. A command that
//     is not in it is refused.
//   - A [Copy] that is killed at any point and run again loses nothing that the
//     servers keep; it never overwrites what the target has unless told so.
//
// Commands without keys: PING, DBSIZE and SCRIPT LOAD, EXISTS and FLUSH go to
// every shard (PING answers when all do, DBSIZE adds up, SCRIPT LOAD leaves out
// a shard that is away: it will say NOSCRIPT, which redstart hides); COMMAND,
// ECHO, HELLO, LOLWUT and TIME to the first by name that answers. MULTI to EXEC
// must come whole by DoMulti or on a dedicated connection, and goes to the shard
// of its keys. PUBLISH and SUBSCRIBE go to the shard of the channel. What is about
// one server or would be about all (INFO, SCAN, KEYS, FLUSHALL, PSUBSCRIBE) is
// refused: send it to one, or each, of [Client.Nodes]. Those come by the shard's
// name.
//
// Not promised: anything atomic across shards, and that two names are two servers
// (Copy checks that).
//
// In an outage a call waits for its shard until its deadline, and with it the
// batch that it is in; on [Client.FailFast] it fails at once. Open needs one shard
// to be there; the others are found when they come.
//
// # Keys and cost
//
// The package makes no keys of its own. A command costs one look into the table
// and the hash of its keys, under a microsecond, and one round trip; a merged
// read or a batch one round trip to each shard concerned, at the same time. Opening
// computes the owners: about 4 ms a shard. A Client holds 32 KiB for the owners
// and its shards' connections.
//
// # Example
//
// See [Open], [Plan] and [Copy].
package shard

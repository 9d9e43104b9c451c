// Package redstart is a client for Redis and Valkey on which the patterns of
// the packages beside it stand: caches, and with them what services build on a
// key-value server.
//
// # What
//
// [Open] gives a [Client] for a URL; [Wrap] makes one of a rueidis client. A
// Client is a rueidis.Client, so that every command is at hand, and it is
// shared by all goroutines. [Script] runs Lua without ever showing NOSCRIPT,
// [Server] says what the server can do, [OutcomeOf] says of any failed call
// whether it took effect, [Events] are hooks for metrics and logs. [ReadFrom]
// lets replicas answer reads, [ReadYourWrites] keeps them from answering with
// something older than one's own write. [Client.Topology] shows the nodes,
// [Client.Stats] how full the client is.
//
// # When not
//
// For one command in a script, redis-cli is enough. A program that needs
// several logical databases opens a client for each.
//
// # Guarantees
//
// Every wait has a deadline. A connection that falls silent is closed within
// Config.Timeout, and a call without a deadline of its own then waits at most as
// long again for the server's return; one with a deadline waits until that
// ([Client.FailFast]: not at all), and only probes are sent meanwhile. Under
// Sentinel the client follows the primary, in a cluster the slots. A caller's
// ended context fails no other caller. A read within a lag is within it. No command that may have run is repeated
// unless that does no harm. Errors hold no key, value, script or credentials in
// their text. GUARANTEES.md lists what tests prove, with figures.
//
// # Keys and cost
//
// The package makes no keys of its own. A command costs one round trip, shared
// with whatever travels in the same pipeline, and no allocation beyond
// rueidis' own. A script costs one more round trip where the server does not
// know it yet.
//
// # Example
//
// See [Open] and [Script].
package redstart

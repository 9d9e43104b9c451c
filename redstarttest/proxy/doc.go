// Package proxy is a proxy in front of a Redis server that fails on demand.
//
// # What
//
// [New] listens on a free loopback port and passes everything on to a server,
// frame by frame. A [Proxy] then delays, holds or loses bytes of one
// direction, resets connections (all, or those that match, such as the one
// with CLIENT TRACKING), and by a [Rule] strikes single commands: answers one
// with an error, lets it run and loses its reply, holds it or its reply until
// released. Every fault is counted, so that a test can prove that it took
// place. A [Transcript] keeps what went through, for tests that pin the exact
// commands of a call.
//
// # When not
//
// Not for TLS, nor for measuring: a round trip through it costs some 90 µs
// more. What must stop the server itself, redstarttest.Server does.
//
// # Guarantees
//
// Replies are matched to their commands under pipelining, RESP2 and RESP3,
// push messages, subscriptions and transactions. A fault is counted before the
// client can notice it. A command whose reply is swallowed or held has run.
// Close ends every connection and goroutine.
//
// # Keys and cost
//
// It makes no keys and sends no commands. A connection costs one to the server
// and up to 16 MiB for each direction that is held.
//
// # Example
//
// See the package's example.
package proxy

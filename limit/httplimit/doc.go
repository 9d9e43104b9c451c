// Package httplimit limits the requests of a net/http service, and tells
// clients in standard fields what they have left.
//
// # What
//
// [New] makes a [Middleware] on a limit.Limiter. Each request takes a unit, or
// [Config.Cost] of them, of the id that [Config.Key] finds: [ByAddress] for the
// client's address, [ByHeader] for an API key, or a function of yours. A request
// that passes goes to the handler with two fields set
// (draft-ietf-httpapi-ratelimit-headers-10):
//
//	RateLimit-Policy: "second";q=20;w=1, "day";q=10000;w=86400
//	RateLimit: "second";r=19;t=1, "day";r=8112;t=9
//
// q units each w seconds, r of them left, t seconds until there are more (left
// out while the limit is whole). Where units are no requests, qu says what they
// are; where a limit's burst is not its rate, redstart-burst says how many it has
// at once, and r goes up to that. A request that is denied is answered with 429,
// Retry-After and a problem (RFC 9457) of the type quota-exceeded that names the
// limits:
//
//	{"type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
//	 "title": "Too many requests", "status": 429,
//	 "detail": "The quota is used up. Try again in 9 seconds.",
//	 "violated-policies": ["day"]}
//
// [Middleware.Handler] fits net/http, chi and, by its WrapMiddleware, echo;
// [Middleware.Allow] fits any other framework, such as gin.
//
// # When not
//
// Where a proxy in front can limit by address alone, it saves this service the
// request. It is no defence against a flood: a denied request has been accepted
// and parsed. How many requests run at once is not a rate: limit.Concurrency
// bounds that. For gRPC take the limiter itself, in an interceptor.
//
// # Guarantees
//
//   - Whom a request counts for is decided by the connection, and by headers as
//     far as your own proxies wrote them; a client that sends X-Forwarded-For or
//     Forwarded itself changes nothing. It cannot have one quota for each address
//     of an IPv6 network either.
//   - Retry-After is rounded up, 1 second at least, and never earlier than any t
//     that the same middleware tells; in a denial only the limits that denied have a t. A request that
//     can never pass has no Retry-After.
//   - No answer holds the id, the header that it was made of, or an error's text.
//   - A shadow limit is not told to clients: it changes no answer and no field,
//     and [Events.Shadowed] tells what it would have done.
//   - A request without a key does not pass, unless [Config.OnFailure] says so.
//
// During an outage limit.Config.OnOutage decides within limit.Config.Timeout.
// Under limit.Allow requests pass with RateLimit-Policy alone, for nobody knows
// what is left; under limit.Deny they are answered with 503, Retry-After and a
// problem of the type temporary-reduced-capacity, since the client did nothing
// wrong; under limit.Local the process decides, and tells of one limit.
//
// Not promised: that r requests will pass. Others may share the id.
//
// Two middlewares may stand in each other, for a limit by address and one by
// user: each adds its items to the fields. Give their limits different names,
// and their limiters different keys. What the outer one took stays taken when
// the inner one denies; several limits of one id belong into one limiter, which
// takes of all or of none.
//
// # Keys and cost
//
// The keys are the limiter's. A request costs one [limit.Limiter.Take]: one
// round trip, none while a denial is remembered or units are in hand. The ids of
// ByAddress are addresses, those of ByHeader 43 characters of a hash.
//
// # Example
//
// See [New], [ByAddress] and [Middleware.Allow].
package httplimit

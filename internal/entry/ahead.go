package entry

import "time"

// Ahead is how long before its end a value is to be refreshed: at a fraction of
// its TTL, or by chance, the likelier the nearer the end and the longer the load
// took (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache
// Stampede Prevention", 2015). draw is -ln of a uniform random number. Negative:
// never.
func Ahead(fraction, beta float64, ttl, cost time.Duration, draw float64) time.Duration {
	ahead := time.Duration(-1)
	if fraction > 0 {
		ahead = time.Duration(fraction * float64(ttl))
	}
	if beta > 0 {
		ahead = max(ahead, time.Duration(beta*float64(cost)*draw))
	}
	return ahead
}

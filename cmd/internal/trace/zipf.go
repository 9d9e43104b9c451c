package trace

import (
	"fmt"
	"math/rand/v2"
)

const (
	zipfKeys = 2000
	// zipfSkew is the exponent: near what web traces show, where a tenth of the keys takes most of the requests.
	zipfSkew = 1.1
)

// Zipf makes a load of n requests over up to 2,000 keys whose popularity falls off by a power law. The same seed gives
// the same load, everywhere and always. The format makes a key of its rank.
func Zipf(n int, seed uint64, format string) *Trace {
	rng := rand.New(rand.NewPCG(seed, seed))
	z := rand.NewZipf(rng, zipfSkew, 4, zipfKeys-1)
	b := newBuilder(n)
	for !b.full() {
		b.add(fmt.Sprintf(format, z.Uint64()+1), true)
	}
	b.Source = fmt.Sprintf("Zipf load (exponent %g, up to %d keys, seed %d)", zipfSkew, zipfKeys, seed)
	return &b.Trace
}

package behind

import (
	"fmt"

	"github.com/redstart-go/redstart/bench/table"
)

// Promise is what GUARANTEES.md says of the tables that Run gave, and whether all targets were met.
func Promise(all []table.Section) (figure string, kept bool) {
	rows, sqlite, skewed, paced := all[0], all[1], all[2], all[3]
	kept = true
	for _, s := range all {
		for _, v := range s.Verdicts {
			kept = kept && v.Result == table.Met
		}
	}
	per := func(name string) float64 { return rows.Find(name).At("rows_per_s") }
	whole := func(v float64) string { return table.Number(v, 0) }
	of := func(name, whom string) string { return table.Number(per(name)/per(whom), 2) }
	saved, put, drain := skewed.Find(Put), paced.Find(Paced), sqlite.Find(Drain)
	return fmt.Sprintf("distinct keys, AOF everysec: draining %s rows/s, %s times one direct writer (%s), %s times sixteen (%s), "+
		"%s of batches of 1,000 on one connection (%s); sustained with its producers on the same machine %s rows/s, %s times one, "+
		"by PutMany of 16 %s rows/s, %s times; SQLite draining %s rows/s, %s of its best batch; by Zipf's law %s rows a put and %s puts a transaction; "+
		"at %s/s the p99 of Put %s µs, %s times that of a SET (one writer beside itself within %s %%, SET %s %%)",
		whole(per(Drain)), of(Drain, One), whole(per(One)), of(Drain, Sixteen), whole(per(Sixteen)),
		of(Drain, Batches), whole(per(Batches)), whole(per(Put)), of(Put, One),
		whole(per(PutMany)), of(PutMany, One), whole(drain.At("rows_per_s")), table.Number(drain.At("ratio"), 2),
		table.Number(saved.At("rows_per_put"), 3), whole(saved.At("puts_per_transaction")),
		whole(pace), whole(put.At("p99_us")), table.Number(put.At("ratio"), 2), table.Number(100*rows.Noise, 1), table.Number(100*paced.Noise, 1)), kept
}

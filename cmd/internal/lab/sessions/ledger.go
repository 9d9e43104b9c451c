package sessions

// ledger is what callers were told of their writes.
type ledger struct {
	acked map[string][]ack
	// begun is the last logout of a session that was begun, acknowledged or not.
	begun map[string]int64
	n     int
}

// ack is a write that was acknowledged.
type ack struct {
	n   int64
	out bool
}

// acked is one with its session.
type acked struct {
	id string
	ack
}

func newLedger() *ledger { return &ledger{acked: map[string][]ack{}, begun: map[string]int64{}} }

// ack notes that a write was acknowledged: no failure may undo it from here on.
func (l *ledger) ack(id string, a ack) {
	l.acked[id] = append(l.acked[id], a)
	l.n++
}

// begin notes that a logout may take effect from here on.
func (l *ledger) begin(id string, n int64) { l.begun[id] = max(l.begun[id], n) }

// lost adds to found the writes that were acknowledged and that the database neither has nor has anything later instead.
// rows has the number of the write that left each row.
func (l *ledger) lost(rows map[string]int64, found map[int64]bool) {
	for id, acks := range l.acked {
		has, there := rows[id]
		last := acks[len(acks)-1]
		switch {
		case there && last.out: // it should be gone
			found[last.n] = true
		case !there && (last.out || l.begun[id] > last.n):
			continue // gone, as it should be or may be
		}
		for _, a := range acks {
			if !a.out && a.n > has {
				found[a.n] = true
			}
		}
	}
}

package topology

import (
	"testing"
	"time"
)

// Three sentinels tell of each switch, at different times, and one of them was frozen for a while.
func TestPromotionsAmongRepetitions(t *testing.T) {
	at := time.Unix(1, 0)
	var all []Event
	add := func(name, text string) time.Time {
		at = at.Add(time.Second)
		all = append(all, Event{At: at, Name: name, Text: text})
		return at
	}
	if lastSwitch(all) != -1 {
		t.Error("a switch among no events")
	}
	add("+odown", "master m 127.0.0.1 1 #quorum 2/2")
	first := add("+failover-state-wait-promotion", "slave 127.0.0.1:2 127.0.0.1 2 @ m 127.0.0.1 1")
	add("+switch-master", "m 127.0.0.1 1 127.0.0.1 2")
	add("+switch-master", "m 127.0.0.1 1 127.0.0.1 2")
	if i := lastSwitch(all); i != 2 || all[i].Addr() != "127.0.0.1:2" || promotedAt(all, i) != first {
		t.Errorf("the switch is event %d", i)
	}
	second := add("+failover-state-wait-promotion", "slave 127.0.0.1:1 127.0.0.1 1 @ m 127.0.0.1 2")
	add("+switch-master", "m 127.0.0.1 2 127.0.0.1 1")
	add("+switch-master", "m 127.0.0.1 5 127.0.0.1 1") // the one that was frozen
	if i := lastSwitch(all); i != 5 || all[i].Addr() != "127.0.0.1:1" || promotedAt(all, i) != second {
		t.Errorf("the switch is event %d", i)
	}
	add("+switch-master", "m 127.0.0.1 1 127.0.0.1 3") // nobody heard of its promotion
	if i := lastSwitch(all); promotedAt(all, i) != at {
		t.Errorf("promoted at %v", promotedAt(all, i))
	}
	if a := (Event{Name: "+tilt", Text: "#tilt mode entered"}).Addr(); a != "" {
		t.Errorf("an event about no node is about %q", a)
	}
}

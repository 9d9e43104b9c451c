package faults

import (
	"fmt"
	"strconv"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

// nearStorm is the faults that strike what a near tier hangs on.
type nearStorm struct {
	*crowd
	server *redstarttest.Server
	ways   []*way

	tracking, data, held, halves, frozen, stopped, flushes int
}

// rage lets every fault strike in turn; each time all members are near again
// before the next.
func (n *nearStorm) rage(rounds int) {
	faults := []func(){n.cutTracking, n.cutData, n.holdPushes, n.cutInPush, n.freezeServer, n.stopMember, n.flushAll}
	for range rounds {
		for _, i := range n.rng.Perm(len(faults)) {
			faults[i]()
			n.nearAgain()
			if n.t.Failed() {
				return
			}
		}
	}
	for what, times := range map[string]int{
		"tracking connections cut": n.tracking, "data connections cut": n.data, "bytes held back": n.held, "messages cut in two": n.halves,
	} {
		if times == 0 {
			n.t.Errorf("%s: none; the run proves nothing", what)
		}
	}
}

func (n *nearStorm) String() string {
	return fmt.Sprintf("%d tracking and %d data connections cut, %d bytes of messages held back, %d cut in two, %d server and %d process freezes past MaxStale, %d FLUSHALL",
		n.tracking, n.data, n.held, n.halves, n.frozen, n.stopped, n.flushes)
}

func (n *nearStorm) cutTracking() {
	for _, w := range n.ways {
		n.tracking += w.cut(true)
		n.pause(time.Duration(n.rng.IntN(50)) * time.Millisecond)
	}
}

func (n *nearStorm) cutData() {
	for _, w := range n.ways {
		n.data += w.cut(false)
		n.pause(time.Duration(n.rng.IntN(50)) * time.Millisecond)
	}
}

// holdPushes keeps messages for a part of MaxStale, and for longer than it. A
// key that is hardly ever written is, in the midst of it: its readers still
// have it near while the others wait for the server.
func (n *nearStorm) holdPushes() {
	for _, d := range []time.Duration{nearMaxStale / 4, nearMaxStale * 3 / 2} {
		n.nearAgain()
		var releases []func()
		for _, w := range n.ways {
			releases = append(releases, w.hold())
		}
		n.overwrite(n.traffic.Keys - 1)
		n.pause(d)
		for _, release := range releases {
			release()
		}
	}
	for _, w := range n.ways {
		_, held := w.done()
		n.held += held
	}
}

// overwrite sets a key that no member writes, from elsewhere.
func (n *nearStorm) overwrite(key int) {
	version := n.source.Commit(rowName(key))
	begin := harness.Monotonic()
	if _, err := n.server.Do(n.t.Context(), "SET", keyOf(rowName(key)), strconv.FormatUint(version, 10)); err != nil {
		n.t.Error(err)
	}
	n.add(history.Event{Kind: history.Invalidated, Process: 1000, Key: uint32(key), Version: version, Begin: begin, End: harness.Monotonic()})
}

func (n *nearStorm) cutInPush() {
	for i, w := range n.ways {
		before, _ := w.done()
		w.arm()
		redstarttest.Eventually(n.t, time.Minute, fmt.Sprintf("a message to process %d is cut in two", i), func() bool {
			halves, _ := w.done()
			return halves > before
		})
		n.halves++
	}
}

func (n *nearStorm) freezeServer() {
	for _, d := range []time.Duration{nearMaxStale / 3, nearMaxStale * 3 / 2} {
		if err := n.server.Freeze(); err != nil {
			n.t.Error(err)
		}
		n.pause(d)
		if err := n.server.Continue(); err != nil {
			n.t.Error(err)
		}
	}
	n.frozen++
}

// stopMember stops a process for longer than MaxStale, while others write.
func (n *nearStorm) stopMember() {
	m := n.members[n.rng.IntN(len(n.members))]
	m.Freeze()
	n.pause(nearMaxStale * 3 / 2)
	m.Continue()
	n.stopped++
}

// flushAll ends everything; what is read later is no older than what the source
// had before.
func (n *nearStorm) flushAll() {
	versions := make([]uint64, n.traffic.Keys)
	for key := range versions {
		versions[key] = n.source.Version(rowName(key))
	}
	begin := harness.Monotonic()
	if _, err := n.server.Do(n.t.Context(), "FLUSHALL"); err != nil {
		n.t.Error(err)
	}
	end := harness.Monotonic()
	for key, version := range versions {
		n.add(history.Event{Kind: history.Invalidated, Process: 1000, Key: uint32(key), Version: version, Begin: begin, End: end})
	}
	n.flushes++
}

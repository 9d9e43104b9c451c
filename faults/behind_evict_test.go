package faults

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// policies are what a server may do when its memory is full, and whether a
// journal may be on it.
var policies = map[string]bool{
	"noeviction": true, "volatile-lru": true, "volatile-lfu": true, "volatile-random": true, "volatile-ttl": true,
	"allkeys-lru": false, "allkeys-lfu": false, "allkeys-random": false,
}

// opens tries to make a journal, and says whether that worked or was refused as
// it should be.
func opens(t *testing.T, what string, arg journalArg, want bool, words ...string) {
	t.Helper()
	_, client, err := arg.open(nil)
	if err == nil {
		client.Close()
	}
	if want != (err == nil) || err != nil && !errors.Is(err, journal.ErrEviction) {
		t.Errorf("%s: %v", what, err)
	}
	for _, word := range words {
		if err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %q does not name %s", what, err, word)
		}
	}
}

// W7: a journal on a server that may evict it.
func TestW7Eviction(t *testing.T) {
	form := harness.Run(t)
	var servers []string
	tried, lost, evicted := 0, int64(0), 0
	for i, l := range launchers(t, form, true) {
		server, name := start(t, l, redstarttest.ServerConfig{})
		servers = append(servers, name)
		do := func(args ...string) {
			if _, err := server.Do(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
		arg := journalArg{URL: server.URL(), Lease: time.Second}
		for policy, good := range policies {
			do("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", policy)
			what := l.Name + ": " + policy
			opens(t, what, arg, good, "maxmemory-policy", policy)
			arg.Evict = true
			opens(t, what+", allowed", arg, true)
			arg.Evict = false
			do("CONFIG", "SET", "maxmemory", "0")
			opens(t, what+" without maxmemory", arg, true)
			tried += 3
		}
		do("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
		do("ACL", "SETUSER", "clerk", "on", ">secret", "~*", "&*", "+@all", "-info", "-config")
		arg.URL = "redis://clerk:secret@" + server.Addr()
		opens(t, l.Name+": INFO is denied", arg, false, "maxmemory-policy")
		arg.Unknown = true
		opens(t, l.Name+": INFO is denied, accepted", arg, true)
		tried += 2
		if i == 0 || form == harness.Long {
			evicted += pressed(t, l, "volatile-lru", nil)
			pressed(t, l, "allkeys-random", &lost)
		}
	}
	// One node of a cluster is enough to lose a partition.
	c := topology.RunCluster(t, topology.ClusterConfig{Path: launchers(t, form, false)[0].Path, Replicas: -1})
	opens(t, "a cluster", journalArg{URL: c.URL(), Lease: time.Second}, true)
	if _, err := c.Nodes()[2].Do(t.Context(), "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru"); err != nil {
		t.Fatal(err)
	}
	opens(t, "a cluster, a node with allkeys-lru", journalArg{URL: c.URL(), Lease: time.Second}, false, "maxmemory-policy", c.Nodes()[2].Addr())
	keep(t, form, "W7", servers, "%d attempts to make a journal: refused on allkeys-lru, -lfu and -random with a maxmemory, on a cluster with one node of that kind and where INFO is denied, naming maxmemory-policy; accepted on noeviction, volatile-* and without maxmemory, or where the Config says so; on volatile-lru %d keys evicted under pressure and 0 of 1000 records lost (allkeys-random, accepted by AllowEviction: %d)",
		tried+2, evicted, lost)
}

// pressed fills the memory of a server that has a journal with 1000 records, and
// gives how many keys it evicted. lost gets how many records, which without it
// must be none.
func pressed(t *testing.T, l redstarttest.Launcher, policy string, lost *int64) (evicted int) {
	t.Helper()
	server, _ := start(t, l, redstarttest.ServerConfig{Args: []string{"--maxmemory", "24mb", "--maxmemory-policy", policy}})
	d := newDesk(t, server, sqliteIn(t.TempDir(), "notes"), journalArg{Evict: lost != nil})
	if err := d.put(t.Context(), 0, 1000, func(id int64) string { return fmt.Sprint("note ", id) }); err != nil {
		t.Fatal(err)
	}
	client, err := plain(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	text := strings.Repeat("x", 4096)
	for from := 0; from < 20_000; from += 500 {
		var fill rueidis.Commands
		for i := range 500 {
			fill = append(fill, client.B().Set().Key(fmt.Sprint("other:", from+i)).Value(text).ExSeconds(3600).Build())
		}
		for _, r := range client.DoMulti(t.Context(), fill...) {
			if err := r.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := server.Do(t.Context(), "INFO", "stats")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info.(string)) {
		_, _ = fmt.Sscanf(line, "evicted_keys:%d", &evicted)
	}
	if evicted == 0 {
		t.Error("nothing was evicted; the run proves nothing")
	}
	if lost != nil {
		n := 1000 - d.lag().Records
		if *lost += n; n == 0 {
			t.Errorf("%s: nothing is lost; the run proves nothing", policy)
		}
		return evicted
	}
	for id := range int64(1000) { // many of their entries are gone
		v, err := d.journal.Get(t.Context(), id)
		if err != nil || v.Write != uint64(id+1) {
			t.Fatalf("Get of %d: %+v, %v", id, v, err)
		}
	}
	d.flusher()
	d.flush()
	reportTexts(t, "lost under pressure", history.Unwritten(d.events, d.notes.rows()))
	return evicted
}

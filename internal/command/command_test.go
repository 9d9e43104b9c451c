package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/rueidis"
)

// made builds a command as callers do, without a server.
func made(line string) rueidis.Completed {
	var b rueidis.Builder
	return b.Arbitrary(strings.Fields(line)...).Build()
}

func TestRepeatable(t *testing.T) {
	for line, want := range map[string]bool{
		"SET k v": true, "set k v EX 9": true, "SET k v NX": false, "SET k v ex 9 get": false, "SET k nx": true, "SET": true,
		"EXPIRE k 9": true, "EXPIRE k 9 gt": false, "SCRIPT LOAD x": true, "SCRIPT FLUSH": false, "SCRIPT": false,
		"INCR k": false, "DEL k": false, "SADD k m": false, "LPUSH k v": false, "PING": true,
	} {
		cmd := made(line)
		k := Keep(&cmd)
		if got := k.Repeatable(); got != want {
			t.Errorf("%s: repeatable %v, want %v", line, got, want)
		}
		k.Drop()
	}
	var b rueidis.Builder
	read, marked, blocking := b.Arbitrary("HGETALL", "k").ReadOnly(), b.Arbitrary("INCR", "k").Build().ToRetryable(), b.Arbitrary("PING").Blocking()
	if !Copy(&read).Repeatable() || !Copy(&marked).Repeatable() || Copy(&blocking).Repeatable() {
		t.Error("a read and a marked command are repeatable, a blocking one is not")
	}
}

func TestRunsCode(t *testing.T) {
	for line, want := range map[string]bool{
		"eval x 0": true, "EVALSHA x 0": true, "EVALSHA_RO x 0": true, "EVAL_RO x 0": true, "fcall f 0": true, "FCALL_RO f 0": true,
		"GET k": false, "EVALS x": false, "FLUSH": false,
	} {
		cmd := made(line)
		if got := RunsCode(&cmd); got != want {
			t.Errorf("%s: runs code %v, want %v", line, got, want)
		}
	}
}

func TestJoinsKeys(t *testing.T) {
	for line, want := range map[string]bool{"GET k": false, "EXISTS k": false, "exists k l": true, "MGET k l": false, "sinter k l": true} {
		if cmd := made(line); JoinsKeys(&cmd) != want {
			t.Errorf("%s: joins keys %v, want %v", line, !want, want)
		}
	}
}

func TestReplicable(t *testing.T) {
	var b rueidis.Builder
	for line, want := range map[string]bool{"GET k": true, "SCAN 0": false, "hscan k 0": false, "DBSIZE": false, "pubsub numsub c": false, "MEMORY USAGE k": false, "FT.AGGREGATE i *": false} {
		read, write := b.Arbitrary(strings.Fields(line)...).ReadOnly(), made(line)
		if got := Replicable(&read); got != want {
			t.Errorf("%s: replicable %v, want %v", line, got, want)
		}
		if AllReplicable([]rueidis.Completed{read, write}) {
			t.Errorf("%s, marked as no read, goes to a replica", line)
		}
	}
}

// What is made again is what was kept, whatever has become of the command.
func TestAgain(t *testing.T) {
	var b rueidis.Builder
	for _, cmd := range []rueidis.Completed{
		made("SET k v"), b.Arbitrary("GET", "k").ReadOnly(), b.Arbitrary("BLPOP", "k", "0").Blocking(),
	} {
		k := Keep(&cmd)
		again := k.Again(b)
		k.Drop()
		if !slices.Equal(again.Commands(), cmd.Commands()) || again.IsReadOnly() != cmd.IsReadOnly() || again.IsBlock() != cmd.IsBlock() {
			t.Errorf("%v became %v", cmd.Commands(), again.Commands())
		}
	}
}

// Package command says what can be known of a command before it is sent:
// whether it runs code, whether a replica can answer it, whether it may run
// twice; and it keeps a copy of one that may have to be sent again.
package command

import (
	"strings"

	"github.com/redis/rueidis"
)

// RunsCode reports whether the command runs a script or a function.
func RunsCode(cmd *rueidis.Completed) bool {
	switch verb := cmd.Commands()[0]; len(verb) {
	case len("EVAL"):
		return strings.EqualFold(verb, "EVAL")
	case len("EVALSHA"):
		return verb[0]|0x20 == 'e' && (strings.EqualFold(verb, "EVALSHA") || strings.EqualFold(verb, "EVAL_RO"))
	case len("EVALSHA_RO"):
		return strings.EqualFold(verb, "EVALSHA_RO")
	case len("FCALL"):
		return verb[0]|0x20 == 'f' && strings.EqualFold(verb, "FCALL")
	case len("FCALL_RO"):
		return verb[0]|0x20 == 'f' && strings.EqualFold(verb, "FCALL_RO")
	default:
		return false
	}
}

// Replicable reports whether a replica can answer the command: not one that asks
// the node about itself, or leaves a cursor there.
func Replicable(cmd *rueidis.Completed) bool {
	if !cmd.IsReadOnly() || cmd.IsBlock() || RunsCode(cmd) {
		return false
	}
	words := cmd.Commands()
	verb := words[0]
	if len(words) < 2 || len(verb) >= len("SCAN") && strings.EqualFold(verb[len(verb)-len("SCAN"):], "SCAN") {
		return false
	}
	return !isOneOf(verb, "PUBSUB", "SLOWLOG", "MEMORY", "FT.AGGREGATE", "BF.SCANDUMP", "CF.SCANDUMP", "AI.MODELEXECUTE")
}

// JoinsKeys reports whether the command reads several keys as one: its answer
// does not tell that one of them was not there.
func JoinsKeys(cmd *rueidis.Completed) bool {
	words := cmd.Commands()
	if len(words) > 2 && isOneOf(words[0], "EXISTS", "TOUCH", "PFCOUNT") {
		return true
	}
	return isOneOf(words[0], "SDIFF", "SINTER", "SUNION", "SINTERCARD", "ZDIFF", "ZINTER", "ZUNION", "ZINTERCARD", "LCS", "XREAD", "SORT_RO")
}

func isOneOf(verb string, verbs ...string) bool {
	for _, v := range verbs {
		if len(v) == len(verb) && strings.EqualFold(v, verb) {
			return true
		}
	}
	return false
}

// AllReplicable is Replicable for each of several commands.
func AllReplicable(multi []rueidis.Completed) bool {
	for i := range multi {
		if !Replicable(&multi[i]) {
			return false
		}
	}
	return true
}

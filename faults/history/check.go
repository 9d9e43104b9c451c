package history

import (
	"fmt"
	"maps"
	"slices"
)

// LoadedOnce is the checker of C1: it names every key that was not loaded
// exactly once.
func LoadedOnce(loads map[string]int) []string {
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(loads)) {
		if n := loads[key]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s was loaded %d times", key, n))
		}
	}
	return wrong
}

// Shared is the checker of keys: it names every key that more than one thing
// has, given the key of each thing.
func Shared(keys map[string]string) []string {
	things := map[string][]string{}
	for thing, key := range keys {
		things[key] = append(things[key], thing)
	}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(things)) {
		if all := things[key]; len(all) > 1 {
			slices.Sort(all)
			wrong = append(wrong, fmt.Sprintf("%.60q is the key of %.200q", key, all))
		}
	}
	return wrong
}

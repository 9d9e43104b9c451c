package locks

// verdict is what the order of a resource's writes tells of those who wrote.
type verdict struct {
	// overlaps are the holds that began to write before an earlier one had written for the last time.
	overlaps map[string]bool
	// late counts the writes that were taken from a hold after a later one had written.
	late int
}

// judge reads whose hold each write was taken from, in the order in which the resource took them. It asks nobody who had the
// lock: a hold lasts from its first write to its last.
func judge(writes []string) verdict {
	first, last := map[string]int{}, map[string]int{}
	for i, hold := range writes {
		if _, seen := first[hold]; !seen {
			first[hold] = i
		}
		last[hold] = i
	}
	v := verdict{overlaps: map[string]bool{}}
	newest, open := 0, -1 // the first write of the latest hold so far, the last write of all so far
	for i, hold := range writes {
		if first[hold] < newest {
			v.late++
		}
		if first[hold] == i {
			if i < open {
				v.overlaps[hold] = true
			}
			newest = i
		}
		open = max(open, last[hold])
	}
	return v
}

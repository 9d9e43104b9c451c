package harness

// Monotonic is the machine's clock that nobody sets, in nanoseconds: one for all
// processes, so that "older than a second" is a fact too.
func Monotonic() uint64 {
	now, err := monotonic()
	if err != nil {
		panic(err) // every machine has it
	}
	return now
}

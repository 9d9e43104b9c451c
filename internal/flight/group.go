package flight

// Group are flights that go together.
type Group[T, E any] []*Flight[T, E]

// Keys are theirs.
func (g Group[T, E]) Keys() []string {
	keys := make([]string, len(g))
	for i, f := range g {
		keys[i] = f.Key
	}
	return keys
}

// Cancel ends the contexts of all.
func (g Group[T, E]) Cancel() {
	for _, f := range g {
		f.Cancel()
	}
}

// Send counts a deciding command of each.
func (g Group[T, E]) Send() []int {
	sent := make([]int, len(g))
	for i, f := range g {
		sent[i] = f.Send()
	}
	return sent
}

// Land ends all in the same way.
func (g Group[T, E]) Land(end E) {
	for _, f := range g {
		f.Land(end)
	}
}

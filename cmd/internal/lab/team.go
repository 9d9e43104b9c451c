package lab

// Team are several instances of one service: what they share is only the server.
type Team[C interface{ Close() }] []C

// Gather opens n instances, or none.
func Gather[C interface{ Close() }](n int, open func() (C, error)) (Team[C], error) {
	var t Team[C]
	for range n {
		c, err := open()
		if err != nil {
			t.Close()
			return nil, err
		}
		t = append(t, c)
	}
	return t, nil
}

// Of gives the i-th caller his instance.
func (t Team[C]) Of(i int) C { return t[i%len(t)] }

// Close closes them all.
func (t Team[C]) Close() {
	for _, c := range t {
		c.Close()
	}
}

package turns

import "sync"

// Some lets one at a time be at work on a key, and so many in all. Its zero
// value with a Most is ready.
type Some struct {
	Most int

	mu   sync.Mutex
	keys map[string]struct{}
}

// Begin reports whether the work may begin; End must follow then.
func (s *Some) Begin(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.keys[key]; busy || len(s.keys) >= s.Most {
		return false
	}
	if s.keys == nil {
		s.keys = map[string]struct{}{}
	}
	s.keys[key] = struct{}{}
	return true
}

// End ends it.
func (s *Some) End(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

// Busy is how many are at work.
func (s *Some) Busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

package entry

import (
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Old is what a load is given of the value over which it loads; nothing, if one
// of its tags was invalidated since it was read.
func (f *Form[V]) Old(e *Entry[V], s *stamp.Sampling) (old source.Old[V]) {
	if e.Frame.Head == nil {
		return old
	}
	for name, was := range e.Frame.Meta.Tags() {
		for _, t := range s.Tags {
			if t.Name == name && t.Stamp != was {
				return old
			}
		}
	}
	v, err := f.Open(&e.Frame, true)
	if err != nil {
		return old
	}
	return source.Old[V]{Value: v, OK: true, Age: e.Age}
}

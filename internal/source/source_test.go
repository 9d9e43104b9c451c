package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/redstart-go/redstart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSource = errors.New("the source's own")

// heard notes what Ended hears.
func heard(s *Source[int, string]) <-chan error {
	ends := make(chan error, 10)
	s.Ended = func(_ time.Duration, err error) { ends <- err }
	return ends
}

// fromSource reports whether an error is one of the source's, which no server's
// failure is taken for.
func fromSource(err error) bool {
	var f interface{ FromSource() }
	return errors.As(err, &f) && redstart.OutcomeOf(err) == redstart.NotApplied && !redstart.Away(err)
}

func TestStart(t *testing.T) {
	for _, test := range []struct {
		name  string
		load  func(Old[string]) (Result[string], error)
		old   bool
		want  Result[string]
		is    error
		own   bool  // a Failure
		ended error // what Ended hears; nil for none
	}{
		{name: "a value", load: func(Old[string]) (Result[string], error) { return Result[string]{Value: "v", TTL: 1}, nil }, want: Result[string]{Value: "v", TTL: 1}},
		{name: "not found", load: func(Old[string]) (Result[string], error) { return Result[string]{TTL: 2}, ErrNotFound }, want: Result[string]{TTL: 2}, is: ErrNotFound},
		{name: "not found, wrapped", load: func(Old[string]) (Result[string], error) {
			return Result[string]{}, fmt.Errorf("row: %w", ErrNotFound)
		}, is: ErrNotFound},
		{name: "a failure", load: func(Old[string]) (Result[string], error) { return Result[string]{}, errSource }, is: errSource, own: true, ended: errSource},
		{name: "one that looks like a server's", load: func(Old[string]) (Result[string], error) { return Result[string]{}, io.EOF }, is: io.EOF, own: true, ended: io.EOF},
		{name: "not modified", load: func(o Old[string]) (Result[string], error) {
			return Result[string]{NotModified: o.Value == "old"}, nil
		}, old: true, want: Result[string]{NotModified: true}},
		{name: "not modified, of nothing", load: func(Old[string]) (Result[string], error) { return Result[string]{NotModified: true}, nil }, want: Result[string]{NotModified: true}, is: ErrNotModified, own: true, ended: ErrNotModified},
		{name: "a panic", load: func(Old[string]) (Result[string], error) { panic("at the disco") }, is: ErrPanic, ended: ErrPanic},
		{name: "Goexit", load: func(Old[string]) (Result[string], error) { runtime.Goexit(); return Result[string]{}, nil }, is: ErrPanic, ended: ErrPanic},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &Source[int, string]{Load: func(_ context.Context, id int, old Old[string]) (Result[string], error) {
				if id != 7 {
					t.Errorf("load of %d", id)
				}
				return test.load(old)
			}}
			ends := heard(s)
			after := make(chan struct{})
			r := <-s.Start(t.Context(), 7, Old[string]{Value: "old", OK: test.old}, func() { close(after) })
			select {
			case <-after:
			default:
				t.Error("what is to run after it has not run")
			}
			if !errors.Is(r.Err, test.is) || (r.Err == nil) != (test.is == nil) || fromSource(r.Err) != test.own {
				t.Errorf("error %v", r.Err)
			}
			if r.Result.Value != test.want.Value || r.Result.TTL != test.want.TTL || r.Result.NotModified != test.want.NotModified {
				t.Errorf("result %+v", r.Result)
			}
			if err := <-ends; !errors.Is(err, test.ended) || (err == nil) != (test.ended == nil) {
				t.Errorf("Ended hears %v", err)
			}
			if s.Calls() != 1 {
				t.Errorf("%d calls", s.Calls())
			}
		})
	}
}

// What a panic says goes to who began the load, with where it was; to the
// others it is ErrPanic.
func TestPanicIsCarried(t *testing.T) {
	s := &Source[int, string]{Load: func(context.Context, int, Old[string]) (Result[string], error) { panic("at the disco") }}
	heard(s)
	r := <-s.Start(t.Context(), 7, Old[string]{}, nil)
	p, ok := r.Err.(*Panic) //nolint:errorlint // it must be bare
	if !ok || p.value != "at the disco" || len(p.stack) == 0 {
		t.Errorf("%v", r.Err)
	}
}

// For any map and any error of each id, each id has its own part of it: an error
// is never an absence, and an absence never an error or a value.
func TestEachIDHasItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 1, 20, rapid.ID).Draw(t, "ids")
		values, failed := map[int]string{}, Errors[int]{}
		for id := range 31 { // of others too
			if rapid.Bool().Draw(t, "a value") {
				values[id] = fmt.Sprint("value of ", id)
			}
			switch rapid.IntRange(0, 3).Draw(t, "an error") {
			case 0:
				failed[id] = fmt.Errorf("%w, of %d", errSource, id)
			case 1:
				failed[id] = fmt.Errorf("row: %w", ErrNotFound)
			}
		}
		s := &Source[int, string]{Many: func(_ context.Context, asked []int) (map[int]string, error) {
			if !slices.Equal(asked, ids) {
				t.Errorf("asked for %v, want %v", asked, ids)
			}
			clear(asked) // they are its own
			return values, failed
		}}
		s.Ended = func(time.Duration, error) {}
		want := slices.Clone(ids)
		all := <-s.StartMany(context.Background(), ids, nil)
		if !slices.Equal(ids, want) || len(all) != len(ids) {
			t.Fatalf("ids %v, %d results", ids, len(all))
		}
		for i, id := range ids {
			one := <-(&Source[int, string]{Many: func(context.Context, []int) (map[int]string, error) { return values, failed }, Ended: s.Ended}).
				Start(context.Background(), id, Old[string]{}, nil)
			for _, l := range []Loaded[string]{all[i], one} {
				v, ok := values[id]
				switch err := failed[id]; {
				case errors.Is(err, ErrNotFound) || err == nil && !ok:
					if !errors.Is(l.Err, ErrNotFound) || fromSource(l.Err) {
						t.Fatalf("id %d does not exist: %+v", id, l)
					}
				case err != nil:
					if !errors.Is(l.Err, err) || errors.Is(l.Err, ErrNotFound) || !fromSource(l.Err) || l.Result.Value != "" {
						t.Fatalf("id %d failed: %+v", id, l)
					}
				case l.Err != nil || l.Result.Value != v:
					t.Fatalf("id %d has %q: %+v", id, v, l)
				}
			}
		}
	})
}

// An error of the whole call is that of every id, whatever it says: it names
// none, so it makes none absent.
func TestWholeErrors(t *testing.T) {
	for name, test := range map[string]struct {
		many func() (map[int]string, error)
		is   error
		own  bool
	}{
		"a failure":      {func() (map[int]string, error) { return map[int]string{1: "v"}, errSource }, errSource, true},
		"not found":      {func() (map[int]string, error) { return map[int]string{1: "v"}, ErrNotFound }, nil, true},
		"wrapped Errors": {func() (map[int]string, error) { return nil, fmt.Errorf("and: %w", Errors[int]{1: errSource}) }, errSource, true},
		"wrapped Errors of one not found": {func() (map[int]string, error) {
			return nil, fmt.Errorf("and: %w", Errors[int]{1: ErrNotFound})
		}, nil, true},
		"a panic": {func() (map[int]string, error) { panic("") }, ErrPanic, false},
		"Goexit":  {func() (map[int]string, error) { runtime.Goexit(); return nil, nil }, ErrPanic, false},
	} {
		s := &Source[int, string]{Many: func(context.Context, []int) (map[int]string, error) { return test.many() }}
		ends := heard(s)
		for _, l := range <-s.StartMany(t.Context(), []int{1, 2}, nil) {
			if l.Err == nil || errors.Is(l.Err, ErrNotFound) || l.Result.Value != "" || fromSource(l.Err) != test.own || test.is != nil && !errors.Is(l.Err, test.is) {
				t.Errorf("%s: %+v", name, l)
			}
		}
		if err := <-ends; err == nil {
			t.Errorf("%s: Ended hears of no failure", name)
		}
	}
	// An empty one says that no id failed.
	s := &Source[int, string]{Many: func(context.Context, []int) (map[int]string, error) { return map[int]string{1: "v"}, Errors[int](nil) }}
	heard(s)
	if all := <-s.StartMany(t.Context(), []int{1, 2}, nil); all[0].Err != nil || !errors.Is(all[1].Err, ErrNotFound) {
		t.Errorf("no id failed: %+v", all)
	}
}

// Await gives what there is, if only at the last moment, else why it ended.
func TestAwait(t *testing.T) {
	cause := errors.New("it took too long")
	over, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	ended := make(chan []Loaded[string], 1)
	for _, l := range Await(over, ended, 2) {
		if !errors.Is(l.Err, cause) {
			t.Errorf("%+v", l)
		}
	}
	for range 50 { // a select takes either
		ended <- []Loaded[string]{{Result: Result[string]{Value: "v"}}}
		if all := Await(over, ended, 1); all[0].Result.Value != "v" {
			t.Fatalf("what was there: %+v", all)
		}
	}
}

// The outcome of many is that of all, or Unknown.
func TestErrors(t *testing.T) {
	not := NewFailure(errSource)
	if (Errors[int]{}).OrNil() != nil || (Errors[int]{1: not}).OrNil() == nil {
		t.Error("OrNil")
	}
	for _, test := range []struct {
		of   Errors[int]
		want redstart.Outcome
	}{
		{Errors[int]{1: not}, redstart.NotApplied},
		{Errors[int]{1: not, 2: not}, redstart.NotApplied},
		{Errors[int]{1: not, 2: io.EOF}, redstart.Unknown},
		{Errors[int]{1: io.EOF}, redstart.Unknown},
	} {
		if got := redstart.OutcomeOf(test.of); got != test.want {
			t.Errorf("%v: %v, want %v", test.of, got, test.want)
		}
	}
	if e := (Errors[int]{1: not, 2: io.EOF}); !errors.Is(e, io.EOF) || !errors.Is(e, errSource) {
		t.Error("Is does not look at each")
	}
}

func TestPlaces(t *testing.T) {
	cause := errors.New("a lost connection")
	p := make(Places, 1)
	release, err := p.Take(cause)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Take(cause)
	if !errors.Is(err, redstart.ErrUnavailable) || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("beyond the last: %v", err)
	}
	release()
	if _, err := p.Take(cause); err != nil {
		t.Errorf("after a release: %v", err)
	}
	if _, err := make(Places).Take(cause); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("of none: %v", err)
	}
}

package batch

import (
	"errors"
	"strconv"
	"strings"
)

// position is how far a scan has come. As text it is
// "1;DONE,DONE;NODE:CURSOR": a version, the processes that are done, and the
// one under way with its cursor, each by its run id.
type position struct {
	done   []string
	node   string // "": none is under way
	cursor uint64
}

func (p position) String() string {
	if len(p.done) == 0 && p.node == "" {
		return ""
	}
	text := "1;" + strings.Join(p.done, ",") + ";"
	if p.node != "" {
		text += p.node + ":" + strconv.FormatUint(p.cursor, 10)
	}
	return text
}

var errPosition = errors.New("the cursor is not one that a scan has given; begin anew with an empty one")

func parsePosition(text string) (position, error) {
	if text == "" {
		return position{}, nil
	}
	fields := strings.Split(text, ";")
	if len(fields) != 3 || fields[0] != "1" {
		return position{}, errPosition
	}
	var p position
	if fields[1] != "" {
		p.done = strings.Split(fields[1], ",")
	}
	for _, id := range p.done {
		if !plain(id) {
			return position{}, errPosition
		}
	}
	if fields[2] == "" {
		return p, nil
	}
	node, cursor, ok := strings.Cut(fields[2], ":")
	n, err := strconv.ParseUint(cursor, 10, 64)
	if !ok || err != nil || !plain(node) {
		return position{}, errPosition
	}
	p.node, p.cursor = node, n
	return p, nil
}

// plain reports whether a run id can stand in a position's text.
func plain(id string) bool { return id != "" && !strings.ContainsAny(id, ",;: \t\r\n") }

// window remembers the last keys given.
type window struct {
	keys map[string]struct{}
	ring []string
	next int
}

func newWindow(size int) *window {
	return &window{keys: map[string]struct{}{}, ring: make([]string, 0, min(size, 1024)), next: -size}
}

// seen reports whether the key is among the last ones, and remembers it.
func (w *window) seen(key string) bool {
	if w.next == 0 && len(w.ring) == 0 {
		return false // a window of none
	}
	if _, ok := w.keys[key]; ok {
		return true
	}
	w.keys[key] = struct{}{}
	if w.next < 0 { // still filling
		w.ring = append(w.ring, key)
		w.next++
		return false
	}
	delete(w.keys, w.ring[w.next])
	w.ring[w.next] = key
	w.next = (w.next + 1) % len(w.ring)
	return false
}

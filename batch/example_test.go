package batch_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/batch"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/key"
)

// start gives a client on a server in the process, for the examples; a service
// gives redstart.Open its server's URL.
func start() (*redstart.Client, func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	client, err := redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); _ = server.Close() }
}

// Many keys are read in few round trips; each has its own result.
func ExampleGet() {
	client, stop := start()
	defer stop()
	ctx := context.Background()
	client.Do(ctx, client.B().Mset().KeyValue().KeyValue("track:1", "So What").KeyValue("track:3", "Blue in Green").Build())
	client.Do(ctx, client.B().Rpush().Key("track:4").Element("a list").Build())

	tracks := slices.Values([]string{"track:1", "track:2", "track:3", "track:4"})
	for r := range batch.Get(ctx, client, tracks, batch.Config{}) {
		switch {
		case r.Err != nil:
			fmt.Println(r.Index, "failed:", redstart.OutcomeOf(r.Err))
		case r.Found:
			fmt.Println(r.Index, r.Value)
		default:
			fmt.Println(r.Index, "is not there")
		}
	}
	// Output:
	// 0 So What
	// 1 is not there
	// 2 Blue in Green
	// 3 failed: not applied
}

// A file of any length is loaded with bounded memory: the input is read as the
// server takes it.
func ExampleSet() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	file := csv.NewReader(strings.NewReader("id,title\n1,So What\n2,Freddie Freeloader\n3,Blue in Green\n"))
	title := key.MustParse("shop:track:<id>:title")
	var broken error
	rows := func(yield func(batch.Entry) bool) {
		_, broken = file.Read() // the heading
		for broken == nil {
			var row []string
			if row, broken = file.Read(); broken != nil {
				return
			}
			var k string
			if k, broken = title.Key(row[0]); broken == nil && !yield(batch.Entry{Key: k, Value: row[1], TTL: time.Hour}) {
				return
			}
		}
	}

	loaded := 0
	for r := range batch.Set(ctx, client, rows, batch.Config{}) {
		if r.Err != nil {
			fmt.Println("line", r.Index+2, r.Err)
			continue
		}
		loaded++
	}
	if !errors.Is(broken, io.EOF) {
		fmt.Println("the file ended early:", broken)
	}
	second, err := client.Do(ctx, client.B().Get().Key("shop:track:2:title").Build()).ToString()
	fmt.Println(loaded, second, err)
	// Output: 3 Freddie Freeloader <nil>
}

// JSON lines become hashes; a progress callback tells how far it is.
func ExampleDo() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	const lines = `{"id": 1, "title": "So What", "seconds": 562}
{"id": 2, "title": "Freddie Freeloader", "seconds": 586}
not JSON
{"id": 3, "title": "Blue in Green", "seconds": 337}`
	type track struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		Seconds int    `json:"seconds"`
	}
	tracks := func(yield func(batch.Command) bool) {
		for in := bufio.NewScanner(strings.NewReader(lines)); in.Scan(); {
			var t track
			if err := json.Unmarshal(in.Bytes(), &t); err != nil {
				fmt.Println("passed over a line that is no track")
				continue
			}
			k := fmt.Sprintf("track:%d", t.ID)
			set := batch.Command{Words: []string{"HSET", k, "title", t.Title, "seconds", fmt.Sprint(t.Seconds)}, Key: k, Idempotent: true}
			if !yield(set) {
				return
			}
		}
	}

	var at batch.Progress
	for r := range batch.Do(ctx, client, tracks, batch.Config{Progress: func(p batch.Progress) { at = p }}) {
		if r.Err != nil {
			fmt.Println(r.Index, r.Err)
		}
	}
	fmt.Println(at.Done, "done,", at.Failed, "failed")
	// Output:
	// passed over a line that is no track
	// 3 done, 0 failed
}

// Keys that a scan finds are deleted as they are found.
func ExampleDel() {
	client, stop := start()
	defer stop()
	ctx := context.Background()
	client.Do(ctx, client.B().Mset().KeyValue().KeyValue("tmp:1", "x").KeyValue("tmp:2", "x").KeyValue("kept", "x").Build())

	n := 0
	for r := range batch.Del(ctx, client, found(batch.Scan(ctx, client, "tmp:*", batch.ScanConfig{})), batch.Config{}) {
		if r.Err == nil && r.Found {
			n++
		}
	}
	fmt.Println(n, "deleted")
	// Output: 2 deleted
}

// found gives the keys of a scan up to its first error, which it prints.
func found(scan iter.Seq2[string, error]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k, err := range scan {
			if err != nil {
				fmt.Println(err)
				return
			}
			if !yield(k) {
				return
			}
		}
	}
}

// A few commands as one step.
func ExampleAtomic() {
	client, stop := start()
	defer stop()
	ctx := context.Background()

	results, err := batch.Atomic(ctx, client,
		batch.Command{Words: []string{"RPUSH", "{order:7}:lines", "1 × So What"}, Key: "{order:7}:lines"},
		batch.Command{Words: []string{"INCRBY", "{order:7}:total", "999"}, Key: "{order:7}:total"},
	)
	if err != nil {
		fmt.Println(err, redstart.OutcomeOf(err))
		return
	}
	total, err := results[1].Reply.AsInt64()
	fmt.Println(total, err)

	// Two orders lie in two slots, so no server can change both in one step.
	_, err = batch.Atomic(ctx, client,
		batch.Command{Words: []string{"DEL", "{order:7}:lines"}, Key: "{order:7}:lines"},
		batch.Command{Words: []string{"DEL", "{order:8}:lines"}, Key: "{order:8}:lines"},
	)
	fmt.Println(err)
	// Output:
	// 999 <nil>
	// redstart/batch: atomic: refused: the keys lie in the slots 6368, 10511; a step is done in one, give the keys one hash tag: {user:7}:cart, {user:7}:total
}

// A step that depends on what is there: whoever loses a race decides anew.
func ExampleAtomicWatch() {
	client, stop := start()
	defer stop()
	ctx := context.Background()
	client.Do(ctx, client.B().Set().Key("stock:7").Value("1").Build())

	errSoldOut := errors.New("sold out")
	buy := func() error {
		for {
			_, err := batch.AtomicWatch(ctx, client, []string{"stock:7"}, func(read batch.Reader) ([]batch.Command, error) {
				left, err := read(batch.Command{Words: []string{"GET", "stock:7"}, Key: "stock:7"}).AsInt64()
				if err != nil {
					return nil, err
				}
				if left == 0 {
					return nil, errSoldOut
				}
				return []batch.Command{{Words: []string{"DECR", "stock:7"}, Key: "stock:7"}}, nil
			})
			if !errors.Is(err, batch.ErrConflict) {
				return err
			}
		}
	}
	fmt.Println(buy())
	fmt.Println(buy())
	// Output:
	// <nil>
	// sold out
}

// All keys of a template, on all nodes, without KEYS; the cursor could be
// stored and the scan go on elsewhere.
func ExampleScanTemplate() {
	client, stop := start()
	defer stop()
	ctx := context.Background()
	client.Do(ctx, client.B().Mset().KeyValue().KeyValue("user:7", "Ada").KeyValue("user:8", "Bob").KeyValue("user:8:cart", "…").Build())

	user := key.MustParse("user:<id>")
	var cursor string
	for k, err := range batch.ScanTemplate(ctx, client, user, batch.ScanConfig{Cursor: &cursor}) {
		if err != nil {
			fmt.Println("broken off, to go on from", cursor, err)
			break
		}
		id, _ := user.Match(k)
		fmt.Println(id[0])
	}
	// Unordered output:
	// 7
	// 8
}

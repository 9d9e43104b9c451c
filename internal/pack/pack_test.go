package pack

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/internal/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRoundTrip(t *testing.T) {
	text := bytes.Repeat([]byte("So What, Freddie Freeloader, Blue in Green. "), 100)
	noise := make([]byte, 4096)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	reader := New(frame.Plain, 1<<20) // whoever reads may pack otherwise
	for _, kind := range []frame.Packing{frame.S2, frame.Zstd} {
		p := New(kind, 1<<20)
		got, how := p.Pack([]byte("head"), text)
		if how != kind || len(got) > len(text)/4 || string(got[:4]) != "head" {
			t.Fatalf("%d: packed %d bytes to %d as %d", kind, len(text), len(got), how)
		}
		back, err := reader.Expand(got[4:], how)
		if err != nil || !bytes.Equal(back, text) {
			t.Errorf("%d: Expand = %d bytes, %v", kind, len(back), err)
		}
		if got, how = p.Pack([]byte("head"), noise); how != frame.Plain || string(got) != "head" {
			t.Errorf("%d: noise was packed as %d", kind, how)
		}
		if _, err := reader.Expand([]byte("\xff\xff garbage"), kind); err == nil {
			t.Errorf("%d: garbage expanded", kind)
		}
	}
	if back, err := reader.Expand(text, frame.Plain); err != nil || !bytes.Equal(back, text) {
		t.Errorf("plain: %v", err)
	}
}

// A bomb is refused before its memory is asked for.
func TestBomb(t *testing.T) {
	bomb := make([]byte, 256<<20)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer // does not say how large it is
	w.Reset(&stream)
	if _, err := w.Write(bomb); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]struct {
		kind   frame.Packing
		packed []byte
	}{
		"s2":          {frame.S2, s2.Encode(nil, bomb)},
		"zstd":        {frame.Zstd, w.EncodeAll(bomb, nil)},
		"zstd stream": {frame.Zstd, stream.Bytes()},
	} {
		p := New(b.kind, 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := p.Expand(b.packed, b.kind)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		if !errors.Is(err, ErrTooLarge) || took > 16<<20 || len(b.packed) > 1<<20 {
			t.Errorf("%s: 256 MiB in %d bytes: Expand = %v, and took %d bytes of memory", name, len(b.packed), err, took)
		}
	}
}

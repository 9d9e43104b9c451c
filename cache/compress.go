package cache

import "github.com/redstart-go/redstart/internal/frame"

// Compression is how payloads are packed.
type Compression uint8

const (
	// NoCompression stores payloads as the codec gives them.
	NoCompression Compression = iota
	// S2 is fast: it costs little more than copying.
	S2
	// Zstd is smaller, and several times slower.
	Zstd
)

// String is the compression for people.
func (c Compression) String() string {
	names := [...]string{"none", "s2", "zstd", "unknown"}
	return names[min(int(c), len(names)-1)]
}

func (c Compression) packing() frame.Packing {
	return [...]frame.Packing{frame.Plain, frame.S2, frame.Zstd}[c]
}

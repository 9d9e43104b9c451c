package cache

import (
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/pack"
)

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

// packerOf packs as configured. What expands beyond MaxBytes is no entry of
// this cache, whatever it claims.
func packerOf(kind Compression, most int) *pack.Packer {
	return pack.New([...]frame.Packing{frame.Plain, frame.S2, frame.Zstd}[kind], most)
}

// packed compresses the payload of a frame, which begins at the offset, if it
// is large enough and gains by it. MaxBytes has been seen to.
func (c *Cache[K, V]) packed(raw []byte, at int) []byte {
	if c.cfg.Compress == NoCompression || len(raw)-at <= c.cfg.CompressAbove {
		return raw
	}
	smaller, how := c.packer.Pack(append(make([]byte, 0, len(raw)), raw[:at]...), raw[at:])
	if how == frame.Plain {
		return raw
	}
	frame.Pack(smaller, how)
	return smaller
}

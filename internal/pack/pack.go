// Package pack compresses payloads, and expands them no further than to a
// bound, whatever they claim to be.
package pack

import (
	"errors"
	"math"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/redstart-go/redstart/internal/frame"
)

// ErrTooLarge is the error of a payload that would expand beyond the bound.
var ErrTooLarge = errors.New("the packed payload expands beyond the bound")

// Packer packs in one way and expands all. It is shared by all goroutines.
type Packer struct {
	kind  frame.Packing
	most  int // bytes of an expanded payload
	write func() (*zstd.Encoder, error)
	read  func() (*zstd.Decoder, error)
}

// New makes a Packer. What expands to more than most bytes is refused; zero
// or less: to more than 512 MiB, which is what a string in Redis may have.
func New(kind frame.Packing, most int) *Packer {
	if most <= 0 || most > 512<<20 {
		most = 512 << 20
	}
	return &Packer{
		kind: kind, most: most,
		write: sync.OnceValues(func() (*zstd.Encoder, error) {
			return zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		}),
		read: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(most)), zstd.WithDecoderLowmem(true))
		}),
	}
}

// Pack appends the packed payload to dst. packing is Plain, and dst as it was,
// when that saves less than an eighth.
func (p *Packer) Pack(dst, payload []byte) (packed []byte, packing frame.Packing) {
	was := len(dst)
	switch p.kind {
	case frame.S2:
		dst = append(dst, s2.Encode(nil, payload)...)
	case frame.Zstd:
		w, err := p.write()
		if err != nil {
			return dst, frame.Plain
		}
		dst = w.EncodeAll(payload, dst)
	default:
		return dst, frame.Plain
	}
	if len(dst)-was > len(payload)-len(payload)/8 {
		return dst[:was], frame.Plain
	}
	return dst, p.kind
}

// Expand gives the payload in memory of its own; a plain one as it is.
func (p *Packer) Expand(payload []byte, packing frame.Packing) ([]byte, error) {
	switch packing {
	case frame.Plain:
		return payload, nil
	case frame.S2:
		n, err := s2.DecodedLen(payload)
		if err != nil {
			return nil, err
		}
		if n > p.most || n > math.MaxInt32 {
			return nil, ErrTooLarge
		}
		return s2.Decode(nil, payload)
	default:
		r, err := p.read()
		if err != nil {
			return nil, err
		}
		got, err := r.DecodeAll(payload, nil)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(got) > p.most {
			return nil, ErrTooLarge
		}
		return got, err
	}
}

package cache

import "github.com/redstart-go/redstart/internal/codec"

// Codec turns values into bytes and back. Its Name becomes part of what is
// stored, so that an entry written by another codec is a miss. A Codec must be
// safe for concurrent use.
type Codec[V any] interface {
	// Name tells codecs apart: "json".
	Name() string
	// Append appends the encoded value to dst.
	Append(dst []byte, v V) ([]byte, error)
	// Decode gives the value. It must neither change src nor keep it.
	Decode(src []byte) (V, error)
}

// JSON is encoding/json: readable by everything, and the slowest (a struct of
// 860 bytes decodes in some 10 µs where [Msgpack] takes 3).
func JSON[V any]() Codec[V] { return codec.JSON[V]() }

// Msgpack is MessagePack with structs as arrays: the fastest codec that needs
// no generated code, and the default. The order of the fields is the format;
// the schema in each entry's frame makes another order a miss. A time.Time
// comes back as the same instant in the local zone, without its own.
func Msgpack[V any]() Codec[V] { return codec.Msgpack[V](true) }

// MsgpackMap is MessagePack with structs as maps by field name: some 20 %
// slower than [Msgpack], and readable by other programs.
func MsgpackMap[V any]() Codec[V] { return codec.Msgpack[V](false) }

// Raw stores bytes or text as they are, and decodes without copying.
func Raw[V ~[]byte | ~string]() Codec[V] { return codec.Raw[V]() }

// Generated uses the methods that github.com/tinylib/msgp generates for a type
// (MarshalMsg on V or *V, UnmarshalMsg on *V): the fastest of all. It is the
// default for a type that has them.
func Generated[V any]() (Codec[V], bool) {
	return codec.Generated[V](), codec.Generates[V]()
}

// Package codec holds the ways in which values are encoded. What each promises
// is said in package cache, which gives them to users.
package codec

import (
	"encoding/json"
	"reflect"
	"unsafe"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/redstart-go/redstart/internal/schema"
)

// Codec is cache.Codec.
type Codec[V any] interface {
	Name() string
	Append(dst []byte, v V) ([]byte, error)
	Decode(src []byte) (V, error)
}

// JSON is encoding/json.
func JSON[V any]() Codec[V] { return jsonCodec[V]{} }

// Msgpack is MessagePack, with structs as maps by name or as arrays.
func Msgpack[V any](arrays bool) Codec[V] { return msgpackCodec[V]{arrays: arrays} }

// Raw is bytes or text as they are.
func Raw[V any]() Codec[V] { return rawCodec[V]{} }

// Generated calls the methods that github.com/tinylib/msgp generates.
func Generated[V any]() Codec[V] { return generatedCodec[V]{} }

type jsonCodec[V any] struct{}

func (jsonCodec[V]) Name() string { return "json" }

func (jsonCodec[V]) Append(dst []byte, v V) ([]byte, error) {
	b, err := json.Marshal(&v) // the address, for methods on the pointer
	return append(dst, b...), err
}

func (jsonCodec[V]) Decode(src []byte) (v V, err error) {
	err = json.Unmarshal(src, &v)
	return v, err
}

type msgpackCodec[V any] struct{ arrays bool }

func (c msgpackCodec[V]) Name() string {
	if c.arrays {
		return "msgpack"
	}
	return "msgpack map"
}

func (c msgpackCodec[V]) Append(dst []byte, v V) ([]byte, error) {
	w := writer{dst}
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&w)
	enc.UseArrayEncodedStructs(c.arrays)
	err := enc.Encode(&v) // the address, for methods on the pointer
	return w.buf, err
}

func (c msgpackCodec[V]) Decode(src []byte) (v V, err error) {
	err = msgpack.Unmarshal(src, &v)
	return v, err
}

type writer struct{ buf []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

type rawCodec[V any] struct{}

func (rawCodec[V]) Name() string { return "raw" }

func (rawCodec[V]) Append(dst []byte, v V) ([]byte, error) {
	switch p := any(v).(type) {
	case []byte:
		return append(dst, p...), nil
	case string:
		return append(dst, p...), nil
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.String {
		return append(dst, rv.String()...), nil
	} else {
		return append(dst, rv.Bytes()...), nil
	}
}

// Decode gives a value that shares src: the cache hands each caller bytes of
// his own.
func (rawCodec[V]) Decode(src []byte) (v V, err error) {
	switch p := any(&v).(type) {
	case *[]byte:
		*p = src
	case *string:
		*p = unsafe.String(unsafe.SliceData(src), len(src))
	default:
		rv := reflect.ValueOf(&v).Elem()
		if rv.Kind() == reflect.String {
			rv.SetString(string(src))
		} else {
			rv.SetBytes(src)
		}
	}
	return v, nil
}

func (rawCodec[V]) Shares() bool { return reflect.TypeFor[V]().Kind() == reflect.Slice }

// Generates reports whether V has the methods that Generated calls.
func Generates[V any]() bool {
	var v V
	_, marshals := any(&v).(msgMarshaler)
	_, unmarshals := any(&v).(msgUnmarshaler)
	return marshals && unmarshals
}

type (
	msgMarshaler   interface{ MarshalMsg([]byte) ([]byte, error) }
	msgUnmarshaler interface {
		UnmarshalMsg([]byte) ([]byte, error)
	}
)

type generatedCodec[V any] struct{}

func (generatedCodec[V]) Name() string { return "generated" }

func (generatedCodec[V]) Append(dst []byte, v V) ([]byte, error) {
	return any(&v).(msgMarshaler).MarshalMsg(dst)
}

func (generatedCodec[V]) Decode(src []byte) (v V, err error) {
	_, err = any(&v).(msgUnmarshaler).UnmarshalMsg(src)
	return v, err
}

// Default is what suits V: raw for bytes and text, the type's generated
// methods, else MessagePack. It refuses a type that would come back different.
func Default[V any]() (Codec[V], error) {
	t := reflect.TypeFor[V]()
	if t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return rawCodec[V]{}, nil
	}
	if Generates[V]() {
		return generatedCodec[V]{}, nil
	}
	return msgpackCodec[V]{arrays: true}, schema.Lossy(t)
}

// ID is the codec in a frame, so that a stranger can show the payload.
// Zero is a codec of the user's.
func ID(name string) byte {
	for id, known := range Names {
		if name == known {
			return byte(id)
		}
	}
	return 0
}

// Names are the codecs' names by their IDs.
var Names = [...]string{"own", "raw", "json", "msgpack", "msgpack map", "generated"}

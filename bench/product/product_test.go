package product

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/redstart-go/redstart/cache"
)

// Every codec gives the struct back, so that all contestants of the benchmark do the same work.
func TestProductSurvivesEveryCodec(t *testing.T) {
	want := Make(123456)
	if text, err := json.Marshal(want); err != nil || len(text) < 850 || len(text) > 870 {
		t.Errorf("%d bytes as JSON, %v", len(text), err)
	}
	for _, codec := range []cache.Codec[Product]{cache.JSON[Product](), cache.Msgpack[Product](), cache.MsgpackMap[Product]()} {
		raw, err := codec.Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.Decode(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", codec.Name(), got, err)
		}
	}
	codec, ok := cache.Generated[Fast]()
	if !ok {
		t.Fatal("Fast has no generated methods")
	}
	raw, err := codec.Append(nil, Fast(want))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := codec.Decode(raw); err != nil || !reflect.DeepEqual(Product(got), want) {
		t.Errorf("generated: %+v, %v", got, err)
	}
	for n := range raw {
		if _, err := codec.Decode(raw[:n]); err == nil {
			t.Fatalf("cut to %d of %d bytes: decoded all the same", n, len(raw))
		}
	}
}

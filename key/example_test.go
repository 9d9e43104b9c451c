package key_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redstart-go/redstart/key"
)

func ExampleTemplate() {
	profile := key.MustParse("shop:user:<id>:profile")

	k, _ := profile.Key("123")
	fmt.Println(k)

	// Whatever the id holds, it stays one part of the key.
	k, _ = profile.Key("123:profile")
	fmt.Println(k)

	_, err := profile.Key(strings.Repeat("x", 2000))
	fmt.Println(errors.Is(err, key.ErrTooLong))
	// Output:
	// shop:user:123:profile
	// shop:user:123%3Aprofile:profile
	// true
}

func ExampleParse() {
	_, err := key.Parse("order:<user>-<order>")
	fmt.Println(err)
	// Output:
	// redstart/key: template not valid: "order:<user>-<order>": at offset 13: second placeholder in one segment, after the one at offset 6: put ':' between them, else a key could not be parsed back
}

func ExampleTemplate_Match() {
	order := key.MustParse("shop:order:<user>:<order>")

	ids, ok := order.Match("shop:order:a%3Ab:7")
	fmt.Printf("%q %v\n", ids, ok)

	// Not the spelling that Key gives, so not a key of this template.
	_, ok = order.Match("shop:order:%61:7")
	fmt.Println(ok)
	// Output:
	// ["a:b" "7"] true
	// false
}

func ExampleTemplate_AppendKey() {
	item := key.MustParse("shop:item:<id>")
	buf := make([]byte, 0, 64)
	for _, id := range []string{"1", "2"} {
		buf, _ = item.AppendKey(buf[:0], id) // no allocation
		fmt.Printf("%s\n", buf)
	}
	// Output:
	// shop:item:1
	// shop:item:2
}

func ExampleTemplate_Pattern() {
	fmt.Println(key.MustParse("shop:user:<id>:profile").Pattern())
	// Output:
	// shop:user:*:profile
}

func ExampleTemplate_Slot() {
	cart := key.MustParse("shop:{user:<id>}:cart")
	orders := key.MustParse("shop:{user:<id>}:orders:<year>")

	a, _ := cart.Slot("42")
	b, _ := orders.Slot("42", "2025")
	fmt.Println(a == b)
	// Output:
	// true
}

func ExampleSlot() {
	fmt.Println(key.Slot("foo"), key.Slot("{user1000}.following") == key.Slot("{user1000}.followers"))
	// Output:
	// 12182 true
}

func ExampleCheck() {
	for _, k := range []string{"shop:user:<id>:profile", "user-123-profile"} {
		fmt.Println(k, len(key.Check(k)))
		for _, p := range key.Check(k) {
			fmt.Println(p.Rule+":", p.Text)
		}
	}
	// Output:
	// shop:user:<id>:profile 0
	// user-123-profile 1
	// separator: inconsistent separator: '-' stands where ':' should; put ':' between entity, id and attribute, as in user:123:profile
}

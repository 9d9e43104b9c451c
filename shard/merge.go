package shard

import (
	"encoding/binary"
	"errors"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// merged makes one answer of those of the parts. One that failed fails all, but
// for what a shard that is away will be told when it says that it does not know.
func (s *spec) merged(parts []part, answers []rueidis.RedisResult) rueidis.RedisResult {
	said := -1 // an answer that is none of these failures
	for i := range answers {
		if err := answers[i].Error(); err == nil {
			said = i
		} else if s.merge != sameSaid || !redstart.Away(err) {
			return answers[i]
		}
	}
	if said < 0 {
		return answers[0]
	}
	var m rueidis.RedisMessage
	var err error
	switch s.merge {
	case inOrder:
		m, err = arranged(parts, answers)
	case sum:
		m, err = added(answers)
	case minimum:
		m, err = least(answers)
	default:
		return answers[said]
	}
	if err != nil {
		return rueidis.NewErrorResult(&redstart.Error{Op: op, Template: s.name, Outcome: redstart.Applied, Err: err})
	}
	return rueidis.NewResult(m, nil)
}

var errMerge = errors.New("a shard's answer has not the form that its command's answers have")

// arranged puts the elements of the answers where their keys stood.
func arranged(parts []part, answers []rueidis.RedisResult) (rueidis.RedisMessage, error) {
	n := 0
	for _, p := range parts {
		n += len(p.at)
	}
	whole, elements, err := array(n)
	if err != nil {
		return whole, err
	}
	for i, p := range parts {
		got, err := answers[i].ToArray()
		if err != nil || len(got) != len(p.at) {
			return whole, errMerge
		}
		for j, at := range p.at {
			elements[at] = got[j]
		}
	}
	return whole, nil
}

func added(answers []rueidis.RedisResult) (rueidis.RedisMessage, error) {
	total := int64(0)
	for i := range answers {
		n, err := answers[i].AsInt64()
		if err != nil {
			return rueidis.RedisMessage{}, errMerge
		}
		total += n
	}
	return integer(total)
}

func least(answers []rueidis.RedisResult) (rueidis.RedisMessage, error) {
	lowest, err := answers[0].AsIntSlice()
	for i := 1; i < len(answers) && err == nil; i++ {
		var more []int64
		if more, err = answers[i].AsIntSlice(); err == nil && len(more) != len(lowest) {
			err = errMerge
		}
		for j := 0; err == nil && j < len(lowest); j++ {
			lowest[j] = min(lowest[j], more[j])
		}
	}
	if err != nil {
		return rueidis.RedisMessage{}, errMerge
	}
	whole, elements, err := array(len(lowest))
	for i := 0; err == nil && i < len(lowest); i++ {
		elements[i], err = integer(lowest[i])
	}
	return whole, err
}

// rueidis makes messages only of bytes: those of a connection, and those that
// CacheMarshal writes, which may change with its version. Both of what is needed
// here are of this form: 7 bytes of TTL, then for each message its RESP type and
// 8 bytes with its length, or its number. Open checks that it still is so.

// message reads one. It is wrapped in an array, since the outermost message is
// marked as one from a client's cache.
func message(of ...byte) (rueidis.RedisMessage, error) {
	var outer rueidis.RedisMessage
	wrapped := append(header(make([]byte, 7, 7+9+len(of)), '*', 1), of...)
	if err := outer.CacheUnmarshalView(wrapped); err != nil {
		return rueidis.RedisMessage{}, err
	}
	inner, err := outer.ToArray()
	if err != nil || len(inner) != 1 {
		return rueidis.RedisMessage{}, errMessage
	}
	return inner[0], nil
}

func header(b []byte, typ byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, typ), uint64(n))
}

func integer(n int64) (rueidis.RedisMessage, error) { return message(header(nil, ':', n)...) }

// array makes an array of n nils, and gives its elements to be written to.
func array(n int) (rueidis.RedisMessage, []rueidis.RedisMessage, error) {
	b := header(make([]byte, 0, 9+9*n), '*', int64(n))
	for range n {
		b = header(b, '_', 0)
	}
	m, err := message(b...)
	if err != nil {
		return m, nil, err
	}
	elements, err := m.ToArray()
	if err == nil && len(elements) != n {
		err = errMessage
	}
	return m, elements, err
}

var errMessage = errors.New("redstart/shard: open: this version of rueidis writes messages in a form unknown here; use the version that Redstart's go.mod names")

// canMerge checks that messages can be made.
func canMerge() error {
	number, err := integer(-7)
	if err != nil {
		return errMessage
	}
	n, err := number.ToInt64()
	whole, elements, err2 := array(2)
	if err != nil || err2 != nil || n != -7 || whole.IsCacheHit() || number.IsCacheHit() || !elements[0].IsNil() {
		return errMessage
	}
	elements[1] = number
	again, err := whole.ToArray()
	if err != nil || len(again) != 2 {
		return errMessage
	}
	if n, err := again[1].ToInt64(); err != nil || n != -7 {
		return errMessage
	}
	return nil
}

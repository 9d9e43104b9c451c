package httplimit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

var (
	errNoHeader   = errors.New("redstart/limit/httplimit: the header is missing or empty")
	errManyHeader = errors.New("redstart/limit/httplimit: the header is there more than once")
)

// ByHeader makes ids of a header's value, such as an API key. The id is the
// value's SHA-256, so that no credential stands in a key of the server. A
// request without the header, or with several of it, has no id.
//
// Whoever can send what he likes here has as many quotas as he likes: put it
// behind what verifies the value, or an own [KeyFunc] there that takes the user
// whom it found.
func ByHeader(name string) (KeyFunc, error) {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !tokenRune(r) }) {
		return nil, fmt.Errorf("redstart/limit/httplimit: by header: %q is no name of a header", name)
	}
	return func(r *http.Request) (string, error) {
		values := r.Header[canonical]
		switch {
		case len(values) > 1:
			return "", errManyHeader
		case len(values) == 0 || values[0] == "":
			return "", errNoHeader
		}
		sum := sha256.Sum256([]byte(values[0]))
		return base64.RawURLEncoding.EncodeToString(sum[:]), nil
	}, nil
}

// tokenRune says whether a character may stand in a token (RFC 9110, 5.6.2).
func tokenRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

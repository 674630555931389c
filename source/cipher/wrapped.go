package cipher

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Unwrap returns c for columns whose writers wrapped values by mistake, once or
// twice: in a JSON string ("gAAAA..." with its quotes), as Python's str() of bytes
// (b'gAAAA...'), or in one more layer of base64. Values without a wrapping are as
// c has them, and so is what is in a wrapping but not of c's format.
func Unwrap(c Cipher) Cipher { return unwrapped{c} }

type unwrapped struct{ inner Cipher }

// Sealed reports whether v, or what it wraps, is of the format.
func (u unwrapped) Sealed(v Value) bool {
	_, ok := u.find(v)
	return ok
}

// Open opens v, or what it wraps.
func (u unwrapped) Open(v Value) ([]byte, error) {
	v, _ = u.find(v)
	return u.inner.Open(v)
}

// find takes wrappings off until the value is of the format; without one that is,
// it returns v.
func (u unwrapped) find(v Value) (Value, bool) {
	inner := v
	for range 3 {
		if u.inner.Sealed(inner) {
			return inner, true
		}
		data, ok := unwrap(trim(inner.Data))
		if !ok {
			break
		}
		inner.Data = data
	}
	return v, false
}

// unwrap takes one wrapping off.
func unwrap(b []byte) ([]byte, bool) {
	if bytes.HasPrefix(b, []byte(`"`)) {
		var text string
		err := json.Unmarshal(b, &text)
		return []byte(text), err == nil
	}
	for _, quote := range []string{"'", `"`} {
		if inner, ok := bytes.CutPrefix(b, []byte("b"+quote)); ok {
			return bytes.CutSuffix(inner, []byte(quote))
		}
	}
	text, ok := anyBase64(b)
	return text, ok && len(text) > 0 && utf8.Valid(text)
}

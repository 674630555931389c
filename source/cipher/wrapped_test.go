package cipher

import (
	"encoding/base64"
	"encoding/json"
	"testing"
)

// A value opens through each wrapping that writers add by mistake, and through two
// of them; what is in a wrapping and not of the format stays plain.
func TestUnwrap_OpensWrappedValues(t *testing.T) {
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	b64 := func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }
	for _, name := range []string{"fernet", "laravel", "rails", "prisma-field"} {
		k := registered(t, name).known[0]
		inner, err := k.right()
		if err != nil {
			t.Fatal(err)
		}
		c, value := Unwrap(inner), string(k.value.Data)
		for wrapping, wrapped := range map[string]string{
			"none": value, "JSON": quote(value), "Python's": "b'" + value + "'", "base64": b64(value),
			"JSON of Python's": quote("b'" + value + "'"), "base64 of JSON": b64(quote(value)),
		} {
			v := Value{Data: []byte(wrapped), With: k.value.With}
			plain, err := c.Open(v)
			if !c.Sealed(v) || err != nil || string(plain) != k.want {
				t.Errorf("%s in %s: got sealed %t, %d bytes, %v, want the text", name, wrapping, c.Sealed(v), len(plain), err)
			}
		}
		for _, plain := range []string{"", `"`, `"ya29"`, "b'ya29'", "b'", b64("ya29.plain-token"), "ya29.plain-token"} {
			v := text(plain)
			if _, err := c.Open(v); c.Sealed(v) || err == nil {
				t.Errorf("%s: %q is sealed, or opens", name, plain)
			}
		}
	}
}

package cipher

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// otherKey32 is base64 of 32 bytes that no answer's key is.
const otherKey32 = "8PHy8/T19vf4+fr7/P3+/+Dh4uPk5ebn6Onq6+zt7u8="

func openNango(keys []string) (*Nango, error) { return NewNango(secretList(keys)...) }

func init() {
	other := func([]string) []string { return []string{otherKey32} }
	iv := map[string]string{"credentials_iv": "AAAAAAAAAAAAAAAA", "credentials_tag": "AAAAAAAAAAAAAAAAAAAAAA=="}
	with := func(name, text string) map[string]string {
		m := map[string]string{name: text}
		for k, v := range iv {
			if k != name {
				m[k] = v
			}
		}
		return m
	}
	const doc = `{"encrypted_credentials":"AAAA"}`
	formats = append(formats, format{
		name:  "nango",
		known: slices.Concat(answers("nango", openNango, other), answers("nango-elsewhere", openNango, other)),
		damaged: []Value{
			text(doc), {Data: []byte(doc), With: with("credentials_iv", "AAAA")}, {Data: []byte(doc), With: with("credentials_tag", "!")},
			{Data: []byte(`{"encrypted_credentials":"!"}`), With: iv}, {Data: []byte(doc[:28]), With: iv},
		},
		plain: []Value{
			text(`{"type":"OAUTH2","access_token":"ya29.x"}`), text(`{}`), text(`[]`), text(`"x"`), text(`null`),
			{Data: []byte(`{"type":"OAUTH2","access_token":"ya29.x"}`), With: iv}, {Data: []byte(`{"encrypted_credentials":null}`), With: iv},
		},
		words: []string{"encrypted_credentials", "credentials_iv", "credentials_tag", "encryption_key"},
	})
}

func FuzzNango(f *testing.F) { fuzz(f, "nango") }

func TestNewNango_TellsKeysThatCannotBe(t *testing.T) {
	checkKeyErrors(t, "encryption_key", openNango, "0123456789abcdef0123456789abcdef", "Qx!Wz?Kb:Nf.", otherKey32[:40])
}

// checkKeyErrors wants a KeyError of that name for each key, which tells nothing
// of it.
func checkKeyErrors[C Cipher](t *testing.T, name string, open func([]string) (C, error), keys ...string) {
	t.Helper()
	for i, text := range keys {
		_, err := open([]string{text})
		var key *KeyError
		if !errors.As(err, &key) || key.Name != name {
			t.Errorf("key %d: got %v, want a KeyError named %s", i, err, name)
			continue
		}
		for at := 0; at+6 <= len(text); at++ {
			if strings.Contains(err.Error(), text[at:at+6]) {
				t.Errorf("key %d: the error %q tells of the key", i, err)
			}
		}
	}
}

// The hash is made with Node's crypto.pbkdf2Sync as EncryptionManager's
// hashEncryptionKey calls it.
func TestNango_KnowsTheHashOfItsKey(t *testing.T) {
	const key, hash = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", "ascL5N2wMq/7lJyvKvUhNw+5Eg8TFRkx0q1UwCr0Dog="
	for _, test := range []struct {
		keys []string
		hash string
		want bool
	}{
		{[]string{key}, hash, true},
		{[]string{otherKey32, key + "\n"}, hash, true},
		{[]string{otherKey32}, hash, false},
		{nil, hash, false},
		{[]string{key}, "", false},
		{[]string{key}, "!", false},
	} {
		c, err := openNango(test.keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Hashed(test.hash); got != test.want {
			t.Errorf("%d keys: got %v, want %v", len(test.keys), got, test.want)
		}
	}
}

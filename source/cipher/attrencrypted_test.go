package cipher

import (
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

func init() {
	open := func(o AttrEncryptedOptions, keys []string) (*AttrEncrypted, error) {
		return NewAttrEncrypted(o, secretList(keys)...)
	}
	other := func([]string) []string { return []string{strings.Repeat("7x", 32), "9876543210zyxwvutsrqponmlkjihgfe"} }
	iv := map[string]string{"iv": "yL0S0MzBCBLlaoQr\n"}
	formats = append(formats, format{
		name:  "attr-encrypted",
		known: slices.Concat(configured("attr-encrypted-4", open, other), configured("attr-encrypted-3", open, other), sharedAttrEncrypted()),
		damaged: []Value{
			text("xpkO6auPuyp4knQTw5O8HO8npiBZrD3K3rTXqFUvvyXdvtk=\n"),
			{Data: []byte("xpkO6auPuyp4knQTw5O8HO8npiBZrD3K3rTXqFUvvyXdvtk=\n"), With: map[string]string{"iv": "yL0S0MzBCBI=\n"}},
		},
		plain: []Value{text("c2hvcnQ="), {Data: []byte("ya29.plain"), With: iv}},
		words: []string{"per_attribute_iv_and_salt", "single_iv_and_salt", "per_attribute_iv"},
	})
}

// sharedAttrEncrypted is an answer made by Encryptor 3.0.0.
func sharedAttrEncrypted() []known {
	const key = "attr-encrypted-key-32-bytes-long"
	open := func(keys ...string) func() (Cipher, error) {
		return func() (Cipher, error) { return NewAttrEncrypted(AttrEncryptedOptions{}, secretList(keys)...) }
	}
	return []known{{
		name: "Encryptor 3", want: "ya29.attr-encrypted", authenticated: true, secrets: []string{key},
		value: Value{[]byte("xpkO6auPuyp4knQTw5O8HO8npiBZrD3K3rTXqFUvvyXdvtk=\n"), map[string]string{"iv": "yL0S0MzBCBLlaoQr\n"}},
		right: open(key), wrong: open(strings.ToUpper(key)), none: open(),
	}}
}

func FuzzAttrEncrypted(f *testing.F) { fuzz(f, "attr-encrypted") }

func TestNewAttrEncrypted_TellsKeysThatCannotBeOne(t *testing.T) {
	key := connect.NewSecret("not 32 bytes")
	_, err := NewAttrEncrypted(AttrEncryptedOptions{}, key)
	checkKeyError(t, err, "encryption_key", key.Reveal())
	_, err = NewAttrEncrypted(AttrEncryptedOptions{Mode: "per_row"}, key)
	checkKeyError(t, err, "mode", key.Reveal())
	_, err = NewAttrEncrypted(AttrEncryptedOptions{Algorithm: "rot13"}, key)
	checkKeyError(t, err, "algorithm", key.Reveal())
	if _, err := NewAttrEncrypted(AttrEncryptedOptions{Mode: "single_iv_and_salt"}, key); err != nil {
		t.Errorf("any text can be a password: got %v", err)
	}
}

func TestRubyUnmarshal(t *testing.T) {
	for in, want := range map[string]string{
		"\x04\bI\"\x0aya29.\x06:\x06ET": "ya29.", "\x04\b\"\x0aya29.": "ya29.", "\x04\b\"\x00": "", "\x04\bI\"\x00\x06:\x06ET": "",
		"\x04\b\"\x01\xc8" + strings.Repeat("x", 200):     strings.Repeat("x", 200),
		"\x04\b\"\x02\x2c\x01" + strings.Repeat("y", 300): strings.Repeat("y", 300),
		// not marshalled, or not whole
		"\x04\b\"\x0aya29": "\x04\b\"\x0aya29", "\x04\b\"\xfaya29": "\x04\b\"\xfaya29", "\x04\b\"\x04ya": "\x04\b\"\x04ya", "\x04\bi\x06": "\x04\bi\x06",
		"ya29.": "ya29.", "": "", "\x04\bI\"": "\x04\bI\"",
	} {
		if got := string(rubyUnmarshal([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Encryptor 3.0.0 made the value with a nonce of zeros, as its 2.0.0 did of any iv.
func TestAttrEncrypted_OpensWhatIgnoredItsIV(t *testing.T) {
	c := must(t, sharedAttrEncrypted()[0].right)
	v := Value{[]byte("B/zzr2ehkHEdoRr/KbUeKQBOLNWKl/ueznuR4JmARw=="), map[string]string{"iv": "yL0S0MzBCBLlaoQr\n"}}
	checkOpens(t, c, v, "ya29.ignored-iv")
}

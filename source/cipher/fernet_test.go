package cipher

import (
	"errors"
	"testing"

	"tokenmigrate/migrate/connect"
)

var fernetRules = map[string]FernetKeys{"direct": FernetDirect, "django": FernetDjango, "sha256": FernetSHA256, "open-webui": FernetOpenWebUI}

func init() {
	open := func(rule string, keys []string) (*Fernet, error) {
		return NewFernet(fernetRules[rule], secretList(keys)...)
	}
	other := func([]string) []string { return []string{"bm90LXRoZS1rZXktbm90LXRoZS1rZXktbm90LXRoZS0="} }
	formats = append(formats, format{
		name:  "fernet",
		known: append(configured("fernet", open, other), sharedFernet()),
		damaged: []Value{
			text("gAAAA"), text("gAAAAA"), text("gAAAABrBGNP5KXLNS29P9xfux_N4pIOOPulLtOZ"), text("gAAAA!BrBGNP5KXLNS29P9xfux_N4pIOOPulLtOZ"),
			text("gAAAABrBGNP5KXLNS29P9xfux_N4pIOOPulLtOZqk85WNkqhbv_kb8LEXjObm9XJGcqahF6_WbJMDfZQVPpYbK9l1a3a"),
		},
		plain: []Value{text("gAAA"), text("AAAAgAAAA"), text("eyJhbGciOiJIUzI1NiJ9.e30.c2ln")},
	})
}

// sharedFernet is an answer made by cryptography 48.0.0 apart from ours.
func sharedFernet() known {
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	open := func(key string) func() (Cipher, error) {
		return func() (Cipher, error) { return NewFernet(FernetDirect, connect.NewSecret(key)) }
	}
	return known{
		name:  "another's",
		value: text("gAAAAABrBGNP5KXLNS29P9xfux_N4pIOOPulLtOZqk85WNkqhbv_kb8LEXjObm9XJGcqahF6_WbJMDfZQVPpYbK9l1a3a-T9xcGcUWoDvJc8PxUcVEbzzVo="),
		want:  "ya29.fernet-access", secrets: []string{key}, authenticated: true,
		right: open(key), wrong: open("HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), none: open(""),
	}
}

func FuzzFernet(f *testing.F) { fuzz(f, "fernet") }

func TestNewFernet_TellsKeysThatCannotBeOne(t *testing.T) {
	for _, key := range []string{"short", "AAECAwQFBgcICQoLDA0ODw==", "not base64 but forty-four characters long...", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,x"} {
		_, err := NewFernet(FernetDirect, connect.NewSecret(key))
		checkKeyError(t, err, "encryption_key", key)
	}
	if _, err := NewFernet(FernetOpenWebUI, connect.NewSecret("not base64 but forty-four characters long...")); err == nil {
		t.Error("44 characters that are no base64: got no error, want a KeyError, as Open WebUI takes them for a key")
	}
	if _, err := NewFernet(FernetSHA256, connect.NewSecret("x")); err != nil {
		t.Errorf("any text is a secret: got %v", err)
	}
}

// checkKeyError wants a *KeyError of that name that tells nothing of key.
func checkKeyError(t *testing.T, err error, name, key string) {
	t.Helper()
	var k *KeyError
	if !errors.As(err, &k) || k.Name != name {
		t.Errorf("got %v, want a KeyError named %s", err, name)
		return
	}
	for w := range windows(format{words: []string{"base64", "characters"}}, err) {
		for i := 0; i+len(w) <= len(key); i++ {
			if key[i:i+len(w)] == w {
				t.Errorf("the error %q tells %q of the key", err, w)
				return
			}
		}
	}
}

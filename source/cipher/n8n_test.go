package cipher

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

type n8nKeys struct {
	EncryptionKey string `json:"encryption_key"`
	DataKeys      []struct {
		ID        string `json:"id"`
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	} `json:"data_keys"`
}

func (k n8nKeys) rows() []N8nDataKey {
	var rows []N8nDataKey
	for _, r := range k.DataKeys {
		rows = append(rows, N8nDataKey{r.ID, r.Algorithm, connect.NewSecret(r.Value)})
	}
	return rows
}

func openN8n(k n8nKeys) (*N8n, error) {
	return NewN8n(k.rows(), connect.NewSecret(k.EncryptionKey))
}

func init() {
	other := func(n8nKeys) n8nKeys { return n8nKeys{EncryptionKey: "Lq2Wm7Xs4Ez9Rb1Tn6Yv3Uc8Io5Pk0Ad"} }
	version2 := base64.StdEncoding.EncodeToString(append([]byte{2}, make([]byte, 80)...))
	formats = append(formats, format{
		name:  "n8n",
		known: slices.Concat(answers("n8n", openN8n, other), answers("n8n-elsewhere", openN8n, other)),
		damaged: []Value{
			text("U2FsdGVkX1"), text("U2FsdGVkX19hYmNk"), text("U2FsdGVkX1!!"), text("U2FsdGVkX19" + strings.Repeat("A", 50)),
		},
		plain: []Value{
			text(`{"oauthTokenData":{}}`), text("https://example.com/" + strings.Repeat("a", 80)), text("user:password"), text("aes:" + strings.Repeat("A", 20)),
			text(strings.Repeat("k", 37) + ":" + version2), text(version2),
		},
		words: []string{"aes-256-gcm", "aes-256-cbc", "deployment_key", "instance"},
	})
}

func FuzzN8n(f *testing.F) { fuzz(f, "n8n") }

// A data key that the instance key does not unwrap is configured, and wrong.
func TestN8n_TellsAnInstanceKeyThatDoesNotUnwrap(t *testing.T) {
	for _, a := range registered(t, "n8n").known {
		if !a.namesKey {
			continue
		}
		k := a.keys.(n8nKeys)
		k.EncryptionKey = "Lq2Wm7Xs4Ez9Rb1Tn6Yv3Uc8Io5Pk0Ad"
		c, err := openN8n(k)
		if err != nil {
			t.Fatal(err)
		}
		raw := strings.Contains(a.name, "raw key")
		switch _, err := c.Open(a.value); {
		case raw && err != nil:
			t.Errorf("%s: got %v, want the plaintext: a raw key needs no instance key", a.name, err)
		case !raw && !errors.Is(err, ErrKey):
			t.Errorf("%s: got %v, want ErrKey", a.name, err)
		}
		k.EncryptionKey = ""
		c, err = openN8n(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(a.value); !raw && !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: without the instance key: got %v, want ErrNoKey", a.name, err)
		}
	}
}

func TestN8n_TriesInstanceKeysInTurn(t *testing.T) {
	for _, a := range registered(t, "n8n").known {
		k := a.keys.(n8nKeys)
		c, err := NewN8n(k.rows(), connect.NewSecret("newest"), connect.Secret{}, connect.NewSecret(k.EncryptionKey))
		if err != nil {
			t.Fatal(err)
		}
		checkOpens(t, c, a.value, a.want)
	}
}

func TestN8n_TellsDamagedKeyedPayloads(t *testing.T) {
	const raw = "6f1d2c3b4a5968778695a4b3c2d1e0ff00112233445566778899aabbccddeeff"
	c, err := NewN8n([]N8nDataKey{
		{"g", "aes-256-gcm", connect.NewSecret(raw)}, {"c", "aes-256-cbc", connect.NewSecret(raw)},
		{"x", "rot13", connect.NewSecret(raw)}, {"short", "aes-256-gcm", connect.NewSecret("6f1d2c")},
	}, connect.NewSecret("instance"))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(first byte, n int) string {
		return base64.StdEncoding.EncodeToString(append([]byte{first}, make([]byte, n-1)...))
	}
	for _, test := range []struct {
		value string
		want  error
	}{
		{"g:" + encode(1, 48), ErrFormat}, // one byte too short for a tag
		{"g:" + encode(2, 80), ErrFormat}, // another version
		{"g:" + encode(1, 80), ErrKey},
		{"c:" + encode(1, 80), ErrFormat}, // not salted
		{"x:" + encode(1, 80), ErrNoKey},
		{"short:" + encode(1, 80), ErrKey},
		{"G:" + encode(1, 80), ErrNoKey}, // ids are case-sensitive
	} {
		if _, err := c.Open(text(test.value)); !errors.Is(err, test.want) {
			t.Errorf("%.8s…: got %v, want %v", test.value, err, test.want)
		}
	}
}

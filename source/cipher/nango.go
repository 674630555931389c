package cipher

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"strings"

	"tokenmigrate/migrate/connect"
)

// Nango opens credentials of self-hosted Nango's _nango_connections. The plaintext
// is the JSON of a credentials object.
//
//   - Algorithm: AES-256-GCM, nothing authenticated beside the text.
//   - Key: 32 bytes, written as standard base64; nothing is derived.
//   - Layout: three columns. The value is the JSON object
//     {"encrypted_credentials": ciphertext}; With has "credentials_iv" (12 bytes)
//     and "credentials_tag" (16).
//   - Encoding: standard base64, each.
//
// Made by the class Encryption of @nangohq/utils and EncryptionManager of npm
// package @nangohq/shared. While no key is set, and until Nango has gone through
// the rows after one is, credentials hold the plain object.
type Nango struct {
	keys  [][]byte
	texts []string // the keys as configured
}

// nangoSalt is part of Nango's code: its text, not what it decodes to, salts the
// hash of the key.
const nangoSalt = "X89FHEGqR3yNK0+v7rPWxQ=="

// NewNango takes the key as NANGO_ENCRYPTION_KEY has it. Nango does not rotate
// keys; of several, all are tried. A key that AWS wraps must be unwrapped first.
//
// Error: *KeyError named encryption_key.
func NewNango(keys ...connect.Secret) (*Nango, error) {
	c := &Nango{}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		raw, err := base64Key("encryption_key", key)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, raw)
		c.texts = append(c.texts, strings.TrimSpace(key.Reveal()))
	}
	return c, nil
}

// base64Key decodes key, named name in errors: standard base64 of 32 bytes.
func base64Key(name string, key connect.Secret) ([]byte, error) {
	raw, ok := unbase64([]byte(key.Reveal()))
	switch {
	case !ok:
		return nil, &KeyError{name, "must be base64 of 32 bytes, and is no base64"}
	case len(raw) != 32:
		return nil, keyLength(name, "must be base64 of 32 bytes, and decodes to", len(raw))
	}
	return raw, nil
}

// Hashed reports whether one of the keys has the hash that Nango keeps in
// _nango_db_config.encryption_key_hash: base64 of PBKDF2-HMAC-SHA256 of the key's
// text, 310 000 rounds. It takes a tenth of a second a key, and tells a wrong key
// before any value is read.
func (c *Nango) Hashed(hash string) bool {
	want, ok := unbase64([]byte(hash))
	if !ok {
		return false
	}
	for _, text := range c.texts {
		sum, err := pbkdf2.Key(sha256.New, text, []byte(nangoSalt), 310_000, 32)
		if err == nil && subtle.ConstantTimeCompare(sum, want) == 1 {
			return true
		}
	}
	return false
}

// nangoValue is a sealed credentials column.
type nangoValue struct {
	Ciphertext *string `json:"encrypted_credentials"`
}

// Sealed reports whether v is an object with encrypted_credentials, or is cut
// from one.
func (c *Nango) Sealed(v Value) bool {
	var doc nangoValue
	if json.Unmarshal(v.Data, &doc) == nil {
		return doc.Ciphertext != nil
	}
	return bytes.Contains(v.Data, []byte(`"encrypted_credentials"`))
}

// Open returns the JSON object.
func (c *Nango) Open(v Value) ([]byte, error) {
	var doc nangoValue
	if json.Unmarshal(v.Data, &doc) != nil || doc.Ciphertext == nil {
		return nil, damaged("it is no object with encrypted_credentials")
	}
	ciphertext, ok := unbase64([]byte(*doc.Ciphertext))
	if !ok {
		return nil, damaged("its encrypted_credentials are no base64")
	}
	iv, ok := unbase64([]byte(v.With["credentials_iv"]))
	if !ok || len(iv) != 12 {
		return nil, damaged("its credentials_iv is no base64 of 12 bytes")
	}
	tag, ok := unbase64([]byte(v.With["credentials_tag"]))
	if !ok || len(tag) != 16 {
		return nil, damaged("its credentials_tag is no base64 of 16 bytes")
	}
	return openGCMWith(c.keys, iv, append(ciphertext, tag...), "encryption_key")
}

// openGCMWith opens AES-GCM with the first of keys that does; name is what to
// configure where there are none.
func openGCMWith(keys [][]byte, nonce, sealed []byte, name string) ([]byte, error) {
	if len(keys) == 0 {
		return nil, noKey("give %s", name)
	}
	for _, key := range keys {
		if plain, ok := openGCM(key, nonce, sealed, nil); ok {
			return plain, nil
		}
	}
	return nil, ErrKey
}

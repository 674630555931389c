package cipher

import "tokenmigrate/migrate/connect"

// Kratos opens initial_access_token, initial_refresh_token and initial_id_token in
// config of Ory Kratos' identity_credentials of type oidc.
//
//   - Algorithm: XChaCha20-Poly1305, AES-256-GCM, or none at all (noop, the
//     default), as ciphers.algorithm said when the row was written; nothing
//     authenticated beside the text. The value does not tell which, so they are
//     tried in that order: the first two authenticate, and what they write is no
//     readable text.
//   - Key: the 32 bytes of an entry of secrets.cipher; nothing is derived.
//   - Layout: nonce (24 or 12 bytes), ciphertext, tag (16). Of noop the text.
//   - Encoding: hexadecimal. An empty value stays empty.
//
// Made by package cipher of the Go module github.com/ory/kratos.
type Kratos struct{ keys [][]byte }

// kratosShortest is how many bytes a noop value has at least beside encrypted ones:
// of those that are cut shorter, some would be readable by chance.
const kratosShortest = 8

// NewKratos takes the entries of secrets.cipher, newest first; all are tried. None
// is right where ciphers.algorithm always was noop.
//
// Error: *KeyError named secrets, for an entry of other than 32 bytes, which Kratos
// itself passes over without a word.
func NewKratos(keys ...connect.Secret) (*Kratos, error) {
	c := &Kratos{}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		raw := []byte(key.Reveal())
		if len(raw) != 32 {
			return nil, keyLength("secrets", "must have 32 bytes in each entry, and has one of", len(raw))
		}
		c.keys = append(c.keys, raw)
	}
	return c, nil
}

// Sealed reports whether v is hexadecimal: Kratos writes nothing else, and a token
// of a provider hardly ever is.
func (c *Kratos) Sealed(v Value) bool { return isHex(trim(v.Data)) }

// Open returns the token. With keys, a noop value of less than 8 bytes counts as
// the rest of an encrypted one.
func (c *Kratos) Open(v Value) ([]byte, error) {
	raw, ok := unhex(trim(v.Data))
	if !ok || len(raw) == 0 {
		return nil, damaged("it is no hexadecimal of whole bytes")
	}
	for _, key := range c.keys {
		if plain, ok := openXChaCha(key, raw); ok {
			return plain, nil
		}
		if len(raw) < 12+16 {
			continue
		}
		if plain, ok := openGCM(key, raw[:12], raw[12:], nil); ok {
			return plain, nil
		}
	}
	switch {
	case readable(raw) && (len(c.keys) == 0 || len(raw) >= kratosShortest):
		return raw, nil
	case len(raw) < 12+16:
		return nil, damaged("it is too short to be encrypted, and no text")
	case len(c.keys) == 0:
		return nil, noKey("give secrets: the value is encrypted")
	}
	return nil, ErrKey
}

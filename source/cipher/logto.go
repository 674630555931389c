package cipher

import (
	"bytes"

	"tokenmigrate/migrate/connect"
)

// Logto opens ciphertext of Logto's secrets, the tokens of its Secret Vault. The
// plaintext is a JSON object of access_token, id_token and refresh_token.
//
//   - Algorithm: an envelope of AES-256-GCM twice, nothing authenticated beside the
//     texts. The outer key opens the row's own key, which opens the tokens.
//   - Key: 32 bytes, written as standard base64; nothing is derived.
//   - Layout: four columns. The value is the ciphertext; With has "iv" (12 bytes),
//     "auth_tag" (16) and "encrypted_dek": nonce (12), the row's key encrypted (32),
//     tag (16).
//   - Encoding: none, bytea. With may hold the bytes, or Postgres' text of them
//     ("\x" and hexadecimal).
//
// Made by utils/secret-encryption.ts of Logto's server, which is not published as
// a package.
type Logto struct{ keys [][]byte }

// NewLogto takes the key as SECRET_VAULT_KEK has it; of several, all are tried.
//
// Error: *KeyError named secret_vault_kek.
func NewLogto(keys ...connect.Secret) (*Logto, error) {
	c := &Logto{}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		raw, err := base64Key("secret_vault_kek", key)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, raw)
	}
	return c, nil
}

// Sealed reports whether v is not empty and has an encrypted_dek beside it.
func (c *Logto) Sealed(v Value) bool {
	return len(v.Data) > 0 && v.With["encrypted_dek"] != ""
}

// Open returns the JSON object. With: "encrypted_dek", "iv", "auth_tag".
func (c *Logto) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it has no encrypted_dek beside it")
	}
	dek := bytea(v.With["encrypted_dek"])
	iv := bytea(v.With["iv"])
	tag := bytea(v.With["auth_tag"])
	if len(dek) != 12+32+16 || len(iv) != 12 || len(tag) != 16 {
		return nil, damaged("its encrypted_dek, iv and auth_tag have not 60, 12 and 16 bytes")
	}
	inner, err := openGCMWith(c.keys, dek[:12], dek[12:], "secret_vault_kek")
	if err != nil {
		return nil, err
	}
	return openGCMWith([][]byte{inner}, iv, append(bytes.Clone(bytea(string(v.Data))), tag...), "")
}

// bytea returns the bytes of a bytea column: text itself, or what its hexadecimal
// after "\x" says.
func bytea(text string) []byte {
	if len(text) > 2 && text[:2] == `\x` {
		if raw, ok := unhex([]byte(text[2:])); ok {
			return raw
		}
	}
	return []byte(text)
}

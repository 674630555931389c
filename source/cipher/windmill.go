package cipher

import (
	"crypto/aes"
	"crypto/sha256"

	"tokenmigrate/migrate/connect"
)

// Windmill opens value of Windmill's variable, where is_secret.
//
//   - Algorithm: AES-256-CBC with PKCS #7 padding and an IV of zeros, not
//     authenticated: equal values look equal.
//   - Key: SHA-256 of the workspace's key and the instance's salt, one after the
//     other. With has the first, as "workspace_key": column key of workspace_key
//     with kind 'cloud'.
//   - Layout: ciphertext.
//   - Encoding: standard base64. An empty value stays empty.
//
// Made by the Rust crate magic-crypt, 256 bits, in windmill-common/src/variables.rs.
//
// With may have "is_secret" ("true" or "false", as the column says); without it,
// base64 of whole blocks counts as sealed.
type Windmill struct{ salts []string }

// NewWindmill takes the salt as SECRET_SALT has it, none where it is not set; of
// several, all are tried, and no salt last, so that rows from before there was one
// open too. A value without its workspace's key is ErrNoKey.
//
// It never fails; the error is for the form that all constructors share.
func NewWindmill(salts ...connect.Secret) (*Windmill, error) {
	c := &Windmill{}
	for _, salt := range salts {
		if !salt.Empty() {
			c.salts = append(c.salts, salt.Reveal())
		}
	}
	c.salts = append(c.salts, "")
	return c, nil
}

// Sealed reports whether v is not empty and its row says so; of rows that say
// nothing, whether it is base64 of whole blocks.
func (c *Windmill) Sealed(v Value) bool {
	text := trim(v.Data)
	switch v.With["is_secret"] {
	case "true", "t":
		return len(text) > 0
	case "false", "f":
		return false
	}
	raw, ok := unbase64(text)
	return ok && len(raw) > 0 && len(raw)%aes.BlockSize == 0
}

// Open returns the token. With: "workspace_key", "is_secret".
func (c *Windmill) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it is no secret")
	}
	raw, ok := unbase64(v.Data)
	if !ok || len(raw) == 0 || len(raw)%aes.BlockSize != 0 {
		return nil, damaged("it is no base64 of whole blocks")
	}
	workspace := v.With["workspace_key"]
	if workspace == "" {
		return nil, noKey("the value's workspace has no key")
	}
	for _, salt := range c.salts {
		key := sha256.Sum256([]byte(workspace + salt))
		if plain, ok := openCBC(key[:], make([]byte, aes.BlockSize), raw); ok && readable(plain) {
			return plain, nil
		}
	}
	return nil, ErrKey
}

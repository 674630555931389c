package cipher

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"

	"tokenmigrate/migrate/connect"
)

// Twenty opens "accessToken" and "refreshToken" of Twenty's core."connectedAccount".
//
//   - Algorithm: AES-256-GCM, nothing authenticated beside the text.
//   - Key: 32 bytes of HKDF-SHA256 of the key's UTF-8, with a salt of 32 zero bytes
//     and the info "twenty:enc:v2:" and the workspace's id. With has the id, as
//     "workspace_id"; without one it is "instance", of what no workspace owns.
//   - Layout: nonce (12 bytes), ciphertext, tag (16).
//   - Encoding: "enc:v2:", key id, ":", standard base64. The key id is the first 8
//     hexadecimal digits of SHA-256 of the key.
//
// Made by engine/core-modules/secret-encryption of Twenty's server, 2.4 and later,
// which is not published as a package. Older rows are plain until Twenty has gone
// through them.
type Twenty struct{ keys map[string][]byte } // by key id

const twentyPrefix = "enc:"

// NewTwenty takes the keys as ENCRYPTION_KEY (or APP_SECRET, where that is empty)
// and FALLBACK_ENCRYPTION_KEY have them. Values name theirs, so their order does
// not matter. Deriving a workspace's key costs microseconds; it is not kept.
//
// It never fails; the error is for the form that all constructors share.
func NewTwenty(keys ...connect.Secret) (*Twenty, error) {
	c := &Twenty{keys: map[string][]byte{}}
	for _, key := range keys {
		if !key.Empty() {
			sum := sha256.Sum256([]byte(key.Reveal()))
			c.keys[hex.EncodeToString(sum[:4])] = []byte(key.Reveal())
		}
	}
	return c, nil
}

// Sealed reports whether v begins with "enc:", of whatever version.
func (c *Twenty) Sealed(v Value) bool {
	return bytes.HasPrefix(trim(v.Data), []byte(twentyPrefix))
}

// Open returns the token. With: "workspace_id".
func (c *Twenty) Open(v Value) ([]byte, error) {
	rest, ok := bytes.CutPrefix(trim(v.Data), []byte(twentyPrefix))
	if !ok {
		return nil, damaged("it does not begin with enc:")
	}
	rest, ok = bytes.CutPrefix(rest, []byte("v2:"))
	if !ok {
		return nil, damaged("its version is not v2")
	}
	id, payload, found := bytes.Cut(rest, []byte(":"))
	raw, ok := unbase64(payload)
	if !found || !ok || len(raw) < 12+16 || len(id) != 8 || !isHex(id) {
		return nil, damaged("it has no key id of 8 digits, or no base64 of at least 28 bytes")
	}
	key, known := c.keys[string(bytes.ToLower(id))]
	if !known {
		return nil, noKey("the value names another key: give encryption_key, and the fallback of a rotation too")
	}
	workspace := v.With["workspace_id"]
	if workspace == "" {
		workspace = "instance"
	}
	derived, err := hkdf.Key(sha256.New, key, make([]byte, sha256.Size), "twenty:enc:v2:"+workspace, 32)
	if err != nil {
		return nil, ErrKey
	}
	return openGCMWith([][]byte{derived}, raw[:12], raw[12:], "")
}

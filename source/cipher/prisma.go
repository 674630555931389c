package cipher

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"tokenmigrate/migrate/connect"
)

// PrismaField opens fields that prisma-field-encryption encrypts (/// @encrypted).
//
//   - Algorithm: AES-256-GCM without additional data.
//   - Key: "k1.aesgcm256." and URL-safe base64 of 32 bytes, used directly.
//   - Layout: "v1.aesgcm256.", the first 8 hexadecimal digits of the SHA-256 of the
//     key's whole text, nonce (12 bytes), ciphertext and tag (16), with "." between.
//   - Encoding: the last two in URL-safe base64, each.
//
// Made by the npm packages prisma-field-encryption and @47ng/cloak. Plain values
// stay beside sealed ones until the application's own migration has run.
type PrismaField struct {
	keys map[string][]byte // by fingerprint
}

const (
	prismaPrefix    = "v1.aesgcm256."
	prismaKeyPrefix = "k1.aesgcm256."
)

// NewPrismaField takes PRISMA_FIELD_ENCRYPTION_KEY and then those of
// PRISMA_FIELD_DECRYPTION_KEYS, of which one secret may hold several with commas
// between. Empty ones are left out.
//
// Error: *KeyError named encryption_key.
func NewPrismaField(keys ...connect.Secret) (*PrismaField, error) {
	c := &PrismaField{keys: map[string][]byte{}}
	for _, secret := range keys {
		for text := range strings.SplitSeq(secret.Reveal(), ",") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			encoded, found := strings.CutPrefix(text, prismaKeyPrefix)
			key, ok := debase64(base64.RawURLEncoding, []byte(encoded))
			if !found || !ok || len(key) != 32 {
				return nil, &KeyError{"encryption_key", "must be k1, aesgcm256 and URL-safe base64 of 32 bytes, with a dot between"}
			}
			// The fingerprint is of the text, which may have lost its padding since.
			bare := strings.TrimRight(text, "=")
			for _, text := range []string{bare, bare + "="} {
				digest := sha256.Sum256([]byte(text))
				c.keys[hex.EncodeToString(digest[:4])] = key
			}
		}
	}
	return c, nil
}

// Sealed reports whether v begins as every such value does.
func (c *PrismaField) Sealed(v Value) bool {
	return bytes.HasPrefix(trim(v.Data), []byte(prismaPrefix))
}

// Open returns the field's text.
func (c *PrismaField) Open(v Value) ([]byte, error) {
	rest, ok := bytes.CutPrefix(trim(v.Data), []byte(prismaPrefix))
	parts := bytes.Split(rest, []byte("."))
	if !ok || len(parts) != 3 || len(parts[0]) != 8 || !isHex(parts[0]) {
		return nil, damaged("it has not the parts that it should have")
	}
	nonce, okNonce := debase64(base64.RawURLEncoding, parts[1])
	sealed, okSealed := debase64(base64.RawURLEncoding, parts[2])
	if !okNonce || !okSealed || len(nonce) != 12 || len(sealed) < 16 {
		return nil, damaged("its nonce or its ciphertext is cut short")
	}
	key, known := c.keys[string(bytes.ToLower(parts[0]))]
	if !known {
		return nil, noKey("the value is of a key that is not among the given ones")
	}
	plain, ok := openGCM(key, nonce, sealed, nil)
	if !ok {
		return nil, ErrKey
	}
	return plain, nil
}

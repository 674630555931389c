package cipher

import (
	"encoding/json"
	"unicode/utf16"

	"tokenmigrate/migrate/connect"
)

// Activepieces opens value of Activepieces' app_connection. The plaintext is a
// JSON object.
//
//   - Algorithm: with "authTag" AES-256-GCM, nothing authenticated beside the text;
//     without, in rows from before 2026, AES-256-CBC with PKCS #7 padding, not
//     authenticated.
//   - Key: 32 characters, each of which is a byte (latin-1). Most are hexadecimal
//     digits, and not decoded.
//   - Layout: a JSON object of "iv" (GCM 12 bytes, CBC 16), "data" (ciphertext) and
//     "authTag" (16).
//   - Encoding: hexadecimal, each.
//
// Made by helper/encryption.ts of Activepieces' server, which is not published as
// a package.
type Activepieces struct{ keys [][]byte }

// NewActivepieces takes the key as AP_ENCRYPTION_KEY has it; of several, all are
// tried.
//
// Error: *KeyError named encryption_key.
func NewActivepieces(keys ...connect.Secret) (*Activepieces, error) {
	c := &Activepieces{}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		raw := latin1(key.Reveal())
		if len(raw) != 32 {
			return nil, keyLength("encryption_key", "must have 32 characters, and has", len(raw))
		}
		c.keys = append(c.keys, raw)
	}
	return c, nil
}

// latin1 returns the low bytes of text's UTF-16 units, as Node makes bytes of a
// text that it is told is binary.
func latin1(text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit))
	}
	return b
}

type activepiecesValue struct {
	IV   *string `json:"iv"`
	Data *string `json:"data"`
	Tag  *string `json:"authTag"`
}

// Sealed reports whether v is an object with an iv and data that are texts.
func (c *Activepieces) Sealed(v Value) bool {
	_, ok := parseActivepieces(v)
	return ok
}

func parseActivepieces(v Value) (activepiecesValue, bool) {
	var doc activepiecesValue
	err := json.Unmarshal(v.Data, &doc)
	return doc, err == nil && doc.IV != nil && doc.Data != nil
}

// Open returns the JSON object.
func (c *Activepieces) Open(v Value) ([]byte, error) {
	doc, ok := parseActivepieces(v)
	if !ok {
		return nil, damaged("it is no object with iv and data")
	}
	iv, okIV := unhex([]byte(*doc.IV))
	data, okData := unhex([]byte(*doc.Data))
	if !okIV || !okData {
		return nil, damaged("its iv or data is no hexadecimal")
	}
	if doc.Tag != nil {
		tag, ok := unhex([]byte(*doc.Tag))
		if !ok || len(tag) != 16 || len(iv) != 12 {
			return nil, damaged("its authTag has not 16 bytes, or its iv not 12")
		}
		return openGCMWith(c.keys, iv, append(data, tag...), "encryption_key")
	}
	if len(iv) != 16 || len(data) == 0 || len(data)%16 != 0 {
		return nil, damaged("its iv has not 16 bytes, or its data no whole blocks")
	}
	if len(c.keys) == 0 {
		return nil, noKey("give encryption_key")
	}
	for _, key := range c.keys {
		if plain, ok := openCBC(key, iv, data); ok && readable(plain) && isObject(plain) {
			return plain, nil
		}
	}
	return nil, ErrKey
}

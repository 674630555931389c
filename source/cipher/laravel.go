package cipher

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"tokenmigrate/migrate/connect"
)

// Laravel opens what Laravel's encrypted casts, Crypt and encrypt() make.
//
//   - Algorithm: AES-CBC with PKCS #7 padding and HMAC-SHA256, or AES-GCM without
//     additional data; of 128 or 256 bits as the key is long. A value with a tag is
//     GCM, one with a mac CBC.
//   - Key: APP_KEY, used directly: "base64:" and base64, or the text's own bytes; 16
//     or 32 of them. The HMAC has the same key.
//   - Layout: a JSON object of iv, value, mac and tag. iv (16 bytes, GCM 12), value
//     and tag (16) are base64; mac is hexadecimal, over the base64 of iv and value.
//     Values older than Laravel 8 have no tag.
//   - Encoding: base64 of the JSON; begins "eyJpdiI6".
//
// Where encrypt() was called without turning serialisation off, the text is in
// PHP's serialised form: of a string, number or boolean Open returns the bare
// text, of null "", of an array its JSON.
//
// Made by Illuminate\Encryption\Encrypter of laravel/framework, any version since
// 5.
type Laravel struct {
	keys [][]byte
}

const (
	laravelPrefix = "eyJpdiI6"
	laravelBase64 = "base64:"
)

// NewLaravel takes APP_KEY and then those of APP_PREVIOUS_KEYS; one secret may
// hold several with commas between, as the latter does. Empty ones are left out.
//
// Error: *KeyError named app_key.
func NewLaravel(keys ...connect.Secret) (*Laravel, error) {
	c := new(Laravel)
	for _, secret := range keys {
		if key, ok := laravelKey(secret.Reveal()); ok { // a bare key may have a comma
			c.keys = append(c.keys, key)
			continue
		}
		for part := range strings.SplitSeq(secret.Reveal(), ",") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			key, ok := laravelKey(part)
			if !ok {
				return nil, &KeyError{"app_key", "must be base64: and the base64 of 16 or 32 bytes, or 16 or 32 bytes of text"}
			}
			c.keys = append(c.keys, key)
		}
	}
	return c, nil
}

// laravelKey makes the key of its text.
func laravelKey(text string) ([]byte, bool) {
	key := []byte(text)
	if rest, encoded := strings.CutPrefix(strings.TrimSpace(text), laravelBase64); encoded {
		var ok bool
		if key, ok = unbase64([]byte(rest)); !ok {
			return nil, false
		}
	} else if len(key) != 16 && len(key) != 32 {
		key = trim(key)
	}
	return key, len(key) == 16 || len(key) == 32
}

// laravelPayload is the JSON.
type laravelPayload struct {
	IV    *string `json:"iv"`
	Value *string `json:"value"`
	MAC   string  `json:"mac"`
	Tag   string  `json:"tag"`
}

// Sealed reports whether v begins as Laravel's own JSON does, or is base64 of
// JSON that has an iv and a value.
func (c *Laravel) Sealed(v Value) bool {
	if bytes.HasPrefix(trim(v.Data), []byte(laravelPrefix)) {
		return true
	}
	_, ok := laravelParse(v)
	return ok
}

func laravelParse(v Value) (p laravelPayload, ok bool) {
	doc, ok := unbase64(v.Data)
	if !ok || !bytes.HasPrefix(trim(doc), []byte("{")) || json.Unmarshal(doc, &p) != nil {
		return p, false
	}
	return p, p.IV != nil && p.Value != nil
}

// Open returns the text.
func (c *Laravel) Open(v Value) ([]byte, error) {
	p, ok := laravelParse(v)
	if !ok {
		return nil, damaged("it is not base64 of an object with an iv and a value")
	}
	iv, okIV := unbase64([]byte(*p.IV))
	sealed, okValue := unbase64([]byte(*p.Value))
	tag, okTag := unbase64([]byte(p.Tag))
	mac, err := hex.DecodeString(p.MAC)
	if !okIV || !okValue || !okTag || err != nil {
		return nil, damaged("a part of it is not encoded as it must be")
	}
	var open func(key []byte) ([]byte, bool)
	switch {
	case len(tag) == 16 && len(iv) == 12 && len(mac) == 0:
		open = func(key []byte) ([]byte, bool) { return openGCM(key, iv, append(bytes.Clone(sealed), tag...), nil) }
	case len(tag) == 0 && len(iv) == aes.BlockSize && len(mac) == sha256.Size && len(sealed) > 0 && len(sealed)%aes.BlockSize == 0:
		open = func(key []byte) ([]byte, bool) {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(*p.IV + *p.Value))
			if !hmac.Equal(h.Sum(nil), mac) {
				return nil, false
			}
			return openCBC(key, iv, sealed)
		}
	default:
		return nil, damaged("its iv, mac and tag are of no length that goes together")
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the application's key")
	}
	for _, key := range c.keys {
		if plain, ok := open(key); ok {
			return phpUnserialize(plain), nil
		}
	}
	return nil, ErrKey
}

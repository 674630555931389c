package cipher

import (
	"crypto/aes"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
)

// AttrEncryptedOptions are those of attr_encrypted that matter for reading.
type AttrEncryptedOptions struct {
	// Mode is "per_attribute_iv" (or empty), "per_attribute_iv_and_salt" or
	// "single_iv_and_salt".
	Mode string
	// Algorithm is "aes-256-gcm" (or empty), "aes-256-cbc", or one of these with 128
	// or 192.
	Algorithm string
}

// AttrEncrypted opens attributes of attr_encrypted.
//
//   - Algorithm: AES-GCM without additional data, or AES-CBC with PKCS #7 padding,
//     which authenticates nothing.
//   - Key: the configured text's bytes, as many of them as the algorithm needs;
//     of per_attribute_iv_and_salt PBKDF2-HMAC-SHA1 of the text with the row's salt
//     and 2000 iterations; of single_iv_and_salt key and iv together are OpenSSL's
//     EVP_BytesToKey of the text: MD5, no salt, 2048 iterations.
//   - Layout: ciphertext, with GCM the tag (16 bytes) after it. With["iv"] is the
//     column encrypted_<attribute>_iv: 12 bytes, of CBC 16. With["salt"] is
//     encrypted_<attribute>_salt.
//   - Encoding: of each column standard base64 with a line feed every 60 characters
//     and at the end, before the salt's "_"; or (encode: false) the bytes.
//
// With marshal: true the text is in Ruby's Marshal form; of a string Open returns
// the bare text. Values that Encryptor 2.0.0 encrypted on old Rubies ignore their
// iv: a nonce of zeros is tried, too.
//
// Made by the Ruby gems attr_encrypted and encryptor, since their versions 1.
type AttrEncrypted struct {
	mode    string
	size    int // of the key
	gcm     bool
	keys    []string
	derived keptKeys // by key and salt
}

const (
	attrPerIV  = "per_attribute_iv"
	attrSalted = "per_attribute_iv_and_salt"
	attrSingle = "single_iv_and_salt"
)

// NewAttrEncrypted takes the keys, newest first; empty ones are left out.
//
// Error: *KeyError named mode, algorithm or encryption_key.
func NewAttrEncrypted(o AttrEncryptedOptions, keys ...connect.Secret) (*AttrEncrypted, error) {
	c := &AttrEncrypted{mode: o.Mode}
	switch o.Mode {
	case "":
		c.mode = attrPerIV
	case attrPerIV, attrSalted, attrSingle:
	default:
		return nil, &KeyError{"mode", "must be per_attribute_iv, per_attribute_iv_and_salt or single_iv_and_salt"}
	}
	var ok bool
	if c.size, c.gcm, ok = aesOf(o.Algorithm); !ok {
		return nil, &KeyError{"algorithm", "must be aes-256-gcm or aes-256-cbc, or one of these with 128 or 192"}
	}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		if c.mode == attrPerIV && len(key.Reveal()) < c.size {
			return nil, &KeyError{"encryption_key", "is shorter than the key of the algorithm"}
		}
		c.keys = append(c.keys, key.Reveal())
	}
	return c, nil
}

// aesOf tells the key's size and the mode of an algorithm's name.
func aesOf(name string) (size int, gcm, ok bool) {
	switch name {
	case "", "aes-256-gcm":
		return 32, true, true
	case "aes-192-gcm":
		return 24, true, true
	case "aes-128-gcm":
		return 16, true, true
	case "aes-256-cbc":
		return 32, false, true
	case "aes-192-cbc":
		return 24, false, true
	case "aes-128-cbc":
		return 16, false, true
	}
	return 0, false, false
}

// Sealed reports whether v is base64 of at least 16 bytes, or bytes that are no
// text. attr_encrypted keeps no plain text in these columns; in others, a token
// of nothing but letters and digits may look sealed.
func (c *AttrEncrypted) Sealed(v Value) bool {
	_, ok := blob(v.Data, aes.BlockSize)
	return ok
}

// Open returns the attribute's text.
func (c *AttrEncrypted) Open(v Value) ([]byte, error) {
	b, ok := blob(v.Data, aes.BlockSize)
	if !ok || !c.gcm && len(b)%aes.BlockSize != 0 {
		return nil, damaged("it is neither base64 nor binary, or cut short")
	}
	ivSize := 12
	if !c.gcm {
		ivSize = aes.BlockSize
	}
	var iv []byte
	if c.mode != attrSingle {
		if iv, ok = blobOf(v.With["iv"], ivSize); !ok {
			return nil, damaged("its iv is missing or too short")
		}
	}
	salt := v.With["salt"]
	if c.mode == attrSalted {
		if salt == "" {
			return nil, damaged("its salt is missing")
		}
		if salt[0] == '_' {
			decoded, ok := unbase64([]byte(salt[1:]))
			if !ok {
				return nil, damaged("its salt is not base64")
			}
			salt = string(decoded)
		}
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the attribute's key")
	}
	for _, text := range c.keys {
		key, iv := c.derive(text, salt, iv, ivSize)
		if plain, ok := c.open(key, iv, b); ok {
			plain = rubyUnmarshal(plain)
			if c.gcm && !utf8.Valid(plain) {
				return nil, damaged("what it holds is no text")
			}
			return plain, nil
		}
	}
	return nil, ErrKey
}

// blobOf returns the first n bytes of text, which may be base64 of them.
func blobOf(text string, n int) ([]byte, bool) {
	b := []byte(text)
	if decoded, ok := unbase64(b); ok && len(decoded) >= n {
		return decoded[:n], true
	}
	if len(b) != n && (len(b) < n || readable(b)) {
		return nil, false
	}
	return b[:n], true
}

// derive makes the key, and in one mode the iv, of a configured text.
func (c *AttrEncrypted) derive(text, salt string, iv []byte, ivSize int) (key, _ []byte) {
	switch c.mode {
	case attrSalted:
		return c.derived.of(text, salt, func() ([]byte, error) { return pbkdf2.Key(sha1.New, text, []byte(salt), 2000, c.size) }), iv
	case attrSingle:
		both := c.derived.of(text, "", func() ([]byte, error) { return opensslKey(md5.New, []byte(text), nil, 2048, c.size+ivSize), nil })
		return both[:c.size], both[c.size:]
	}
	return []byte(text)[:c.size], iv
}

func (c *AttrEncrypted) open(key, iv, b []byte) ([]byte, bool) {
	if !c.gcm {
		plain, ok := openCBC(key, iv, b)
		return plain, ok && readable(rubyUnmarshal(plain))
	}
	if plain, ok := openGCM(key, iv, b, nil); ok {
		return plain, true
	}
	return openGCM(key, make([]byte, len(iv)), b, nil)
}

// rubyUnmarshal returns the string of which b is Ruby's Marshal form, and b if it
// is none.
func rubyUnmarshal(b []byte) []byte {
	rest := b
	if len(rest) < 4 || rest[0] != 4 || rest[1] != 8 {
		return b
	}
	if rest = rest[2:]; rest[0] == 'I' { // instance variables follow: the encoding
		rest = rest[1:]
	}
	if len(rest) < 2 || rest[0] != '"' {
		return b
	}
	n, rest := int(int8(rest[1])), rest[2:]
	switch {
	case n == 0:
	case n >= 5:
		n -= 5
	case n >= 1 && n <= 4 && n <= len(rest): // n bytes of length, the least first
		size := 0
		for i := range n {
			size |= int(rest[i]) << (8 * i)
		}
		n, rest = size, rest[n:]
	default:
		return b
	}
	if n > len(rest) {
		return b
	}
	return rest[:n]
}

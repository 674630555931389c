package cipher

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"strings"

	"golang.org/x/crypto/blowfish"

	"tokenmigrate/migrate/connect"
)

// PGRawOptions are those of pgcrypto's encrypt.
type PGRawOptions struct {
	// Type is its type: "aes" (or empty) or "bf", then "-cbc" (or nothing) or "-ecb",
	// then "/pad:pkcs" (or nothing) or "/pad:none".
	Type string
}

// PGRaw opens what the functions encrypt and encrypt_iv of Postgres' extension
// pgcrypto make. Nothing authenticates it.
//
//   - Algorithm: AES or Blowfish, in CBC mode or ECB, with PKCS #7 padding or none.
//   - Key: the bytes themselves; zeros are added up to AES' next length, and what
//     exceeds its longest (32 bytes) is ignored. A configured text that begins "\x"
//     is hexadecimal, as Postgres has it; of others it is the UTF-8.
//   - Layout: the ciphertext. With["iv"] is the iv of encrypt_iv, in hexadecimal
//     (with or without "\x"), base64 or as bytes, filled with zeros if it is short;
//     without it the iv is zeros.
//   - Encoding: none, in a bytea column; or text: hexadecimal (with or without "\x")
//     or base64.
type PGRaw struct {
	keys      []gocipher.Block
	blockSize int
	ecb       bool
	padded    bool
}

// NewPGRaw takes the keys, newest first; empty ones are left out.
//
// Error: *KeyError named type or encryption_key.
func NewPGRaw(o PGRawOptions, keys ...connect.Secret) (*PGRaw, error) {
	c := new(PGRaw)
	name, padding, found := strings.Cut(o.Type, "/")
	algorithm, mode, _ := strings.Cut(name, "-")
	if algorithm != "" && algorithm != "aes" && algorithm != "bf" || mode != "" && mode != "cbc" && mode != "ecb" ||
		found && padding != "pad:pkcs" && padding != "pad:none" {
		return nil, &KeyError{"type", "must be aes or bf, then -cbc or -ecb or nothing, then /pad:pkcs or /pad:none or nothing"}
	}
	c.ecb, c.padded, c.blockSize = mode == "ecb", padding != "pad:none", aes.BlockSize
	if algorithm == "bf" {
		c.blockSize = blowfish.BlockSize
	}
	for _, secret := range keys {
		if secret.Empty() {
			continue
		}
		key := []byte(secret.Reveal())
		if digits, found := strings.CutPrefix(strings.TrimSpace(secret.Reveal()), `\x`); found {
			var ok bool
			if key, ok = unhex([]byte(digits)); !ok || len(key) == 0 {
				return nil, &KeyError{"encryption_key", `begins "\x" and is not hexadecimal after it`}
			}
		}
		block, err := pgRawBlock(algorithm, key)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, block)
	}
	return c, nil
}

func pgRawBlock(algorithm string, key []byte) (block gocipher.Block, err error) {
	if algorithm == "bf" {
		if block, err = blowfish.NewCipher(key); err != nil {
			return nil, &KeyError{"encryption_key", "must have at most 56 bytes"}
		}
		return block, nil
	}
	size := min(max(16, (len(key)+7)/8*8), 32)
	padded := make([]byte, size)
	copy(padded, key)
	if block, err = aes.NewCipher(padded); err != nil {
		return nil, &KeyError{"encryption_key", "cannot be a key"}
	}
	return block, nil
}

// Sealed reports whether v, or what it encodes, is whole blocks of bytes; bare
// bytes only if they are no text. A token of nothing but hexadecimal digits may
// look sealed.
func (c *PGRaw) Sealed(v Value) bool {
	_, ok := c.parse(v)
	return ok
}

func (c *PGRaw) parse(v Value) ([]byte, bool) {
	b, ok := pgDecode(v.Data)
	return b, ok && len(b) > 0 && len(b)%c.blockSize == 0
}

// pgDecode returns the bytes that b is or encodes: hexadecimal, base64, or those of
// a bytea column, which are no text.
func pgDecode(b []byte) ([]byte, bool) {
	if !readable(b) {
		return b, true
	}
	text := trim(b)
	if digits, found := strings.CutPrefix(string(text), `\x`); found {
		return unhex([]byte(digits))
	}
	if isHex(text) && len(text)%2 == 0 {
		return unhex(text)
	}
	return unbase64(text)
}

// Open returns the text.
func (c *PGRaw) Open(v Value) ([]byte, error) {
	b, ok := c.parse(v)
	if !ok {
		return nil, damaged("it is no whole number of blocks, in bytes, hexadecimal or base64")
	}
	iv := make([]byte, c.blockSize)
	if text := v.With["iv"]; text != "" {
		given, ok := pgDecode([]byte(text))
		if !ok || len(text) == c.blockSize { // bytes that happen to be base64
			given = []byte(text)
		}
		copy(iv, given)
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the key")
	}
	for _, block := range c.keys {
		plain := make([]byte, len(b))
		if c.ecb {
			for i := 0; i < len(b); i += c.blockSize {
				block.Decrypt(plain[i:], b[i:])
			}
		} else {
			gocipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, b)
		}
		if c.padded {
			if plain, ok = unpad("pkcs5", plain, c.blockSize); !ok {
				continue
			}
		}
		if !c.padded { // whole blocks are made with zeros, if they have to be
			plain = bytes.TrimRight(plain, "\x00")
		}
		if readable(plain) {
			return plain, nil
		}
	}
	return nil, ErrKey
}

package cipher

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// trim returns b without the white space around it: values and keys pass through
// files, forms and dumps that add line feeds.
func trim(b []byte) []byte { return bytes.TrimSpace(b) }

// unhex decodes hexadecimal of either case. It reports false for anything else.
func unhex(b []byte) ([]byte, bool) {
	out := make([]byte, hex.DecodedLen(len(b)))
	_, err := hex.Decode(out, b)
	return out, err == nil
}

// unbase64 decodes standard base64, with or without its padding, with or without
// line feeds. It reports false for anything else.
func unbase64(b []byte) ([]byte, bool) { return debase64(base64.RawStdEncoding, b) }

// debase64 decodes b with enc, which must be one of the unpadded encodings, and
// forgives padding.
func debase64(enc *base64.Encoding, b []byte) ([]byte, bool) {
	b = bytes.TrimRight(trim(b), "=")
	out := make([]byte, enc.DecodedLen(len(b)))
	n, err := enc.Decode(out, b)
	return out[:n], err == nil
}

// isHex reports whether b is made of hexadecimal digits, and not empty.
func isHex(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return len(b) > 0
}

// openGCM opens AES-GCM of a 12-byte nonce and a 16-byte tag that follows the
// ciphertext. The key must have 16, 24 or 32 bytes. It reports false where the
// tag does not fit, and for nonces and texts of a length that cannot be.
func openGCM(key, nonce, sealed, aad []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	gcm, err := gocipher.NewGCM(block)
	if err != nil || len(nonce) != gcm.NonceSize() {
		return nil, false
	}
	plain, err := gcm.Open(nil, nonce, sealed, aad)
	return plain, err == nil
}

// openCBC opens AES-CBC with PKCS #7 padding. The key must have 16, 24 or 32
// bytes, the iv 16. It reports false where the padding does not fit, and for
// texts of no whole number of blocks. With a wrong key one text in 256 passes:
// look at the plaintext too.
func openCBC(key, iv, sealed []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil || len(iv) != aes.BlockSize || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(sealed))
	gocipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, false
	}
	text, padding := plain[:len(plain)-pad], plain[len(plain)-pad:]
	return text, bytes.Count(padding, padding[:1]) == pad
}

// keyLength returns the KeyError of a key that has n of something, and must have
// another number: "must have 32 bytes, and has 16".
func keyLength(name, problem string, n int) *KeyError {
	return &KeyError{name, problem + " " + strconv.Itoa(n)}
}

// readable reports whether b is text as tokens and documents are: UTF-8 without
// control characters but tab and line ends. It is what tells a wrong key where
// the format authenticates nothing.
func readable(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
	})
}

// isObject reports whether b is one JSON object.
func isObject(b []byte) bool {
	return bytes.HasPrefix(trim(b), []byte("{")) && json.Valid(b)
}

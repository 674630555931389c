package cipher

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"

	"tokenmigrate/migrate/connect"
)

// LockboxVersion is one of the ways in which an attribute was or is encrypted:
// the options of has_encrypted, or an entry of its previous_versions.
type LockboxVersion struct {
	// MasterKey is LOCKBOX_MASTER_KEY, from which the attribute's key is derived with
	// Table (or the option key_table) and Attribute, the name of the ciphertext's
	// column such as "access_token_ciphertext" (or key_attribute).
	MasterKey        connect.Secret
	Table, Attribute string
	// Key is the key itself where has_encrypted has the option key; of the algorithm
	// hybrid it is the option decryption_key. It goes before MasterKey.
	Key connect.Secret
	// Algorithm is "aes-gcm" (or empty), "xchacha20", "xsalsa20" or "hybrid".
	Algorithm string
	// AssociatedData is the option associated_data, for the first two algorithms.
	AssociatedData string
}

// Lockbox opens attributes of Lockbox: has_encrypted, before its version 1.0
// encrypts or lockbox_encrypts.
//
//   - Algorithm: AES-256-GCM; or XChaCha20-Poly1305, XSalsa20-Poly1305 (secretbox)
//     and Curve25519 with the latter (box). The option padding, ISO/IEC 7816-4, is
//     seen by itself.
//   - Key: 32 bytes as 64 hexadecimal digits; hybrid 64 bytes, the own secret key
//     and the other's public one. Or derived: HKDF-SHA384 of the master key, salt:
//     the table, info: 32 bytes 0xB4 and the column, 32 bytes.
//   - Layout: nonce (12 bytes; the others 24), ciphertext, tag (16; of the last two
//     before the ciphertext).
//   - Encoding: standard base64; with encode: false none, in a bytea column.
//   - Beside it, With["associated_data"] is authenticated where a version has no
//     AssociatedData, for those that depend on the row.
//
// Made by the Ruby gem lockbox. NULL and empty texts are not encrypted. Attributes
// of a type other than string hold what Lockbox makes of the type.
type Lockbox struct {
	versions []lockboxVersion
}

type lockboxVersion struct {
	algorithm string
	key       []byte
	aad       string
}

// lockboxMin is the length of an empty text's value.
const lockboxMin = 12 + 16

// NewLockbox takes the versions, newest first; those without a key are left out.
//
// Error: *KeyError named master_key, key, decryption_key or algorithm.
func NewLockbox(versions ...LockboxVersion) (*Lockbox, error) {
	c := new(Lockbox)
	for _, v := range versions {
		algorithm, name, size := v.Algorithm, "key", 32
		switch algorithm {
		case "":
			algorithm = "aes-gcm"
		case "hybrid":
			name, size = "decryption_key", 64
		case "aes-gcm", "xchacha20", "xsalsa20":
		default:
			return nil, &KeyError{"algorithm", "must be aes-gcm, xchacha20, xsalsa20 or hybrid"}
		}
		key, err := lockboxKey(v, name, size)
		if err != nil {
			return nil, err
		}
		if key != nil {
			c.versions = append(c.versions, lockboxVersion{algorithm, key, v.AssociatedData})
		}
	}
	return c, nil
}

// lockboxKey returns v's key, nil if it has none.
func lockboxKey(v LockboxVersion, name string, size int) ([]byte, error) {
	if !v.Key.Empty() {
		key, ok := lockboxBytes(v.Key, size)
		if !ok && size == 32 {
			return nil, &KeyError{name, "must be 64 hexadecimal digits"}
		} else if !ok {
			return nil, &KeyError{name, "must be 128 hexadecimal digits"}
		}
		return key, nil
	}
	if v.MasterKey.Empty() {
		return nil, nil
	}
	master, ok := lockboxBytes(v.MasterKey, 32)
	switch {
	case !ok:
		return nil, &KeyError{"master_key", "must be 64 hexadecimal digits"}
	case size != 32:
		return nil, &KeyError{name, "is needed: hybrid derives none from the master key"}
	case v.Table == "" || v.Attribute == "":
		return nil, &KeyError{"master_key", "needs the table and the column to derive the column's key"}
	}
	info := strings.Repeat("\xB4", 32) + v.Attribute
	key, err := hkdf.Key(sha512.New384, master, []byte(v.Table), info, 32)
	if err != nil {
		return nil, &KeyError{"master_key", "cannot be derived from"}
	}
	return key, nil
}

// lockboxBytes decodes a key as Lockbox::Utils.decode_key does: hexadecimal, or
// the bytes themselves.
func lockboxBytes(secret connect.Secret, size int) ([]byte, bool) {
	if key, ok := unhex(trim([]byte(secret.Reveal()))); ok && len(key) == size {
		return key, true
	}
	key := []byte(secret.Reveal())
	return key, len(key) == size && !isHex(key)
}

// Sealed reports whether v is base64 of at least the 28 bytes that an empty text
// has, or bytes that are no text. Lockbox keeps no plain text in these columns;
// in others, a token of nothing but letters and digits may look sealed.
func (c *Lockbox) Sealed(v Value) bool {
	_, ok := blob(v.Data, lockboxMin)
	return ok
}

// blob returns the bytes of b where b is standard base64 of at least n, or no
// text and at least n long.
func blob(b []byte, n int) ([]byte, bool) {
	if raw, ok := unbase64(b); ok {
		return raw, len(raw) >= n
	}
	return b, len(b) >= n && !readable(b)
}

// Open returns the attribute's text.
func (c *Lockbox) Open(v Value) ([]byte, error) {
	b, ok := blob(v.Data, lockboxMin)
	if !ok {
		return nil, damaged("it is neither base64 nor binary, or too short")
	}
	if len(c.versions) == 0 {
		return nil, noKey("give the master key, or the attribute's key")
	}
	for _, version := range c.versions {
		aad := version.aad
		if aad == "" {
			aad = v.With["associated_data"]
		}
		plain, ok := version.open(b, []byte(aad))
		if !ok {
			continue
		}
		// Padding begins with a byte that cannot follow valid UTF-8.
		if !utf8.Valid(plain) {
			plain = bytes.TrimRight(plain, "\x00")
			if plain, ok = bytes.CutSuffix(plain, []byte{0x80}); !ok || !utf8.Valid(plain) {
				return nil, damaged("what it holds is no text")
			}
		}
		return plain, nil
	}
	return nil, ErrKey
}

// open opens b with the version's key.
func (l lockboxVersion) open(b, aad []byte) ([]byte, bool) {
	switch l.algorithm {
	case "aes-gcm":
		return openGCM(l.key, b[:12], b[12:], aad)
	case "xchacha20":
		aead, err := chacha20poly1305.NewX(l.key)
		if err != nil || len(b) < 24+16 {
			return nil, false
		}
		plain, err := aead.Open(nil, b[:24], b[24:], aad)
		return plain, err == nil
	}
	if len(b) < 24+16 {
		return nil, false
	}
	nonce := [24]byte(b[:24])
	if l.algorithm == "xsalsa20" {
		return secretbox.Open(nil, b[24:], &nonce, (*[32]byte)(l.key))
	}
	return box.Open(nil, b[24:], &nonce, (*[32]byte)(l.key[32:]), (*[32]byte)(l.key[:32]))
}

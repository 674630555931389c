package cipher

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"crypto/sha256"

	"tokenmigrate/migrate/connect"
)

// SQLAlchemyOptions are those of an EncryptedType.
type SQLAlchemyOptions struct {
	Engine  string // "aes" (or empty), "aes-gcm" or "fernet"
	Padding string // of aes: "naive" (or empty), "pkcs5", "oneandzeroes" or "zeroes"
}

// SQLAlchemy opens columns of SQLAlchemy-Utils' EncryptedType and
// StringEncryptedType.
//
//   - Algorithm: AesEngine: AES-256-CBC, which authenticates nothing, with one of
//     four paddings: "*" up to the block's end (naive; a token's own "*" at its end
//     are lost), PKCS #7, a byte 0x80 and zeros, zeros and the padding's length.
//     AesGcmEngine: AES-256-GCM. FernetEngine: see Fernet.
//   - Key: SHA-256 of the secret's UTF-8.
//   - Layout: AesEngine: the ciphertext; the IV is the key's first 16 bytes.
//     AesGcmEngine: nonce (12 bytes), tag (16), ciphertext.
//   - Encoding: standard base64 (Fernet: URL-safe) in a text or a bytea column.
//
// Made by sqlalchemy_utils (PyPI SQLAlchemy-Utils); Superset keeps its database
// tokens so, with AesEngine.
type SQLAlchemy struct {
	engine, padding string
	keys            [][sha256.Size]byte
	fernet          *Fernet // of that engine
}

const (
	engineAES    = "aes"
	engineGCM    = "aes-gcm"
	engineFernet = "fernet"
)

// NewSQLAlchemy takes the secrets, newest first; empty ones are left out. Any
// text can be one.
//
// Error: *KeyError named engine or padding.
func NewSQLAlchemy(o SQLAlchemyOptions, secrets ...connect.Secret) (*SQLAlchemy, error) {
	c := &SQLAlchemy{engine: o.Engine, padding: o.Padding}
	switch o.Engine {
	case "":
		c.engine = engineAES
	case engineAES, engineGCM, engineFernet:
	default:
		return nil, &KeyError{"engine", "must be aes, aes-gcm or fernet"}
	}
	switch o.Padding {
	case "":
		c.padding = "naive"
	case "naive", "pkcs5", "oneandzeroes", "zeroes":
	default:
		return nil, &KeyError{"padding", "must be naive, pkcs5, oneandzeroes or zeroes"}
	}
	for _, secret := range secrets {
		if !secret.Empty() {
			c.keys = append(c.keys, sha256.Sum256([]byte(secret.Reveal())))
		}
	}
	var err error
	c.fernet, err = NewFernet(FernetSHA256, secrets...)
	return c, err
}

// Sealed reports whether v is base64 of as many bytes as the engine makes: whole
// blocks, or at least 28. Of other columns, a token of nothing but letters and
// digits may look sealed.
func (c *SQLAlchemy) Sealed(v Value) bool {
	if c.engine == engineFernet {
		return c.fernet.Sealed(v)
	}
	_, ok := c.parse(v)
	return ok
}

func (c *SQLAlchemy) parse(v Value) ([]byte, bool) {
	b, ok := unbase64(v.Data)
	if c.engine == engineGCM {
		return b, ok && len(b) >= 12+16
	}
	return b, ok && len(b) > 0 && len(b)%aes.BlockSize == 0
}

// Open returns the column's text.
func (c *SQLAlchemy) Open(v Value) ([]byte, error) {
	if c.engine == engineFernet {
		return c.fernet.Open(v)
	}
	b, ok := c.parse(v)
	if !ok {
		return nil, damaged("it is not base64, or cut short")
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the secret")
	}
	for _, key := range c.keys {
		if c.engine == engineGCM {
			sealed := append(bytes.Clone(b[28:]), b[12:28]...)
			if plain, ok := openGCM(key[:], b[:12], sealed, nil); ok {
				return plain, nil
			}
		} else if plain, ok := c.openAES(key, b); ok {
			return plain, nil
		}
	}
	return nil, ErrKey
}

// openAES opens AesEngine's b, whole blocks of it, and looks at the padding and
// the text, since nothing else tells a wrong key.
func (c *SQLAlchemy) openAES(key [sha256.Size]byte, b []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(b))
	gocipher.NewCBCDecrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, b)
	plain, ok := unpad(c.padding, plain, aes.BlockSize)
	return plain, ok && readable(plain)
}

// unpad takes the padding off b, whole blocks of so many bytes. Every padding has
// from 1 byte to a block of them, but naive's may look longer.
func unpad(padding string, b []byte, block int) (text []byte, ok bool) {
	last := int(b[len(b)-1])
	switch padding {
	case "naive":
		text = bytes.TrimRight(b, "*")
		return text, len(text) < len(b)
	case "oneandzeroes":
		text = bytes.TrimRight(b, "\x00")
		ok = len(b)-len(text) < block
		text, cut := bytes.CutSuffix(text, []byte{0x80})
		return text, ok && cut
	}
	if last < 1 || last > block {
		return nil, false
	}
	fill := byte(last) // pkcs5
	if padding == "zeroes" {
		fill = 0
	}
	text, pad := b[:len(b)-last], b[len(b)-last:len(b)-1]
	return text, bytes.Count(pad, []byte{fill}) == len(pad)
}

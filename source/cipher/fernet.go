package cipher

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
)

// FernetKeys says how a Fernet key is made of the configured text.
type FernetKeys int

const (
	// FernetDirect: the text is the key, URL-safe base64 of 32 bytes. One text may
	// be a list with commas, as Airflow's AIRFLOW__CORE__FERNET_KEY.
	FernetDirect FernetKeys = iota
	// FernetDjango: HKDF-SHA256 of the text's UTF-8 with salt
	// "django-fernet-fields-hkdf-salt" and info "django-fernet-fields", as
	// django-fernet-fields makes of FERNET_KEYS or SECRET_KEY unless
	// FERNET_USE_HKDF is off.
	FernetDjango
	// FernetSHA256: SHA-256 of the text's UTF-8, the usual home-grown derivation
	// and that of SQLAlchemy-Utils' FernetEngine.
	FernetSHA256
	// FernetOpenWebUI: a text of 44 characters is the key itself, any other as
	// FernetSHA256: what Open WebUI does with OAUTH_SESSION_TOKEN_ENCRYPTION_KEY.
	FernetOpenWebUI
)

// Fernet opens Fernet tokens.
//
//   - Algorithm: AES-128-CBC with PKCS #7 padding, HMAC-SHA256 over all before it.
//   - Key: 32 bytes, of which the first 16 are the HMAC's and the last 16 AES';
//     how they are made is told by FernetKeys.
//   - Layout: version 0x80, time of encryption (8 bytes, big-endian seconds), IV
//     (16), ciphertext, HMAC (32). The time is authenticated and otherwise ignored:
//     stored values do not expire.
//   - Encoding: URL-safe base64 with padding, in a text or a bytea column; always
//     begins "gAAAA".
//
// Made by Fernet and MultiFernet of cryptography (PyPI), and by what uses them:
// django-fernet-fields, Open WebUI, Airflow, SQLAlchemy-Utils.
type Fernet struct {
	keys [][32]byte
}

const (
	fernetPrefix = "gAAAA"
	fernetHead   = 1 + 8 + 16 // version, time, IV
)

// NewFernet takes the keys, newest first (MultiFernet); empty ones are left out.
//
// Error: *KeyError named encryption_key.
func NewFernet(from FernetKeys, keys ...connect.Secret) (*Fernet, error) {
	c := new(Fernet)
	for _, secret := range keys {
		texts := []string{secret.Reveal()}
		if from == FernetDirect {
			texts = strings.Split(secret.Reveal(), ",")
		}
		for _, text := range texts {
			if strings.TrimSpace(text) == "" {
				continue
			}
			key, err := fernetKey(from, text)
			if err != nil {
				return nil, err
			}
			c.keys = append(c.keys, key)
		}
	}
	return c, nil
}

// fernetKey makes the key of text.
func fernetKey(from FernetKeys, text string) (key [32]byte, err error) {
	switch {
	case from == FernetDjango:
		made, err := hkdf.Key(sha256.New, []byte(text), []byte("django-fernet-fields-hkdf-salt"), "django-fernet-fields", len(key))
		if err != nil {
			return key, &KeyError{"encryption_key", "cannot be derived from"}
		}
		return [32]byte(made), nil
	case from == FernetSHA256, from == FernetOpenWebUI && utf8.RuneCountInString(text) != 44:
		return sha256.Sum256([]byte(text)), nil
	}
	b, ok := anyBase64([]byte(text))
	if !ok || len(b) != len(key) {
		return key, &KeyError{"encryption_key", "must be URL-safe base64 of 32 bytes, 44 characters"}
	}
	return [32]byte(b), nil
}

// Sealed reports whether v begins as every Fernet token of this century does.
func (c *Fernet) Sealed(v Value) bool { return bytes.HasPrefix(trim(v.Data), []byte(fernetPrefix)) }

// Open returns the text of a Fernet token.
func (c *Fernet) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it does not begin as a Fernet token")
	}
	b, ok := anyBase64(v.Data)
	if !ok {
		return nil, damaged("it is not base64")
	}
	body := len(b) - sha256.Size
	if body < fernetHead+16 || (body-fernetHead)%16 != 0 || b[0] != 0x80 {
		return nil, damaged("%d bytes cannot be a Fernet token", len(b))
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the key")
	}
	for _, key := range c.keys {
		mac := hmac.New(sha256.New, key[:16])
		mac.Write(b[:body])
		if !hmac.Equal(mac.Sum(nil), b[body:]) {
			continue
		}
		plain, ok := openCBC(key[16:], b[9:fernetHead], b[fernetHead:body])
		if !ok {
			return nil, damaged("its padding is wrong, though it is authentic")
		}
		return plain, nil
	}
	return nil, ErrKey
}

// anyBase64 decodes base64 of the standard or the URL-safe alphabet, with or
// without padding and white space around it or line feeds within.
func anyBase64(b []byte) ([]byte, bool) {
	if bytes.ContainsAny(b, "-_") {
		return debase64(base64.RawURLEncoding, b)
	}
	return debase64(base64.RawStdEncoding, b)
}

package cipher

import (
	"bytes"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/md5"
	"crypto/sha256"
	"regexp"

	"tokenmigrate/migrate/connect"
)

// N8n opens the data column of n8n's credentials_entity, dynamic_credential_entry
// and dynamic_credential_user_entry, and the data keys of its deployment_key. The
// plaintext is a JSON object.
//
// Classic values, of every version:
//
//   - Algorithm: AES-256-CBC with PKCS #7 padding, not authenticated.
//   - Key and IV: OpenSSL's EVP_BytesToKey, MD5, one round, of the instance key and
//     the salt. The instance key gives its UTF-16 units' low bytes (latin-1); in
//     values that CryptoJS wrote for old versions, its UTF-8.
//   - Layout: "Salted__", salt (8 bytes), ciphertext.
//   - Encoding: standard base64, which makes values begin with "U2FsdGVkX1".
//
// Keyed values, "<key id>:" and a payload, where encryption keys rotate: the row
// of deployment_key with that id has the key and says whether the payload is
// classic ("aes-256-cbc") or GCM ("aes-256-gcm"):
//
//   - Algorithm: AES-256-GCM, nothing authenticated beside the text.
//   - Key and nonce: 32 and 12 bytes of HKDF-SHA256 of the key (32 bytes, written
//     as hexadecimal) with the salt and the info "n8n-encryption-v1".
//   - Layout: version 1 (1 byte), salt (32), tag (16), ciphertext.
//   - Encoding: standard base64.
//
// A row's key is itself a GCM payload under SHA-256 of the instance key. Rows of
// the first releases hold it as classic value under the instance key, in clear,
// or are the instance key in clear. Values without an id belong to the row of
// "aes-256-cbc", or to the instance key.
//
// Made by the classes Cipher, CipherAes256CBC and CipherAes256GCM of npm package
// n8n-core; the rows by KeyManagerService of npm package n8n.
type N8n struct {
	rows    map[string]n8nRow
	classic [][]byte // passwords for values without a key id, in the order to try
	keyless bool     // no instance key is configured
}

// N8nDataKey is one row of deployment_key with type 'data_encryption', whatever
// its status: rotated keys open the values of their time.
type N8nDataKey struct {
	ID        string
	Algorithm string // "aes-256-gcm" or "aes-256-cbc"
	Value     connect.Secret
}

// n8nRow is a data key, unwrapped.
type n8nRow struct {
	algorithm string
	keys      [][]byte // of GCM 32 bytes, of CBC the password; empty: no instance key unwraps it
}

const (
	n8nGCM  = "aes-256-gcm"
	n8nCBC  = "aes-256-cbc"
	n8nInfo = "n8n-encryption-v1"
	// n8nClassic is the base64 of "Salted__", as far as it does not depend on what follows.
	n8nClassic = "U2FsdGVkX1"
	n8nSalt    = 32 // bytes, of GCM payloads
	n8nTag     = 16
	// n8nShortest is the length in base64 of the shortest payload: a classic one of one block.
	n8nShortest = 43
)

var (
	n8nKeyed  = regexp.MustCompile(`^([A-Za-z0-9_-]{1,36}):([A-Za-z0-9+/]+={0,2})$`)
	n8nRawKey = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

// NewN8n takes the rows of deployment_key, none where the table is missing or
// empty, and the instance key: N8N_ENCRYPTION_KEY, or encryptionKey of n8n's
// config file; several of them, newest first, if it was ever changed. A row that
// no instance key unwraps is no error here: its values answer ErrKey.
//
// It never fails; the error is for the form that all constructors share.
func NewN8n(rows []N8nDataKey, instance ...connect.Secret) (*N8n, error) {
	c := &N8n{rows: map[string]n8nRow{}}
	var wrapping, passwords [][]byte
	for _, key := range instance {
		if key.Empty() {
			continue
		}
		sum := sha256.Sum256([]byte(key.Reveal()))
		wrapping = append(wrapping, sum[:])
		passwords = append(passwords, n8nPasswords(key.Reveal())...)
	}
	c.keyless = len(passwords) == 0
	for _, r := range rows {
		text := c.unwrap(r.Value.Reveal(), wrapping, passwords)
		row := n8nRow{algorithm: r.Algorithm}
		switch {
		case text == "":
		case r.Algorithm == n8nCBC:
			row.keys = n8nPasswords(text)
			c.classic = append(c.classic, row.keys...)
		case n8nRawKey.MatchString(text):
			key, _ := unhex([]byte(text))
			row.keys = [][]byte{key}
		}
		c.rows[r.ID] = row
	}
	c.classic = append(c.classic, passwords...)
	return c, nil
}

// n8nPasswords returns what key may be as bytes: its UTF-16 units' low bytes, and
// its UTF-8 if that differs.
func n8nPasswords(key string) [][]byte {
	latin := latin1(key)
	if string(latin) == key {
		return [][]byte{latin}
	}
	return [][]byte{latin, []byte(key)}
}

// unwrap returns the key's text of a row's value, or "" if no instance key opens it.
func (c *N8n) unwrap(value string, wrapping, passwords [][]byte) string {
	payload := trim([]byte(value))
	if n8nRawKey.Match(payload) {
		return string(payload)
	}
	raw, ok := unbase64(payload)
	if ok && bytes.HasPrefix(payload, []byte(n8nClassic)) {
		for _, password := range passwords {
			if plain, ok := openSalted(password, raw); ok && n8nRawKey.Match(plain) {
				return string(plain)
			}
		}
		return ""
	}
	for _, key := range wrapping {
		if plain, ok := openN8nGCM(key, raw); ok {
			return string(plain)
		}
	}
	for _, password := range passwords {
		if value == string(password) {
			return value
		}
	}
	return ""
}

// Sealed reports whether v begins as base64 of "Salted__" does, or is a key id, a
// colon and base64 long enough for a payload.
func (c *N8n) Sealed(v Value) bool {
	text := trim(v.Data)
	if bytes.HasPrefix(text, []byte(n8nClassic)) {
		return true
	}
	m := n8nKeyed.FindSubmatch(text)
	return m != nil && len(m[2]) >= n8nShortest
}

// Open returns the JSON object.
func (c *N8n) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it is neither a classic nor a keyed payload")
	}
	text := trim(v.Data)
	id, payload, keyed := bytes.Cut(text, []byte(":"))
	if !keyed {
		payload = text
	}
	raw, ok := unbase64(payload)
	if !ok {
		return nil, damaged("its payload is no base64")
	}
	if !keyed {
		return openN8nClassic(c.classic, raw)
	}
	row, known := c.rows[string(id)]
	switch {
	case !known:
		return nil, noKey("the value names a data key that deployment_key does not hold")
	case row.algorithm != n8nGCM && row.algorithm != n8nCBC:
		return nil, noKey("deployment_key says for the value's data key an algorithm other than %s and %s", n8nGCM, n8nCBC)
	case len(row.keys) == 0 && c.keyless:
		return nil, noKey("give the instance key, which wraps the data keys")
	case row.algorithm == n8nCBC && len(row.keys) > 0:
		return openN8nClassic(row.keys, raw)
	case row.algorithm == n8nCBC:
		return nil, ErrKey
	case len(raw) < 1+n8nSalt+n8nTag:
		return nil, damaged("its payload is too short")
	case raw[0] != 1:
		return nil, damaged("its payload is of a version other than 1")
	}
	for _, key := range row.keys {
		if plain, ok := openN8nGCM(key, raw); ok {
			return plain, nil
		}
	}
	return nil, ErrKey
}

// openN8nClassic opens a classic payload with the first password that gives a
// JSON object.
func openN8nClassic(passwords [][]byte, raw []byte) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte("Salted__")) || len(raw) < 32 || len(raw)%16 != 0 {
		return nil, damaged("its payload is cut short, or not salted")
	}
	if len(passwords) == 0 {
		return nil, noKey("give the instance key")
	}
	for _, password := range passwords {
		if plain, ok := openSalted(password, raw); ok && readable(plain) && isObject(plain) {
			return plain, nil
		}
	}
	return nil, ErrKey
}

// openSalted opens "Salted__", salt and AES-256-CBC as `openssl enc -md md5` and
// CryptoJS write them.
func openSalted(password, raw []byte) ([]byte, bool) {
	if len(raw) < 16 {
		return nil, false
	}
	made := opensslKey(md5.New, password, raw[8:16], 1, 32+aes.BlockSize)
	return openCBC(made[:32], made[32:], raw[16:])
}

// openN8nGCM opens a GCM payload. It reports false for one of another version,
// too short, or of another key.
func openN8nGCM(key, raw []byte) ([]byte, bool) {
	if len(raw) < 1+n8nSalt+n8nTag || raw[0] != 1 {
		return nil, false
	}
	salt, rest := raw[1:1+n8nSalt], raw[1+n8nSalt:]
	derived, err := hkdf.Key(sha256.New, key, salt, n8nInfo, 32+12)
	if err != nil {
		return nil, false
	}
	sealed := append(bytes.Clone(rest[n8nTag:]), rest[:n8nTag]...)
	return openGCM(derived[:32], derived[32:], sealed, nil)
}

package cipher

import (
	"bytes"
	"compress/zlib"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"sync"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
)

// RailsKeys are the keys of Active Record Encryption, by their names under
// active_record_encryption in Rails' credentials. All are texts used as they are,
// never decoded, but for those of Raw.
type RailsKeys struct {
	// Primary holds primary_key (all of them, where it is a list) and the key: of
	// attributes that have their own; Deterministic deterministic_key; Previous those
	// of previous: schemes. All are tried for every value: which one a value was made
	// with cannot be seen.
	Primary, Deterministic, Previous []connect.Secret
	// Salts holds key_derivation_salt, and older ones of it. Needed with the above.
	Salts []connect.Secret
	// Raw holds keys that are not derived, of a key_provider: of the application's
	// own: 32 bytes, or 64 hexadecimal digits or base64 of them.
	Raw []connect.Secret
}

// Rails opens attributes of Active Record Encryption (encrypts :token, Rails 7.0
// and newer), deterministic ones as well.
//
//   - Algorithm: AES-256-GCM without additional data. Texts of more than 140 bytes
//     are compressed with zlib before.
//   - Key: PBKDF2-HMAC of a configured key with key_derivation_salt, 65536
//     iterations, 32 bytes; with SHA-256 since Rails 7.1's defaults and SHA-1
//     before. Both are tried.
//   - Layout: a JSON object {"p": ciphertext, "h": {"iv": 12 bytes, "at": tag, 16
//     bytes}}, where h may have more: "c": true, compressed; "i", the first 4
//     hexadecimal digits of the derived key's SHA-1 (store_key_references); "k", an
//     object of the same layout that holds a key of this value alone, encrypted with
//     a configured one (EnvelopeEncryptionKeyProvider); "e", the text's encoding,
//     which is ignored.
//   - Encoding: p and the strings of h in standard base64, but for object k.
//
// Made by ActiveRecord::Encryption of activerecord. MessagePackMessageSerializer's
// values, in binary columns, are not of this format.
type Rails struct {
	raw     [][]byte
	derived []*railsKey
}

// railsKey is a key that is derived at its first use.
type railsKey struct {
	password, salt string
	sha1           bool
	once           sync.Once
	key            []byte
}

// Inflated texts of more than this are no tokens.
const inflateLimit = 16 << 20

const railsIterations = 1 << 16

// NewRails takes the keys. Empty ones are left out.
//
// Error: *KeyError named key_derivation_salt, where keys lack it, or raw_key.
func NewRails(keys RailsKeys) (*Rails, error) {
	c := new(Rails)
	for _, secret := range keys.Raw {
		if secret.Empty() {
			continue
		}
		key, ok := bytes32(secret.Reveal())
		if !ok {
			return nil, &KeyError{"raw_key", "must be 32 bytes, or 64 hexadecimal digits or base64 of them"}
		}
		c.raw = append(c.raw, key)
	}
	for _, weak := range []bool{false, true} { // SHA-256 of all before SHA-1 of any
		for _, list := range [][]connect.Secret{keys.Primary, keys.Deterministic, keys.Previous} {
			for _, secret := range list {
				if secret.Empty() {
					continue
				}
				n := len(c.derived)
				for _, salt := range keys.Salts {
					if !salt.Empty() {
						c.derived = append(c.derived, &railsKey{password: secret.Reveal(), salt: salt.Reveal(), sha1: weak})
					}
				}
				if len(c.derived) == n {
					return nil, &KeyError{"key_derivation_salt", "is needed to derive the keys"}
				}
			}
		}
	}
	return c, nil
}

// bytes32 decodes a key of 32 bytes: hexadecimal, base64 or the bytes themselves.
func bytes32(text string) ([]byte, bool) {
	b := trim([]byte(text))
	if key, ok := unhex(b); ok && len(key) == 32 {
		return key, true
	}
	if key, ok := anyBase64(b); ok && len(key) == 32 {
		return key, true
	}
	return []byte(text), len(text) == 32
}

// keys yields the keys, derived ones only as they are asked for.
func (c *Rails) keys(yield func([]byte) bool) {
	for _, key := range c.raw {
		if !yield(key) {
			return
		}
	}
	for _, d := range c.derived {
		d.once.Do(func() {
			var err error
			if d.sha1 {
				d.key, err = pbkdf2.Key(sha1.New, d.password, []byte(d.salt), railsIterations, 32)
			} else {
				d.key, err = pbkdf2.Key(sha256.New, d.password, []byte(d.salt), railsIterations, 32)
			}
			if err != nil { // a system that allows no such key: it opens nothing
				d.key = nil
			}
		})
		if !yield(d.key) {
			return
		}
	}
}

// railsMessage is the JSON.
type railsMessage struct {
	Payload *string `json:"p"`
	Headers struct {
		IV         string        `json:"iv"`
		Tag        string        `json:"at"`
		Compressed any           `json:"c"`
		KeyID      *string       `json:"i"`
		DataKey    *railsMessage `json:"k"`
	} `json:"h"`
}

// Sealed reports whether v is a JSON object with p and h, or begins as Rails
// writes one.
func (c *Rails) Sealed(v Value) bool {
	b := trim(v.Data)
	if bytes.HasPrefix(b, []byte(`{"p":"`)) {
		return true
	}
	var m map[string]json.RawMessage
	return bytes.HasPrefix(b, []byte("{")) && json.Unmarshal(b, &m) == nil && m["p"] != nil && m["h"] != nil
}

// Open returns the text.
func (c *Rails) Open(v Value) ([]byte, error) {
	var m railsMessage
	if !c.Sealed(v) || json.Unmarshal(v.Data, &m) != nil || m.Payload == nil {
		return nil, damaged("it is not an object with p and h, as Rails writes it")
	}
	box, err := m.parse()
	if err != nil {
		return nil, err
	}
	var plain []byte
	if m.Headers.DataKey == nil {
		plain, err = c.open(box, m.Headers.KeyID)
	} else {
		plain, err = c.openEnvelope(box, &m)
	}
	if err != nil {
		return nil, err
	}
	if compressed, _ := m.Headers.Compressed.(bool); compressed {
		if plain, err = inflate(plain); err != nil {
			return nil, err
		}
	}
	if !utf8.Valid(plain) { // header c is not authenticated, and may be lost
		return nil, damaged("what it holds is no text")
	}
	return plain, nil
}

// railsBox is the part of a message that AES-GCM opens.
type railsBox struct{ iv, sealed []byte }

func (m *railsMessage) parse() (railsBox, error) {
	payload, ok := unbase64([]byte(*m.Payload))
	iv, okIV := unbase64([]byte(m.Headers.IV))
	tag, okTag := unbase64([]byte(m.Headers.Tag))
	if !ok || !okIV || !okTag {
		return railsBox{}, damaged("a part of it is not base64")
	}
	if len(iv) != 12 || len(tag) != 16 {
		return railsBox{}, damaged("its iv and tag have %d and %d bytes, not 12 and 16", len(iv), len(tag))
	}
	return railsBox{iv, append(payload, tag...)}, nil
}

// open opens b with the key of that id, or with any.
func (c *Rails) open(b railsBox, id *string) ([]byte, error) {
	if len(c.raw)+len(c.derived) == 0 {
		return nil, noKey("give the primary or deterministic key, and the salt")
	}
	want := ""
	if id != nil {
		text, ok := unbase64([]byte(*id))
		if !ok {
			return nil, damaged("the id of its key is not base64")
		}
		want = string(text)
	}
	known := false
	for key := range c.keys {
		if id != nil {
			digest := sha1.Sum(key)
			if hex.EncodeToString(digest[:2]) != want {
				continue
			}
		}
		known = true
		if plain, ok := openGCM(key, b.iv, b.sealed, nil); ok {
			return plain, nil
		}
	}
	if !known {
		return nil, noKey("the value names a key that is none of the configured ones")
	}
	return nil, ErrKey
}

// openEnvelope opens b, which is m's, with the key that m brings along.
func (c *Rails) openEnvelope(b railsBox, m *railsMessage) ([]byte, error) {
	if m.Headers.DataKey.Payload == nil {
		return nil, damaged("it has an empty key of its own")
	}
	wrapped, err := m.Headers.DataKey.parse()
	if err != nil {
		return nil, err
	}
	key, err := c.open(wrapped, m.Headers.KeyID)
	if err != nil {
		return nil, err
	}
	plain, ok := openGCM(key, b.iv, b.sealed, nil)
	if !ok {
		return nil, ErrKey
	}
	return plain, nil
}

// inflate decompresses zlib's format, up to inflateLimit.
func inflate(b []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, damaged("it is compressed, and not with zlib")
	}
	return readInflated(r)
}

// readInflated reads what r decompresses, up to inflateLimit.
func readInflated(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, inflateLimit+1))
	switch {
	case err != nil:
		return nil, damaged("what it holds cannot be decompressed")
	case len(text) > inflateLimit:
		return nil, damaged("what it holds is larger than any token")
	}
	return text, nil
}

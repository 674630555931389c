package cipher

import (
	"crypto/aes"
	gocipher "crypto/cipher"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/nacl/secretbox"

	"tokenmigrate/migrate/connect"
)

// NodeAESOptions tell how an application's own code encrypts. The zero value is
// what most of it does: AES-256-GCM, "iv:tag:ct", in hexadecimal or base64.
type NodeAESOptions struct {
	// Algorithm is "aes-256-gcm" (or empty), "aes-256-cbc" or "aes-256-ctr", one of
	// these with 128 or 192, "chacha20-poly1305", or "secretbox" (XSalsa20-Poly1305).
	Algorithm string
	// Derive says how the key is made of the configured text: "hex", "base64" (either
	// alphabet), "raw" (its UTF-8) or "latin1"; or empty: the one of these that gives
	// the algorithm's length. Or of any text, so many bytes of: "sha256", "sha512";
	// "sha256-hex", "sha256-base64", "sha512-hex" (the digest's characters); "scrypt",
	// "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512", "hkdf-sha256"; "openssl-md5",
	// "openssl-sha256": OpenSSL's EVP_BytesToKey, one round, and "openssl-pbkdf2": its
	// PBKDF2 with SHA-256 (openssl enc -pbkdf2), which give the iv of CBC and CTR, too;
	// CryptoJS and openssl enc before 1.1.0 have MD5.
	Derive string
	// Salt of scrypt, PBKDF2 and HKDF, as UTF-8; empty: of scrypt and PBKDF2 "salt".
	// Not used for values that have their own.
	Salt string
	// Info of HKDF.
	Info string
	// Iterations of PBKDF2; 0 means 100000, and 10000 of openssl-pbkdf2. Of scrypt N,
	// which must be a power of 2; 0 means 16384. Its r is 8 and its p is 1.
	Iterations int
	// Layout names the parts in their order: iv, tag, ct (the ciphertext) and salt,
	// with the separator between, such as "iv.ct.tag" (empty: "iv:tag:ct"); with "+"
	// between they are one blob, as "salt+iv+tag+ct". Or it is "json": an object of
	// them. Parts that it does not name come from Value.With, by the same names, so
	// "ct" is the layout of separate columns; without a tag there, it is the
	// ciphertext's end. "salted" is that of openssl enc and CryptoJS: "Salted__", a
	// salt of 8 bytes and the ciphertext; it and "ct" are those that derive openssl has.
	Layout string
	// Encoding is "hex", "base64", "base64url" or "raw" (a blob of a bytea column);
	// empty: each value shows its own.
	Encoding string
	// NonceLength is the iv's, in bytes, and SaltLength the salt's. 0: of parts with
	// a separator, as long as they are; of a blob, 12 and 16 are tried for the iv, and
	// 16, 32 and 64 for the salt (16 and 16 where nothing authenticates them).
	NonceLength, SaltLength int
	// AAD is the additional authenticated data; {name} in it stands for With[name].
	AAD string
	// Prefixes are texts of which one must begin a value and is cut off: "v1:",
	// "enc:". A value without it is plain, unless it is of the layout all the same: then
	// it is damaged. "" among them: values may have none.
	Prefixes []string
}

// NodeAES opens what applications encrypt with code of their own, mostly around
// Node's crypto module: no project's format, but one that most of them share.
//
//   - Algorithm, key's derivation, layout, encoding: as NodeAESOptions say.
//     CBC has PKCS #7 padding; it and CTR authenticate nothing. Nonces of GCM may
//     have any length, tags have 16 bytes. secretbox has its tag before the
//     ciphertext, as libsodium and TweetNaCl make it, and a nonce of 24 bytes.
//   - The fields of a JSON object may be called iv or nonce; tag, authTag, auth_tag
//     or at; ct, data, content, value, encrypted, encryptedData, encrypted_data,
//     ciphertext, cipherText or payload; salt. They are texts, or Buffers as
//     JSON.stringify writes them. The object may itself be in base64.
//
// Cal.com's "encryptedKey" is aes-256-cbc, latin1, "iv:ct".
type NodeAES struct {
	o         NodeAESOptions
	layout    nodeLayout
	keySize   int
	bothSizes bool // what is derived has the iv behind the key
	keys      []string
	derive    func(secret string, salt []byte) ([]byte, error)
	derived   keptKeys
}

// NewNodeAES takes the keys, newest first; empty ones are left out.
//
// Error: *KeyError named encryption_key, or, for options that cannot be, algorithm,
// derive, layout, encoding or iterations.
func NewNodeAES(o NodeAESOptions, keys ...connect.Secret) (*NodeAES, error) {
	c := &NodeAES{o: o}
	if c.o.Algorithm == "" {
		c.o.Algorithm = "aes-256-gcm"
	}
	switch c.o.Algorithm {
	case "aes-128-gcm", "aes-128-cbc", "aes-128-ctr":
		c.keySize = 16
	case "aes-192-gcm", "aes-192-cbc", "aes-192-ctr":
		c.keySize = 24
	case "aes-256-gcm", "aes-256-cbc", "aes-256-ctr", "chacha20-poly1305", "secretbox":
		c.keySize = 32
	default:
		return nil, &KeyError{"algorithm", "must be aes-256-gcm, aes-256-cbc or aes-256-ctr, one of these with 128 or 192, chacha20-poly1305 or secretbox"}
	}
	switch o.Encoding {
	case "", "hex", "base64", "base64url", "raw":
	default:
		return nil, &KeyError{"encoding", "must be hex, base64, base64url or raw"}
	}
	var err error
	if c.layout, err = parseNodeLayout(o.Layout); err != nil {
		return nil, err
	}
	if c.layout.has("tag") && (!c.authenticates() || c.o.Algorithm == "secretbox") {
		return nil, &KeyError{"layout", "has a tag, which the algorithm does not have apart"}
	}
	c.bothSizes = strings.HasPrefix(o.Derive, "openssl-")
	if c.bothSizes && c.authenticates() {
		return nil, &KeyError{"algorithm", "must be one with cbc or ctr where derive is " + o.Derive}
	}
	if c.layout.salted != c.bothSizes && !(c.bothSizes && o.Layout == "ct") {
		return nil, &KeyError{"layout", "must be salted where derive is openssl-... (or ct, without any salt), and only there"}
	}
	if c.derive, err = nodeDerivation(o, c.keySize); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if key.Empty() {
			continue
		}
		if !slowDerivation(o.Derive) { // the others take any text
			if _, err := c.derive(key.Reveal(), nil); err != nil {
				return nil, err
			}
		}
		c.keys = append(c.keys, key.Reveal())
	}
	return c, nil
}

// authenticates reports whether the algorithm notices changes.
func (c *NodeAES) authenticates() bool {
	return !strings.HasSuffix(c.o.Algorithm, "-cbc") && !strings.HasSuffix(c.o.Algorithm, "-ctr")
}

// Sealed reports whether v has a configured prefix, and else whether its parts
// are all there, of lengths that they can have; or at least the first of them,
// followed by the separator. Blobs show little of themselves: base64 and
// hexadecimal long enough look sealed. A value of the layout that has another
// prefix than the configured ones, or lacks it, counts as damaged and not as plain.
func (c *NodeAES) Sealed(v Value) bool {
	_, prefixed, ok := c.cut(v.Data)
	if len(trim(v.Data)) == 0 {
		return false
	}
	return prefixed || ok && c.looksSealed(v) || c.strangePrefix(v)
}

var strangePrefix = regexp.MustCompile(`^\w{1,12}:`)

// strangePrefix reports whether a value would be of the layout but for its prefix,
// such as that of the next version of the app's code: v2:. Blobs show too little of
// themselves where no prefix is configured.
func (c *NodeAES) strangePrefix(v Value) bool {
	rest := trim(v.Data)
	blob := !c.layout.json && c.layout.separator == ""
	if blob && !slices.ContainsFunc(c.o.Prefixes, strangePrefix.MatchString) {
		return false
	}
	for i := range 3 { // none, one, two of them
		if i > 0 || !blob {
			if _, err := c.parse(rest, v.With); err == nil {
				return true
			}
		}
		end := strangePrefix.FindIndex(rest)
		if end == nil {
			return false
		}
		rest = rest[end[1]:]
	}
	return false
}

// cut takes the prefix off. It reports whether there was one, and false where
// there should have been.
func (c *NodeAES) cut(data []byte) (rest []byte, prefixed, ok bool) {
	if c.o.Encoding == "raw" && len(c.o.Prefixes) == 0 {
		return data, false, true
	}
	if readable(data) {
		data = trim(data)
	}
	bare := len(c.o.Prefixes) == 0
	for _, prefix := range c.o.Prefixes {
		if prefix == "" {
			bare = true
		} else if strings.HasPrefix(string(data), prefix) {
			return data[len(prefix):], true, true
		}
	}
	return data, false, bare
}

// Open returns the text.
func (c *NodeAES) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it has not the parts that the layout tells, as one of another layout or a plain one")
	}
	data, _, ok := c.cut(v.Data)
	if !ok {
		return nil, damaged("it has the layout, but none of the configured prefixes")
	}
	shapes, err := c.parse(data, v.With)
	if err != nil {
		return nil, err
	}
	if len(c.keys) == 0 {
		return nil, noKey("give the application's key")
	}
	aad := c.aad(v.With)
	for _, key := range c.keys {
		for _, s := range shapes {
			var salt []byte
			if s.salted {
				salt = s.salt
			}
			derived := c.derived.of(key, string(salt), func() ([]byte, error) { return c.derive(key, salt) })
			if c.bothSizes {
				derived, s.iv = derived[:c.keySize], derived[c.keySize:]
			}
			if plain, ok := c.open(derived, s, aad); ok {
				return plain, nil
			}
		}
	}
	return nil, ErrKey
}

// open opens what s tells with a key. It reports false where the key or the
// lengths are wrong.
func (c *NodeAES) open(key []byte, s nodeParts, aad []byte) ([]byte, bool) {
	switch c.o.Algorithm {
	case "secretbox":
		if len(key) != 32 || len(s.iv) != 24 {
			return nil, false
		}
		return secretbox.Open(nil, s.ct, (*[24]byte)(s.iv), (*[32]byte)(key))
	case "chacha20-poly1305":
		aead, err := chacha20poly1305.New(key)
		return openAEAD(aead, err, s, aad)
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(s.iv) == 0 {
		return nil, false
	}
	if strings.HasSuffix(c.o.Algorithm, "-gcm") {
		aead, err := gocipher.NewGCMWithNonceSize(block, len(s.iv))
		return openAEAD(aead, err, s, aad)
	}
	if len(s.iv) != aes.BlockSize {
		return nil, false
	}
	if strings.HasSuffix(c.o.Algorithm, "-cbc") {
		plain, ok := openCBC(key, s.iv, s.ct)
		return plain, ok && readable(plain)
	}
	plain := make([]byte, len(s.ct))
	gocipher.NewCTR(block, s.iv).XORKeyStream(plain, s.ct)
	return plain, readable(plain)
}

func openAEAD(aead gocipher.AEAD, err error, s nodeParts, aad []byte) ([]byte, bool) {
	if err != nil || len(s.iv) != aead.NonceSize() {
		return nil, false
	}
	sealed := append(append([]byte(nil), s.ct...), s.tag...)
	plain, err := aead.Open(nil, s.iv, sealed, aad)
	return plain, err == nil
}

// aad fills the template.
func (c *NodeAES) aad(with map[string]string) []byte {
	var b strings.Builder
	rest := c.o.AAD
	for {
		before, after, found := strings.Cut(rest, "{")
		name, tail, closed := strings.Cut(after, "}")
		if !found || !closed {
			b.WriteString(rest)
			return []byte(b.String())
		}
		b.WriteString(before)
		b.WriteString(with[name])
		rest = tail
	}
}

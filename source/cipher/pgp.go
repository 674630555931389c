package cipher

import (
	"bytes"
	"crypto/aes"
	gocipher "crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"unicode/utf8"

	"golang.org/x/crypto/blowfish"
	"golang.org/x/crypto/cast5"
	"golang.org/x/crypto/ripemd160"
	"golang.org/x/crypto/twofish"

	"tokenmigrate/migrate/connect"
)

// PGP opens OpenPGP messages that are encrypted with a passphrase.
//
//   - Algorithm: AES (128, 192 or 256), Blowfish, Triple DES, CAST5 or Twofish, as
//     the message says, in OpenPGP's CFB mode, with a SHA-1 over the plaintext
//     (MDC). Messages without MDC (disable-mdc) authenticate nothing.
//   - Key: of the passphrase by the message's S2K: simple, salted, or iterated and
//     salted; with MD5, SHA-1, RIPEMD-160 or SHA-2. Either the message's key itself,
//     or one that encrypts it (sess-key).
//   - Layout: RFC 4880: a symmetric-key encrypted session key packet of version 4 or
//     several, an encrypted data packet (tag 18, or 9 without MDC), and in it a
//     literal data packet, compressed or not, by ZIP, ZLIB or BZIP2.
//   - Encoding: none, in a bytea column; or text: ASCII armor, hexadecimal (with or
//     without bytea's "\x") or base64.
//
// Made by pgp_sym_encrypt of Postgres' extension pgcrypto, with any options, and by
// gpg --symmetric. Messages for a public key are recognised and not opened.
//
// A Postgres on OpenSSL 3, which has Blowfish and CAST5 only with its legacy
// provider, encrypts nothing where these are asked for and does not notice: such
// messages hold their text, or their session key, in the clear, and open with any
// passphrase, in Postgres as here.
type PGP struct {
	passphrases [][]byte
}

// NewPGP takes the passphrases, newest first; empty ones are left out. Any text
// can be one, so the error is always nil.
func NewPGP(passphrases ...connect.Secret) (*PGP, error) {
	c := new(PGP)
	for _, p := range passphrases {
		if !p.Empty() {
			c.passphrases = append(c.passphrases, []byte(p.Reveal()))
		}
	}
	return c, nil
}

// Sealed reports whether v, or what it encodes, begins as an OpenPGP message, or
// is armored as one.
func (c *PGP) Sealed(v Value) bool {
	raw, armored, _ := pgpBytes(v.Data)
	return armored || pgpBegins(raw)
}

// Open returns the text.
func (c *PGP) Open(v Value) ([]byte, error) {
	raw, armored, ok := pgpBytes(v.Data)
	if !ok || !armored && !pgpBegins(raw) {
		return nil, damaged("it is no OpenPGP message")
	}
	m, err := parsePGP(raw)
	if err != nil {
		return nil, err
	}
	if len(m.sessions) == 0 {
		return nil, noKey("the message is for a public key: decrypt it in the query, with pgp_pub_decrypt")
	}
	for _, s := range m.sessions {
		for _, k := range s.keys(c.passphrases) {
			for _, block := range k.blocks() {
				plain, tried, err := m.openWith(block)
				if tried {
					return plain, err
				}
			}
		}
	}
	if len(c.passphrases) == 0 {
		return nil, noKey("give the passphrase")
	}
	return nil, ErrKey
}

// openWith opens the message with a key's cipher. It reports false where the key
// is wrong.
func (m *pgpMessage) openWith(block gocipher.Block) (plain []byte, right bool, err error) {
	body, ok := m.open(block)
	if !ok {
		return nil, false, nil
	}
	plain, err = pgpLiteral(body, 0)
	if !m.mdc { // the key may be wrong all the same
		return plain, err == nil && readable(plain), nil
	}
	if err == nil && !utf8.Valid(plain) {
		plain, err = nil, damaged("what it holds is no text")
	}
	return plain, true, err
}

// pgpMessage is a parsed message.
type pgpMessage struct {
	sessions []pgpSession
	body     []byte
	mdc      bool
}

// parsePGP takes a message apart.
//
// Error: ErrFormat.
func parsePGP(raw []byte) (m pgpMessage, err error) {
	for len(raw) > 0 {
		tag, body, rest, ok := pgpPacket(raw)
		if !ok {
			return m, damaged("a packet of it is cut short")
		}
		raw = rest
		switch tag {
		case 1, 10: // for a public key; a marker
		case 3:
			s, ok := parsePGPSession(body)
			if !ok {
				return m, damaged("it derives its key in no known way")
			}
			m.sessions = append(m.sessions, s)
		case 18:
			if len(body) < 1+18+22 || body[0] != 1 {
				return m, damaged("its data are of no known version, or cut short")
			}
			m.body, m.mdc = body[1:], true
			return m, nil
		case 9:
			if len(body) < 18 { // a head of the shortest blocks, and an empty text
				return m, damaged("its data are cut short")
			}
			m.body = body
			return m, nil
		default:
			return m, damaged("it has a packet that does not belong there")
		}
	}
	return m, damaged("it has no data")
}

// pgpSession is a symmetric-key encrypted session key packet.
type pgpSession struct {
	cipherID   byte
	newHash    func() hash.Hash
	salt       []byte
	count      int    // of bytes to hash, at least the salt and passphrase once
	sessionKey []byte // nil: the passphrase's is the message's
}

// pgpHashes are OpenPGP's, by number.
var pgpHashes = map[byte]func() hash.Hash{
	1: md5.New, 2: sha1.New, 3: ripemd160.New, 8: sha256.New, 9: sha512.New384, 10: sha512.New, 11: sha256.New224,
}

func parsePGPSession(b []byte) (s pgpSession, ok bool) {
	if len(b) < 4 || b[0] != 4 {
		return s, false
	}
	mode := b[2]
	s.cipherID, s.newHash = b[1], pgpHashes[b[3]]
	b = b[4:]
	if mode == 1 || mode == 3 {
		if len(b) < 8 {
			return s, false
		}
		s.salt, b = b[:8], b[8:]
	}
	if mode == 3 {
		if len(b) < 1 {
			return s, false
		}
		s.count, b = (16+int(b[0]&15))<<(b[0]>>4+6), b[1:]
	}
	if len(b) > 0 {
		s.sessionKey = b
	}
	_, known := pgpKeySizes[s.cipherID]
	return s, known && s.newHash != nil && (mode == 0 || mode == 1 || mode == 3)
}

// pgpKeySizes are of OpenPGP's ciphers, by number.
var pgpKeySizes = map[byte]int{2: 24, 3: 16, 4: 16, 7: 16, 8: 24, 9: 32, 10: 32}

// pgpBlock makes a cipher of pgpKeySizes.
func pgpBlock(id byte, key []byte) (gocipher.Block, bool) {
	var block gocipher.Block
	var err error
	switch id {
	case 2:
		block, err = des.NewTripleDESCipher(key)
	case 3:
		block, err = cast5.NewCipher(key)
	case 4:
		block, err = blowfish.NewCipher(key)
	case 7, 8, 9:
		block, err = aes.NewCipher(key)
	case 10:
		block, err = twofish.NewCipher(key)
	default:
		return nil, false
	}
	return block, err == nil
}

// pgpKey is a cipher's number and its key.
type pgpKey struct {
	id  byte
	key []byte
}

// keys returns those that may be the message's. With a wrong passphrase there is
// most often none where the message has a session key.
func (s *pgpSession) keys(passphrases [][]byte) []pgpKey {
	var derived []pgpKey
	if pgpOmitted(s.cipherID) { // the key does not matter, but must be there
		derived = append(derived, pgpKey{s.cipherID, make([]byte, pgpKeySizes[s.cipherID])})
	}
	for _, passphrase := range passphrases {
		derived = append(derived, pgpKey{s.cipherID, s.derive(passphrase, pgpKeySizes[s.cipherID])})
	}
	if s.sessionKey == nil {
		return derived
	}
	var keys []pgpKey
	for _, d := range derived {
		for _, block := range d.blocks() {
			plain := pgpCFB(block, make([]byte, block.BlockSize()), s.sessionKey)
			if size, known := pgpKeySizes[plain[0]]; known && len(plain) == 1+size {
				keys = append(keys, pgpKey{plain[0], plain[1:]})
			}
		}
	}
	return keys
}

// blocks returns the ciphers that may have been used with the key.
func (k pgpKey) blocks() []gocipher.Block {
	var blocks []gocipher.Block
	if block, ok := pgpBlock(k.id, k.key); ok {
		blocks = append(blocks, block)
	}
	if pgpOmitted(k.id) {
		blocks = append(blocks, pgpNoCipher{})
	}
	return blocks
}

// pgpOmitted reports whether OpenSSL 3 lacks the cipher.
func pgpOmitted(id byte) bool { return id == 3 || id == 4 }

// pgpNoCipher is what pgcrypto uses instead of a cipher that OpenSSL lacks: CFB
// with it leaves every byte as it is.
type pgpNoCipher struct{}

func (pgpNoCipher) BlockSize() int          { return 8 }
func (pgpNoCipher) Encrypt(dst, src []byte) { clear(dst) }
func (pgpNoCipher) Decrypt(dst, src []byte) { clear(dst) }

// derive is S2K: hashes, each with one more zero before, of salt and passphrase
// over and over. It is not kept: each value has a salt of its own.
func (s *pgpSession) derive(passphrase []byte, size int) []byte {
	once := append(bytes.Clone(s.salt), passphrase...)
	count := max(s.count, len(once))
	chunk := once
	if repeat := min(count, 1<<14) / len(once); repeat > 1 {
		chunk = bytes.Repeat(once, repeat)
	}
	var key []byte
	for zeros := 0; len(key) < size; zeros++ {
		h := s.newHash()
		h.Write(make([]byte, zeros))
		left := count
		for ; left >= len(chunk); left -= len(chunk) {
			h.Write(chunk)
		}
		h.Write(chunk[:left])
		key = h.Sum(key)
	}
	return key[:size]
}

// open returns the packets that the message holds. It reports false where the key
// is wrong or, if there is an MDC, the message changed.
func (m *pgpMessage) open(block gocipher.Block) ([]byte, bool) {
	n := block.BlockSize()
	head := n + 2 // random bytes, of which the last two are repeated
	if len(m.body) < head {
		return nil, false
	}
	zeros := make([]byte, n)
	if !m.mdc { // which starts anew after the head
		prefix := pgpCFB(block, zeros, m.body[:head])
		return pgpCFB(block, m.body[2:head], m.body[head:]), bytes.Equal(prefix[n-2:n], prefix[n:])
	}
	plain := pgpCFB(block, zeros, m.body)
	if len(plain) < head+22 || !bytes.Equal(plain[n-2:n], plain[n:head]) {
		return nil, false
	}
	end := len(plain) - sha1.Size
	digest := sha1.Sum(plain[:end])
	if subtle.ConstantTimeCompare(digest[:], plain[end:]) != 1 || plain[end-2] != 0xd3 || plain[end-1] != sha1.Size {
		return nil, false
	}
	return plain[head : end-2], true
}

// pgpCFB decrypts in CFB mode, which the standard library keeps for old code only.
func pgpCFB(block gocipher.Block, iv, b []byte) []byte {
	n := block.BlockSize()
	out, pad := make([]byte, len(b)), make([]byte, n)
	for i := 0; i < len(b); i += n {
		block.Encrypt(pad, iv)
		end := min(i+n, len(b))
		subtle.XORBytes(out[i:end], b[i:end], pad)
		iv = b[i:end]
	}
	return out
}

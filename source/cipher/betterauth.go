package cipher

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"tokenmigrate/migrate/connect"
)

// BetterAuth opens "accessToken" and "refreshToken" of Better Auth's account
// table, written with account.encryptOAuthTokens.
//
//   - Algorithm: XChaCha20-Poly1305, nothing authenticated beside the text.
//   - Key: SHA-256 of the secret's UTF-8.
//   - Layout: nonce (24 bytes), ciphertext, tag (16).
//   - Encoding: hexadecimal. With versioned secrets "$ba$", the version, "$"
//     before it.
//
// Made by symmetricEncrypt of better-auth/crypto, npm package better-auth; the
// option since 1.3, versions since 1.5.
//
// Turning the option on leaves old rows as they were, so plain tokens stay beside
// sealed ones. A token of nothing but 80 or more hexadecimal digits, an even
// number of them, looks sealed and is not; Better Auth itself trips over fewer. Two
// such are told: those of league/oauth2-server (Laravel Passport, Drupal), which
// begin "def50200"; and without any key a refresh token whose row's access token,
// With's access_token, is plain: Better Auth encrypts both or none.
type BetterAuth struct {
	bare     []betterAuthKey          // for values without a version, in the order to try
	versions map[uint64]betterAuthKey // by version
}

type betterAuthKey [sha256.Size]byte

const (
	betterAuthPrefix = "$ba$"
	// defuseMark is the version with which defuse/php-encryption's hexadecimal begins.
	defuseMark = "def50200"
	// betterAuthDigits is the length of an empty token's hexadecimal.
	betterAuthDigits = 2 * (chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead)
)

// NewBetterAuth takes the single secret, as BETTER_AUTH_SECRET has it, and the
// versioned ones, as BETTER_AUTH_SECRETS has them: "2:newest,1:older". Either may
// be empty. A value without a version is tried with the single secret, then with
// the versioned ones, since teams that begin to version keep their old secret
// as one of them.
//
// Error: *KeyError named secrets, for a list that cannot be read.
func NewBetterAuth(secret, secrets connect.Secret) (*BetterAuth, error) {
	c := &BetterAuth{versions: map[uint64]betterAuthKey{}}
	if !secret.Empty() {
		c.bare = append(c.bare, sha256.Sum256([]byte(secret.Reveal())))
	}
	if strings.TrimSpace(secrets.Reveal()) == "" {
		return c, nil
	}
	for i, entry := range strings.Split(secrets.Reveal(), ",") {
		at := "has no version in entry " + strconv.Itoa(i+1)
		number, value, found := strings.Cut(strings.TrimSpace(entry), ":")
		if !found {
			return nil, &KeyError{"secrets", at + ": write version:secret, with a comma between entries"}
		}
		version, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
		if err != nil {
			return nil, &KeyError{"secrets", at + ": the text before its colon is no whole number"}
		}
		value = strings.TrimSpace(value)
		if value == "" {
			return nil, &KeyError{"secrets", "has an empty secret in entry " + strconv.Itoa(i+1)}
		}
		if _, twice := c.versions[version]; twice {
			return nil, &KeyError{"secrets", "has a version twice, again in entry " + strconv.Itoa(i+1)}
		}
		key := betterAuthKey(sha256.Sum256([]byte(value)))
		c.versions[version] = key
		c.bare = append(c.bare, key)
	}
	return c, nil
}

// Sealed reports whether v begins with "$ba$", or is hexadecimal of at least 80
// digits and none of those that are known to be plain.
func (c *BetterAuth) Sealed(v Value) bool {
	text := trim(v.Data)
	if bytes.HasPrefix(text, []byte(betterAuthPrefix)) {
		return true
	}
	access := trim([]byte(v.With["access_token"]))
	beside := len(access) > 0 && !bytes.HasPrefix(access, []byte(betterAuthPrefix)) && !betterAuthHex(access)
	return betterAuthHex(text) && !(len(c.bare) == 0 && beside)
}

// betterAuthHex reports whether a text is as long as bare values are, and nothing
// but hexadecimal.
func betterAuthHex(text []byte) bool {
	return len(text) >= betterAuthDigits && len(text)%2 == 0 && isHex(text) && !bytes.HasPrefix(text, []byte(defuseMark))
}

// Open returns the token.
func (c *BetterAuth) Open(v Value) ([]byte, error) {
	if !c.Sealed(v) {
		return nil, damaged("it is neither a versioned nor a bare encrypted token")
	}
	text, versioned := bytes.CutPrefix(trim(v.Data), []byte(betterAuthPrefix))
	keys := c.bare
	var version uint64
	if versioned {
		number, rest, found := bytes.Cut(text, []byte("$"))
		if !found {
			return nil, damaged("its version has no end")
		}
		var err error
		if version, err = strconv.ParseUint(string(number), 10, 63); err != nil {
			return nil, damaged("its version is no whole number")
		}
		text, keys = rest, nil
		if key, known := c.versions[version]; known {
			keys = []betterAuthKey{key}
		}
	}
	sealed, ok := unhex(text)
	if !ok || len(text) < betterAuthDigits {
		return nil, damaged("it is no hexadecimal of at least %d digits", betterAuthDigits)
	}
	if len(keys) == 0 && versioned {
		return nil, noKey("the value is of a version that the secrets do not list")
	}
	if len(keys) == 0 {
		return nil, noKey("give the secret, or the secrets")
	}
	for _, key := range keys {
		if plain, ok := openXChaCha(key[:], sealed); ok {
			return plain, nil
		}
	}
	return nil, ErrKey
}

// openXChaCha opens XChaCha20-Poly1305 of a 24-byte nonce, the ciphertext and a
// 16-byte tag. The key must have 32 bytes. It reports false where the tag does
// not fit, and for texts too short to have one.
func openXChaCha(key, sealed []byte) ([]byte, bool) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil || len(sealed) < aead.NonceSize()+aead.Overhead() {
		return nil, false
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	return plain, err == nil
}

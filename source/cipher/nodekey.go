package cipher

import (
	"cmp"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// slowDerivation reports whether a derivation may have a salt, takes any text and
// costs time.
func slowDerivation(name string) bool {
	return name == "scrypt" || strings.HasPrefix(name, "pbkdf2-") || strings.HasPrefix(name, "hkdf-")
}

// nodeDerivation returns how o makes a key of size bytes of the configured text
// and the value's salt, nil if it has none.
//
// Error: *KeyError; of what is returned, too, where a text cannot be a key.
func nodeDerivation(o NodeAESOptions, size int) (func(secret string, salt []byte) ([]byte, error), error) {
	if slowDerivation(o.Derive) {
		return saltedDerivation(o, size)
	}
	if o.Derive == "" {
		return func(secret string, _ []byte) ([]byte, error) {
			for _, form := range []string{"hex", "base64", "raw"} {
				if key, ok := nodeEncodings[form](secret); ok && len(key) == size {
					return key, nil
				}
			}
			return nil, nodeKeyError("must be "+strconv.Itoa(2*size)+" hexadecimal digits, base64, or characters", size, "; if it is a secret that the key is made of, say how with derive")
		}, nil
	}
	if decode := nodeEncodings[o.Derive]; decode != nil {
		return func(secret string, _ []byte) ([]byte, error) {
			key, ok := decode(secret)
			if !ok || len(key) != size {
				return nil, nodeKeyError("must be "+o.Derive, size, "")
			}
			return key, nil
		}, nil
	}
	if o.Derive == opensslPBKDF2 {
		rounds := cmp.Or(o.Iterations, 10_000)
		if rounds < 1 || rounds > maxRounds {
			return nil, tooManyRounds
		}
		return func(secret string, salt []byte) ([]byte, error) {
			return pbkdf2.Key(sha256.New, secret, salt, rounds, size+aes.BlockSize)
		}, nil
	}
	if newHash := opensslDigests[o.Derive]; newHash != nil {
		return func(secret string, salt []byte) ([]byte, error) {
			return opensslKey(newHash, []byte(secret), salt, 1, size+aes.BlockSize), nil
		}, nil
	}
	digest := nodeDigests[o.Derive]
	if digest == nil {
		return nil, &KeyError{"derive", "must be hex, base64, raw, latin1, sha256, sha512, sha256-hex, sha256-base64, sha512-hex, scrypt, pbkdf2-sha1, pbkdf2-sha256, pbkdf2-sha512, hkdf-sha256, openssl-md5, openssl-sha256 or openssl-pbkdf2"}
	}
	return func(secret string, _ []byte) ([]byte, error) { return digest(secret)[:size], nil }, nil
}

func nodeKeyError(problem string, size int, remedy string) *KeyError {
	return &KeyError{"encryption_key", problem + " of " + strconv.Itoa(size) + " bytes" + remedy}
}

// opensslPBKDF2 is what openssl enc does with -pbkdf2.
const opensslPBKDF2 = "openssl-pbkdf2"

// maxRounds are those of PBKDF2 that somebody would wait for.
const maxRounds = 100_000_000

var tooManyRounds = &KeyError{"iterations", "must be from 1 to " + strconv.Itoa(maxRounds)}

var opensslDigests = map[string]func() hash.Hash{"openssl-md5": md5.New, "openssl-sha256": sha256.New}

// opensslKey is OpenSSL's EVP_BytesToKey: n bytes made of the password and the salt,
// each digest hashed so many times.
func opensslKey(newHash func() hash.Hash, password, salt []byte, rounds, n int) []byte {
	var made, last []byte
	for len(made) < n {
		h := newHash()
		h.Write(last)
		h.Write(password)
		h.Write(salt)
		last = h.Sum(nil)
		for range rounds - 1 {
			h.Reset()
			h.Write(last)
			last = h.Sum(nil)
		}
		made = append(made, last...)
	}
	return made[:n]
}

// nodeEncodings are the keys that are not derived.
var nodeEncodings = map[string]func(string) ([]byte, bool){
	"hex":    func(s string) ([]byte, bool) { return unhex(trim([]byte(s))) },
	"base64": func(s string) ([]byte, bool) { return anyBase64([]byte(s)) },
	"raw":    func(s string) ([]byte, bool) { return []byte(s), true },
	"latin1": func(s string) ([]byte, bool) {
		var b []byte
		for _, r := range s {
			b = append(b, byte(r)) // as Node's Buffer does with what latin1 has not
		}
		return b, true
	},
}

// nodeDigests are the keys that a hash makes; each has at least 32 bytes.
var nodeDigests = map[string]func(string) []byte{
	"sha256": func(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] },
	"sha512": func(s string) []byte { d := sha512.Sum512([]byte(s)); return d[:] },
	"sha256-hex": func(s string) []byte {
		d := sha256.Sum256([]byte(s))
		return hex.AppendEncode(nil, d[:])
	},
	"sha256-base64": func(s string) []byte {
		d := sha256.Sum256([]byte(s))
		return base64.StdEncoding.AppendEncode(nil, d[:])
	},
	"sha512-hex": func(s string) []byte {
		d := sha512.Sum512([]byte(s))
		return hex.AppendEncode(nil, d[:])
	},
}

// saltedDerivation is nodeDerivation for those that may have a salt.
func saltedDerivation(o NodeAESOptions, size int) (func(secret string, salt []byte) ([]byte, error), error) {
	fixed := []byte(cmp.Or(o.Salt, "salt"))
	iterations := cmp.Or(o.Iterations, 100000)
	var derive func(secret string, salt []byte) ([]byte, error)
	switch o.Derive {
	case "scrypt":
		iterations = cmp.Or(o.Iterations, 16384)
		if iterations < 2 || iterations > 1<<22 || iterations&(iterations-1) != 0 {
			return nil, &KeyError{"iterations", "must be a power of 2 up to 4194304 for scrypt"}
		}
		derive = func(secret string, salt []byte) ([]byte, error) {
			return scrypt.Key([]byte(secret), salt, iterations, 8, 1, size)
		}
	case "hkdf-sha256":
		fixed = []byte(o.Salt)
		derive = func(secret string, salt []byte) ([]byte, error) {
			return hkdf.Key(sha256.New, []byte(secret), salt, o.Info, size)
		}
	default:
		newHash := map[string]func() hash.Hash{"pbkdf2-sha1": sha1.New, "pbkdf2-sha256": sha256.New, "pbkdf2-sha512": sha512.New}[o.Derive]
		if newHash == nil {
			return nil, &KeyError{"derive", "must be scrypt, pbkdf2-sha1, pbkdf2-sha256, pbkdf2-sha512 or hkdf-sha256"}
		}
		if iterations < 1 || iterations > maxRounds {
			return nil, tooManyRounds
		}
		derive = func(secret string, salt []byte) ([]byte, error) {
			return pbkdf2.Key(newHash, secret, salt, iterations, size)
		}
	}
	return func(secret string, salt []byte) ([]byte, error) {
		if salt == nil {
			salt = fixed
		}
		return derive(secret, salt)
	}, nil
}

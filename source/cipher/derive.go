package cipher

import (
	"crypto/md5"
	"sync"
)

// derivedAtMost bounds the keys that a derivedKeys keeps. Where each value has a
// salt of its own, most are never asked for again.
const derivedAtMost = 4096

// derivedKeys keeps keys that cost time to derive, by what they are derived with.
// The zero value is ready; it is safe for concurrent use.
type derivedKeys struct {
	mu   sync.Mutex
	keys map[string]*derivedKey
}

type derivedKey struct {
	once sync.Once
	key  []byte
}

// get returns the key of salt, derived once however many ask at a time. It must
// not be changed.
func (d *derivedKeys) get(salt string, derive func() []byte) []byte {
	d.mu.Lock()
	if len(d.keys) >= derivedAtMost {
		clear(d.keys)
	}
	entry := d.keys[salt]
	if entry == nil {
		if d.keys == nil {
			d.keys = map[string]*derivedKey{}
		}
		entry = new(derivedKey)
		d.keys[salt] = entry
	}
	d.mu.Unlock()
	entry.once.Do(func() { entry.key = derive() })
	return entry.key
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5: n bytes made of the password
// and a salt of 8 bytes or none, each MD5 repeated.
func bytesToKey(password, salt []byte, iterations, n int) []byte {
	var all, last []byte
	for len(all) < n {
		sum := md5.Sum(append(append(last, password...), salt...))
		for range iterations - 1 {
			sum = md5.Sum(sum[:])
		}
		last = sum[:]
		all = append(all, last...)
	}
	return all[:n]
}

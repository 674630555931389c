package cipher

import "sync"

// maxDerived is how many keys a keptKeys holds; where every value has a salt of
// its own, keeping more would only grow.
const maxDerived = 4096

// keptKeys keeps keys that cost time to derive, by what they are derived from. The
// zero value is empty and ready. It is safe for concurrent use.
type keptKeys struct {
	mu   sync.Mutex
	keys map[[2]string]*keptKey // by secret and salt
}

type keptKey struct {
	once sync.Once
	key  []byte
}

// of returns the key of a secret and a salt, derived once however many ask at a
// time; they must not change it. nil stands for a derivation that failed.
func (k *keptKeys) of(secret, salt string, derive func() ([]byte, error)) []byte {
	id := [2]string{secret, salt}
	k.mu.Lock()
	kept := k.keys[id]
	if kept == nil {
		if k.keys == nil || len(k.keys) >= maxDerived {
			k.keys = map[[2]string]*keptKey{}
		}
		kept = new(keptKey)
		k.keys[id] = kept
	}
	k.mu.Unlock()
	kept.once.Do(func() {
		if key, err := derive(); err == nil {
			kept.key = key
		}
	})
	return kept.key
}

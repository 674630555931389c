package stores

import (
	"errors"
	"maps"
	"sync"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// errSealed is what a probe says of a row whose values are encrypted.
var errSealed = errors.New("its values are encrypted, and no key is given")

// probe is an Opener without keys: it finds out whether values are encrypted and
// which keys they call for.
type probe struct {
	inner source.Opener
	store *Store

	mu   sync.Mutex
	keys map[string]bool
}

func (p *probe) Inputs() []string { return p.inner.Inputs() }

func (p *probe) Open(in source.Values) (source.Opened, error) {
	opened, err := p.inner.Open(in)
	if errors.Is(err, cipher.ErrNoKey) || errors.Is(err, cipher.ErrKey) {
		p.note(in)
		return opened, errSealed
	}
	return opened, err
}

// note remembers the keys that a row calls for.
func (p *probe) note(in source.Values) {
	needed := map[string]bool{}
	for _, k := range p.store.Keys {
		if k.Needed == nil || k.Needed(in) {
			needed[k.Name] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.keys, needed)
}

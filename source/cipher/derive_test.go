package cipher

import (
	"errors"
	"strconv"
	"sync"
	"testing"
)

func TestKeptKeys_DerivesOnce(t *testing.T) {
	var kept keptKeys
	derived := 0
	derive := func() ([]byte, error) { derived++; return []byte{byte(derived)}, nil }
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := kept.of("secret", "salt", derive); got[0] != 1 {
				t.Errorf("got key %d, want the first", got[0])
			}
		})
	}
	wg.Wait()
	// The border between secret and salt counts.
	if got := kept.of("secrets", "alt", derive); got[0] != 2 || derived != 2 {
		t.Errorf("got key %d after %d derivations, want 2 after 2", got[0], derived)
	}
	if got := kept.of("fails", "", func() ([]byte, error) { return []byte{1}, errors.New("no") }); got != nil {
		t.Errorf("got %v of a derivation that fails, want nil", got)
	}
}

func TestKeptKeys_StaysSmall(t *testing.T) {
	var kept keptKeys
	for i := range 3 * maxDerived {
		kept.of("secret", strconv.Itoa(i), func() ([]byte, error) { return nil, nil })
		if len(kept.keys) > maxDerived {
			t.Fatalf("holds %d keys, want at most %d", len(kept.keys), maxDerived)
		}
	}
}

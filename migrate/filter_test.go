package migrate

import (
	"math/rand/v2"
	"testing"

	"tokenmigrate/checkpoint"
)

// A filter never denies what was added, and seldom affirms what was not.
func TestFilter(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() (h checkpoint.Hash) {
		for i := range h[1:] {
			h[1+i] = byte(random.Uint32())
		}
		h[0] = hashVersion
		return h
	}
	const n = 200_000
	f := new(filter)
	added := make([]checkpoint.Hash, n)
	for i := range added {
		added[i] = draw()
		f.add(added[i])
	}
	wrong := 0
	for _, h := range added {
		if !f.perhaps(h) {
			t.Fatalf("it denies %x, which was added", h)
		}
		if f.perhaps(draw()) {
			wrong++
		}
	}
	if wrong > n/1000 {
		t.Errorf("it affirms %d of %d that were not added, want hardly any", wrong, n)
	}
}

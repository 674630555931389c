package migrate

import (
	"encoding/binary"

	"tokenmigrate/checkpoint"
)

// filterBits is the size of a filter: 4 MiB, however many identities there are. A
// million of them leave it all but exact, ten million have it say "perhaps" to one in
// five that it never saw, a hundred million to all.
const filterBits = 1 << 25

// filter remembers the identities that were sent, so that the checkpoint need not be
// asked for one that never was: a Bloom filter of two probes. It says "perhaps" too
// often and "never" never wrongly. Its memory is taken page by page as it fills.
type filter struct{ words [filterBits / 64]uint64 }

func (f *filter) add(identity checkpoint.Hash) {
	for _, bit := range probes(identity) {
		f.words[bit/64] |= 1 << (bit % 64)
	}
}

// perhaps reports whether an identity may have been added.
func (f *filter) perhaps(identity checkpoint.Hash) bool {
	for _, bit := range probes(identity) {
		if f.words[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// probes are two places of an identity, which is a keyed hash already.
func probes(identity checkpoint.Hash) [2]uint32 {
	return [2]uint32{binary.LittleEndian.Uint32(identity[1:]) % filterBits, binary.LittleEndian.Uint32(identity[5:]) % filterBits}
}

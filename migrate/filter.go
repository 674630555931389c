package migrate

import (
	"encoding/binary"

	"tokenmigrate/checkpoint"
)

// filterBlocks is the size of a filter, in blocks of 64 bytes: 4 MiB, however many
// identities there are. A million of them leave it all but exact, ten million have it
// say "perhaps" to one in five that it never saw, a hundred million to all.
const filterBlocks = 1 << 16

// filter remembers the identities that were sent, so that the checkpoint need not be
// asked for one that never was: a Bloom filter of two probes, both in one block, which
// is what a processor fetches at once. It says "perhaps" too often and "never" never
// wrongly.
type filter [filterBlocks]block

type block [8]uint64

func (f *filter) add(identity checkpoint.Hash) {
	b, first, second := f.probes(identity)
	b[first/64] |= 1 << (first % 64)
	b[second/64] |= 1 << (second % 64)
}

// perhaps reports whether an identity may have been added.
func (f *filter) perhaps(identity checkpoint.Hash) bool {
	b, first, second := f.probes(identity)
	return b[first/64]&(1<<(first%64)) != 0 && b[second/64]&(1<<(second%64)) != 0
}

// probes returns the block of an identity, which is a keyed hash already, and two of
// the block's bits.
func (f *filter) probes(identity checkpoint.Hash) (b *block, first, second uint16) {
	b = &f[binary.LittleEndian.Uint32(identity[1:])%filterBlocks]
	return b, binary.LittleEndian.Uint16(identity[5:]) % 512, binary.LittleEndian.Uint16(identity[7:]) % 512
}

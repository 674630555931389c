package migrate

import (
	"encoding/binary"

	"tokenmigrate/checkpoint"
)

// seen are the claims of a dry run, in which nothing is recorded: all identities
// that would be sent, as a set of 8 bytes each. Two of a hundred million differ
// and share these 8 bytes with a probability of 1 in 4,000.
//
// It is many small tables, so that growing one never needs the room of all twice.
type seen struct{ parts [seenParts]seenPart }

const seenParts = 256

// seenPart is a hash table with open addressing; a slot of 0 is free.
type seenPart struct {
	slots []uint64
	n     int
}

func newSeen() *seen { return new(seen) }

func (s *seen) owner(identity checkpoint.Hash) (string, bool) {
	h := short(identity)
	_, found := s.part(h).find(h)
	return "", found
}

func (s *seen) claim(identity checkpoint.Hash, _ string) {
	h := short(identity)
	p := s.part(h)
	if p.n*8 >= len(p.slots)*7 {
		p.grow()
	}
	if i, found := p.find(h); !found {
		p.slots[i] = h
		p.n++
	}
}

// release does nothing: what a dry run has seen stays seen.
func (s *seen) release(checkpoint.Hash, string) {}

func (s *seen) part(h uint64) *seenPart { return &s.parts[h%seenParts] }

// find returns the slot of h, or the free one where it belongs (-1 in a table
// without slots).
func (p *seenPart) find(h uint64) (slot int, found bool) {
	if len(p.slots) == 0 {
		return -1, false
	}
	for i := int(h / seenParts % uint64(len(p.slots))); ; i++ {
		if i == len(p.slots) {
			i = 0
		}
		switch p.slots[i] {
		case h:
			return i, true
		case 0:
			return i, false
		}
	}
}

// bytes returns the memory that the set takes.
func (s *seen) bytes() (n int64) {
	for i := range s.parts {
		n += 8 * int64(len(s.parts[i].slots))
	}
	return n
}

// grow makes room by half.
func (p *seenPart) grow() {
	old := p.slots
	p.slots = make([]uint64, max(16, len(old)*3/2))
	for _, h := range old {
		if h != 0 {
			i, _ := p.find(h)
			p.slots[i] = h
		}
	}
}

// short takes 8 bytes of an identity's hash, never zero.
func short(identity checkpoint.Hash) uint64 {
	return max(binary.LittleEndian.Uint64(identity[1:9]), 1)
}

package migrate

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"tokenmigrate/checkpoint"
)

func TestSeen_IsASet(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 7))
	s, want := newSeen(), map[checkpoint.Hash]bool{}
	hash := func(n uint64) checkpoint.Hash {
		h := checkpoint.Hash{hashVersion}
		binary.LittleEndian.PutUint64(h[1:], n)
		return h
	}
	numbers := []uint64{1, 2, 255, 256, 257, 511, 512, 1<<64 - 1, 1<<64 - 256} // neighbours, and what wraps around
	for range 50_000 {
		numbers = append(numbers, rnd.Uint64())
	}
	for i := range uint64(5000) { // all in one part
		numbers = append(numbers, i*seenParts+3)
	}
	for i, n := range numbers {
		h := hash(n)
		if key, claimed := s.owner(h); claimed != want[h] || key != "" {
			t.Fatalf("number %d (%#x): got claimed %t by %q before its claim, want %t by nobody it would name", i, n, claimed, key, want[h])
		}
		s.claim(h, "key")
		s.claim(h, "another")
		want[h] = true
		s.release(h, "key")
	}
	for h := range want {
		if _, claimed := s.owner(h); !claimed {
			t.Fatalf("%x was claimed and is not there", h)
		}
	}
	for range 50_000 {
		h := hash(rnd.Uint64())
		if _, claimed := s.owner(h); claimed != want[h] {
			t.Fatalf("%x: got claimed %t, want %t", h, claimed, want[h])
		}
	}
	n, slots := 0, 0
	for i := range s.parts {
		n += s.parts[i].n
		slots += len(s.parts[i].slots)
		if p := &s.parts[i]; p.n >= len(p.slots) {
			t.Errorf("part %d is full: %d of %d", i, p.n, len(p.slots))
		}
	}
	if n != len(want) {
		t.Errorf("got %d members, want %d", n, len(want))
	}
	if slots > 2*n {
		t.Errorf("got %d slots for %d members, want at most two each: 16 bytes a row", slots, n)
	}
}

func TestSeen_HoldsTheZeroHash(t *testing.T) {
	t.Parallel()
	s := newSeen()
	var zero checkpoint.Hash
	s.claim(checkpoint.Hash{0, 0, 7}, "k") // of the same part, which then has free slots
	if _, claimed := s.owner(zero); claimed {
		t.Error("a set without the zero hash holds it: a free slot is taken for it")
	}
	s.claim(zero, "k")
	if _, claimed := s.owner(zero); !claimed {
		t.Error("the zero hash was claimed and is not there")
	}
	if _, claimed := s.owner(checkpoint.Hash{0, 7}); claimed {
		t.Error("another hash is there too")
	}
}

func TestSeen_GrowsByLittle(t *testing.T) {
	t.Parallel()
	var p seenPart
	for n := range 10_000 {
		if p.n*8 >= len(p.slots)*7 {
			p.grow()
		}
		i, found := p.find(uint64(n+1) * seenParts)
		if found {
			t.Fatalf("number %d is there before it was put in", n)
		}
		p.slots[i] = uint64(n+1) * seenParts
		p.n++
		if len(p.slots) > max(16, 2*p.n) {
			t.Fatalf("got %d slots for %d members, want at most two each", len(p.slots), p.n)
		}
	}
}

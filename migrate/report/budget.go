package report

import (
	"fmt"
	"strings"
)

// budget is how the calls were spent that the pace allowed.
type budget struct{ Allowed, Full, Wasted int64 }

// budget returns how the allowed calls were spent; false: that was not counted,
// as by earlier versions of the program.
func (c *Calls) budget() (budget, bool) {
	// Those that were counted as full or wasted were allowed, too.
	b := budget{max(c.Allowed, c.Made, c.Full, c.Wasted), c.Full, c.Wasted}
	return b, b.Allowed > 0 && c.Allowed+c.Full+c.Wasted > 0
}

// words tells it: "366 of 373 allowed calls (98.1%) carried a full chunk, and 15
// (4.0%) brought no outcome".
func (b budget) words() string {
	wasted := "none was wasted"
	if b.Wasted > 0 {
		wasted = fmt.Sprintf("%s (%s) brought no outcome", number(b.Wasted), share(b.Wasted, b.Allowed))
	}
	return fmt.Sprintf("%s of %s (%s) carried a full chunk, and %s", number(b.Full), count(b.Allowed, "allowed call"), share(b.Full, b.Allowed), wasted)
}

// chunkWords says what the number of tokens a call does to the time.
func (r *Report) chunkWords() string {
	p := r.Projection
	words := []string{"Chunk size is what decides the time: the endpoint counts calls, not the tokens in them."}
	if p.Calls <= 0 || len(p.ByChunkTokens) == 0 {
		return words[0]
	}
	best, larger := p.ByChunkTokens[0], false
	for _, by := range p.ByChunkTokens {
		if by.Seconds < best.Seconds {
			best = by
		}
		larger = larger || by.ChunkTokens > p.ChunkTokens
	}
	if carried := r.Counts.Pending / p.Calls; carried > 0 && carried*10 < int64(p.ChunkTokens)*9 {
		words = append(words, fmt.Sprintf("A call would carry about %s and not %s: send.chunk_bytes fills it first, or a connector has no more.", count(carried, "token"), number(int64(p.ChunkTokens))))
	}
	switch {
	case best.Calls < p.Calls && best.Seconds < p.Seconds:
		words = append(words, fmt.Sprintf("With send.chunk_tokens at %d it would be about %s, if the endpoint takes as many.", best.ChunkTokens, duration(best.Seconds)))
	case larger:
		words = append(words, "A larger send.chunk_tokens would change nothing.")
	}
	return strings.Join(words, " ")
}

package migrate

import (
	"slices"
	"strings"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
)

// chunk is the tokens of one import call, all of one connector, no two of one
// identity.
type chunk struct {
	connector string
	items     []*item
	bytes     int       // of the request body
	oldest    time.Time // when its oldest row was read
	full      bool      // it has as many tokens or bytes as a call may carry

	lost      int   // answers lost in a row, its forebears' included
	attempts  int   // of these, lost while others succeeded
	since     int64 // calls answered when the first of them was lost
	successes int64 // likewise, the last
	silent    int   // answers in a row that named none of its tokens
	heard     int64 // answers of the run that had named any when the first of these came; -1: of no account
	tooLarge  *int  // of a half: how many of both halves the endpoint found too large
}

// chunker keeps one open chunk per connector and closes it when it is full. The
// dry run and the run share it, so that the one foresees the other's calls.
type chunker struct {
	maxTokens int
	maxBytes  int
	open      map[string]*openChunk
}

type openChunk struct {
	chunk
	identities map[checkpoint.Hash]struct{}
}

func newChunker(maxTokens, maxBytes int) *chunker {
	return &chunker{maxTokens: maxTokens, maxBytes: maxBytes, open: make(map[string]*openChunk)}
}

// add puts an item into its connector's open chunk and returns the chunk that
// this closed, or nil. An item that alone is larger than maxBytes must not be
// added.
func (c *chunker) add(it *item, readAt time.Time) *chunk {
	o := c.open[it.connector]
	var closed *chunk
	if o != nil && !o.fits(it, c.maxTokens, c.maxBytes) {
		_, apart := o.identities[it.identity]
		o.full = !apart
		closed, o = &o.chunk, nil
	}
	if o == nil {
		o = &openChunk{
			chunk:      chunk{connector: it.connector, bytes: connect.BodyOverhead - connect.TokenOverhead, oldest: readAt},
			identities: make(map[checkpoint.Hash]struct{}),
		}
		c.open[it.connector] = o
	}
	o.items = append(o.items, it)
	o.identities[it.identity] = struct{}{}
	o.bytes += connect.TokenOverhead + it.size
	if closed == nil && len(o.items) >= c.maxTokens {
		o.full = true
		closed = &o.chunk
		delete(c.open, it.connector)
	}
	return closed
}

// fits tells whether an item may join: there is room, and the answer could tell
// it from the others.
func (o *openChunk) fits(it *item, maxTokens, maxBytes int) bool {
	_, same := o.identities[it.identity]
	return !same && len(o.items) < maxTokens && o.bytes+connect.TokenOverhead+it.size <= maxBytes
}

// flush closes all open chunks, by the names of their connectors.
func (c *chunker) flush() []*chunk {
	chunks := make([]*chunk, 0, len(c.open))
	for _, o := range c.open {
		chunks = append(chunks, &o.chunk)
	}
	clear(c.open)
	slices.SortFunc(chunks, func(a, b *chunk) int { return strings.Compare(a.connector, b.connector) })
	return chunks
}

// with returns a chunk of other items that has this one's history.
func (c *chunk) with(items []*item) *chunk {
	d := *c
	d.items = items
	d.full = c.full && len(items) == len(c.items)
	d.bytes = connect.BodyOverhead - connect.TokenOverhead
	for _, it := range items {
		d.bytes += connect.TokenOverhead + it.size
	}
	return &d
}

// contest marks the items of the given keys: another shard has claimed their
// identities.
func (c *chunk) contest(keys []string) {
	for _, it := range c.items {
		it.contested = it.contested || slices.Contains(keys, it.key)
	}
}

// contested tells that some of the items have to be judged anew.
func (c *chunk) contested() bool {
	return slices.ContainsFunc(c.items, func(it *item) bool { return it.contested })
}

// halve returns the chunk's two halves; it must have two items or more.
func (c *chunk) halve() []*chunk {
	n := len(c.items) / 2
	return []*chunk{c.with(c.items[:n:n]), c.with(c.items[n:])}
}

// lose notes a lost answer; answered is the number of calls that were answered
// in this run so far.
func (c *chunk) lose(answered int64) {
	if c.lost == 0 {
		c.since = answered
	}
	if c.lost == 0 || answered > c.successes {
		c.attempts++
	}
	c.lost++
	c.successes = answered
}

// suspect tells that one of the chunk's tokens may be what makes answers get
// lost, so that it is worth to halve it.
func (c *chunk) suspect(maxAttempts int) bool {
	return c.attempts >= min(3, maxAttempts) || c.lost%3 == 0
}

// spent tells that a token that stands alone has used its attempts up: others
// succeeded meanwhile, or the endpoint seems down, but was not while this token
// already failed.
func (c *chunk) spent(maxAttempts int, down bool) bool {
	return c.attempts >= maxAttempts || down && c.lost >= maxAttempts && c.successes > c.since
}

// tokens returns the chunk's tokens as the call takes them.
func (c *chunk) tokens() []connect.Token {
	out := make([]connect.Token, len(c.items))
	for i, it := range c.items {
		out[i] = it.token
	}
	return out
}

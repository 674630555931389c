package migrate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
)

func (c *chunk) keys() string {
	var keys []string
	for _, it := range c.items {
		keys = append(keys, it.key)
	}
	return strings.Join(keys, " ")
}

// pack adds items and returns the keys of the chunks in the order they close,
// after a bar those that the flush closes.
func pack(c *chunker, items ...*item) []string {
	var out []string
	for _, it := range items {
		if full := c.add(it, noon); full != nil {
			out = append(out, full.keys())
		}
	}
	out = append(out, "|")
	for _, left := range c.flush() {
		out = append(out, left.keys())
	}
	return out
}

func TestChunker_Packs(t *testing.T) {
	t.Parallel()
	const room = 100
	full := room - connect.BodyOverhead // of one token alone
	it := func(n, size int) *item { return numberedItem(slack, n, size) }
	other := func(n int) *item { return numberedItem("github", n, 1) }
	twin := func(n int, of *item) *item {
		it := it(n, 1)
		it.identity = of.identity
		return it
	}
	for _, c := range []struct {
		name  string
		max   int
		items []*item
		want  []string
	}{
		{"nothing", 3, nil, []string{"|"}},
		{"less than one", 3, []*item{it(1, 1), it(2, 1)}, []string{"|", "1 2"}},
		{"exactly one closes at once", 3, []*item{it(1, 1), it(2, 1), it(3, 1)}, []string{"1 2 3", "|"}},
		{"one more", 3, []*item{it(1, 1), it(2, 1), it(3, 1), it(4, 1)}, []string{"1 2 3", "|", "4"}},
		{"one by one", 1, []*item{it(1, 1), it(2, 1)}, []string{"1", "2", "|"}},
		{"bytes: both just fit", 9, []*item{it(1, 40), it(2, full-40-connect.TokenOverhead), it(3, 1)}, []string{"1 2", "|", "3"}},
		{"bytes: one over", 9, []*item{it(1, 40), it(2, full-40-connect.TokenOverhead+1)}, []string{"1", "|", "2"}},
		{"bytes: one that fills alone", 9, []*item{it(1, full), it(2, full), it(3, 1)}, []string{"1", "2", "|", "3"}},
		{"bytes: full by both at once", 2, []*item{it(1, 40), it(2, 40), it(3, 40)}, []string{"1 2", "|", "3"}},
		{"one open chunk a connector", 2, []*item{it(1, 1), other(2), it(3, 1), other(4), other(5)}, []string{"1 3", "2 4", "|", "5"}},
		{"flushed by the connectors' names", 9, []*item{it(1, 1), other(2)}, []string{"|", "2", "1"}},
		{"one identity twice never shares", 9, []*item{it(1, 1), it(2, 1), twin(3, it(1, 1)), it(4, 1)}, []string{"1 2", "|", "3 4"}},
		{"one identity thrice", 9, []*item{it(1, 1), twin(2, it(1, 1)), twin(3, it(1, 1))}, []string{"1", "2", "|", "3"}},
		{"an identity is free again in the next chunk", 2, []*item{it(1, 1), it(2, 1), twin(3, it(1, 1)), twin(4, it(2, 1))}, []string{"1 2", "3 4", "|"}},
	} {
		if got := pack(newChunker(c.max, room), c.items...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestChunker_LoweredCeilingClosesAnOpenChunk(t *testing.T) {
	t.Parallel()
	c := newChunker(10, 1<<20)
	for n := range 5 {
		c.add(numberedItem(slack, n, 1), noon)
	}
	c.maxTokens = 2
	var got []string
	for n := 5; n < 9; n++ {
		if full := c.add(numberedItem(slack, n, 1), noon); full != nil {
			got = append(got, full.keys())
		}
	}
	for _, left := range c.flush() {
		got = append(got, left.keys())
	}
	// The chunk that was open is larger than the new ceiling; whoever sends it halves it.
	if want := []string{"0 1 2 3 4", "5 6", "7 8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestChunker_FlushLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newChunker(10, 1<<20)
	c.add(numberedItem(slack, 1, 1), noon)
	c.flush()
	if left := c.flush(); len(left) != 0 {
		t.Errorf("got %d chunks from the second flush, want none", len(left))
	}
}

func TestChunker_KeepsTheOldestReading(t *testing.T) {
	t.Parallel()
	c := newChunker(3, 1<<20)
	c.add(numberedItem(slack, 1, 1), noon)
	c.add(numberedItem(slack, 2, 1), noon.Add(time.Minute))
	if got := c.flush()[0].oldest; !got.Equal(noon) {
		t.Errorf("got %v, want that of the first row, %v", got, noon)
	}
}

// Over random tokens: the bytes that are counted are the bytes of the body, no
// bound is passed, nothing is lost or doubled, and no chunk could have been
// larger.
func TestChunker_CountsTheBodyExactly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		maxTokens, maxBytes := 1+rnd.IntN(12), 600+rnd.IntN(4000)
		c := newChunker(maxTokens, maxBytes)
		var chunks []*chunk
		var sent []*item
		for n := range 100 {
			row := userRow(fmt.Sprint(n), fmt.Sprintf("user-%d-\"\\\n<é>", rnd.IntN(60)))
			row.Token.Name = strings.Repeat("n", rnd.IntN(200))
			row.Connector = fmt.Sprintf("c%d", rnd.IntN(3))
			it := itemOf(row)
			sent = append(sent, it)
			if full := c.add(it, noon); full != nil {
				chunks = append(chunks, full)
			}
		}
		chunks = append(chunks, c.flush()...)
		last := map[string]*chunk{}
		var got []*item
		for _, k := range chunks {
			got = append(got, k.items...)
			body := len(connect.AppendBody(nil, k.tokens()))
			if k.bytes != body || body > maxBytes || len(k.items) > maxTokens || len(k.items) == 0 {
				t.Fatalf("seed %d: a chunk of %d tokens and %d bytes counted as %d, want at most %d and %d, and the bytes exact", seed, len(k.items), body, k.bytes, maxTokens, maxBytes)
			}
			identities := map[checkpoint.Hash]bool{}
			for _, it := range k.items {
				if identities[it.identity] || it.connector != k.connector {
					t.Fatalf("seed %d: key %s shares a chunk of %s with its like, or is not of it", seed, it.key, k.connector)
				}
				identities[it.identity] = true
			}
			if p := last[k.connector]; p != nil {
				next := k.items[0]
				same := slices.ContainsFunc(p.items, func(it *item) bool { return it.identity == next.identity })
				if len(p.items) < maxTokens && p.bytes+connect.TokenOverhead+next.size <= maxBytes && !same {
					t.Fatalf("seed %d: a chunk was closed although key %s had room in it", seed, next.key)
				}
			}
			last[k.connector] = k
		}
		byKey := func(a, b *item) int { return strings.Compare(a.key, b.key) }
		slices.SortFunc(got, byKey)
		slices.SortFunc(sent, byKey)
		if !slices.Equal(got, sent) {
			t.Fatalf("seed %d: got %d items out of the chunks, want the %d that went in, each once", seed, len(got), len(sent))
		}
	}
}

func TestChunk_HalvesToSingles(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 33; n++ {
		c := &chunk{connector: slack, oldest: noon, lost: 2, silent: 1}
		for i := range n {
			c.items = append(c.items, itemOf(userRow(fmt.Sprint(i), fmt.Sprint(i))))
		}
		want := c.keys()
		halves := c.halve()
		if len(halves) != 2 || halves[0].keys()+" "+halves[1].keys() != want {
			t.Fatalf("%d tokens: got %q and %q, want %q in two", n, halves[0].keys(), halves[1].keys(), want)
		}
		for _, h := range halves {
			if d := len(h.items) - n/2; d < 0 || d > 1 {
				t.Errorf("%d tokens: got a half of %d", n, len(h.items))
			}
			if body := len(connect.AppendBody(nil, h.tokens())); h.bytes != body {
				t.Errorf("%d tokens: a half counts %d bytes, want %d", n, h.bytes, body)
			}
			if h.connector != slack || h.lost != 2 || h.silent != 1 || !h.oldest.Equal(noon) {
				t.Errorf("%d tokens: a half lost the chunk's history: %+v", n, h)
			}
		}
		// A half that grows must not write into its sibling.
		first := halves[1].items[0]
		_ = append(halves[0].items, numberedItem(slack, 99, 1))
		if halves[1].items[0] != first {
			t.Errorf("%d tokens: the halves share room", n)
		}
	}
}

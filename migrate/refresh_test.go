package migrate

import (
	"context"
	"testing"
	"time"

	"tokenmigrate/source"
)

// slowRows takes a while for each row that is read again.
type slowRows struct {
	*memory
	each time.Duration
	now  *time.Time
}

func (s slowRows) Rows(ctx context.Context, keys []string) ([]source.Row, error) {
	*s.now = s.now.Add(time.Duration(len(keys)) * s.each)
	return s.memory.Rows(ctx, keys)
}

// Rows of a cipher so slow that a chunk of them is old once it is read again are sent
// in smaller chunks, and not read again for ever.
func TestAttempt_HalvesWhatTakesTooLongToReadAgain(t *testing.T) {
	t.Parallel()
	const each, most = time.Second, int(maxAge / time.Second)
	m, now := newMemory(), noon
	p := testPass(&Options{RequestsPerMinute: 1e6, ChunkTokens: 100, ChunkBytes: 1 << 20}, m, nil, 1)
	p.now = func() time.Time { return now }
	p.rereads = slowRows{m, each, &now}
	p.tenure = &tenure{now: time.Now, until: time.Now().Add(time.Hour)}
	c := &chunk{connector: slack, oldest: noon.Add(-time.Hour)}
	for _, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		for _, m10 := range []string{"0", "1", "2", "3", "4", "5", "6", "7"} {
			row := userRow(n+m10, "u"+n+m10)
			m.rows[row.Key] = row
			c.items = append(c.items, itemOf(row))
			c.items[len(c.items)-1].standing = standing{outcome: pending}
		}
	}
	p.judge.hash = testHasher()
	small := 0
	for queue := []*chunk{c}; len(queue) > 0; queue = queue[1:] {
		if len(queue[0].items) <= most {
			small += len(queue[0].items)
			continue
		}
		more, err := p.attempt(t.Context(), queue[0])
		if err != nil || len(more) != 2 {
			t.Fatalf("of %d tokens: got %d chunks, %v, want two halves", len(queue[0].items), len(more), err)
		}
		queue = append(queue, more...)
	}
	if small != len(c.items) {
		t.Errorf("%d of %d tokens are left in chunks that can be sent", small, len(c.items))
	}
	if _, calls := p.ledger.current(); calls.Made != 0 || calls.Allowed != calls.Wasted {
		t.Errorf("got %+v, want that each permit was wasted", calls)
	}
}

package migrate

import (
	"context"
	"fmt"
	"time"

	"tokenmigrate/source"
)

// Ending is how a row ends before any call: an outcome and its reason. The zero
// Ending is that of a row that would be sent.
type Ending struct{ Outcome, Reason string }

// Preview tells what a first run would make of these rows, read in this order and
// no others: it knows of no checkpoint. Of o it looks at Policy and ChunkBytes
// alone.
func Preview(ctx context.Context, o Options, rows []source.Row) ([]Ending, error) {
	j := &judge{policy: o.Policy, maxBytes: o.ChunkBytes, known: nothingKnown{}, now: time.Now, hash: newHasher(nil, ""), claims: claimMap{}}
	rulings, err := j.rows(ctx, rows, j.hash.marks(rows), nothingKnown{}.byKey)
	if err != nil {
		return nil, fmt.Errorf("judge a sample: %w", err)
	}
	endings := make([]Ending, len(rulings))
	for i, r := range rulings {
		if r.ended.outcome != pending {
			endings[i] = Ending{string(r.ended.outcome), r.ended.reason}
		}
	}
	return endings, nil
}

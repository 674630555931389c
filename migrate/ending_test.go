package migrate

import (
	"errors"
	"testing"

	"tokenmigrate/checkpoint"
)

// policy.max_failed is of the migration: a shard alone has too much only where that is
// too much for all of them.
func TestJudgeEnd_OfOneShardOfSeveral(t *testing.T) {
	t.Parallel()
	onePercent := func(rows int64) int64 { return rows / 100 }
	three := func(int64) int64 { return 3 }
	for _, c := range []struct {
		name    string
		shards  int
		allowed func(rows int64) int64
		bad     int64
		tooMany bool
	}{
		{"a share, all in one", 1, onePercent, 2, true},
		{"a share of all four", 4, onePercent, 4, false},
		{"more than that", 4, onePercent, 5, true},
		{"a number", 4, three, 3, false},
		{"more than that number", 4, three, 4, true},
	} {
		p := testPass(&Options{Shards: c.shards, Policy: Policy{MaxFailed: c.allowed}}, newMemory(), nil, 1)
		at := place{Connector: slack, Environment: "production"}
		p.ledger.apply(moves{
			{at, standing{}, standing{checkpoint.Imported, ""}, 100 - c.bad},
			{at, standing{}, standing{checkpoint.Failed, reasonRefused}, c.bad},
		}, false)
		if err := p.judgeEnd(false); errors.Is(err, ErrNotImported) != c.tooMany {
			t.Errorf("%s: got %v, want too many: %v", c.name, err, c.tooMany)
		}
	}
}

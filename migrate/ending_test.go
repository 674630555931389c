package migrate

import (
	"context"
	"errors"
	"testing"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect/sandbox"
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

// The last of several shards says what is too much of all together, but for a signal
// that came meanwhile: then nothing but "stopped" may be returned.
func TestRun_TheLastShardJudgesAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		signaled bool
		want     error
	}{{"undisturbed", false, ErrNotImported}, {"stopped as it ends", true, ErrStopped}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newNetwork(t, 40, sandbox.Options{RefuseSubjects: []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}})
			w.o.Policy.MaxFailed = func(int64) int64 { return 9 }
			w.o.Policy.StopAfterFailures = 2
			w.o.Shards, w.source.Shards = 2, 2
			if _, err := w.run(t.Context(), t.Context()); err != nil {
				t.Fatalf("the first shard: %v", err)
			}
			w.o.Shard, w.source.Shard = 1, 1
			drain, stop := context.WithCancel(t.Context())
			defer stop()
			code := w.o.ExitCode
			w.o.ExitCode = func(err error) int { // it is asked for when all is done
				if c.signaled {
					stop()
				}
				return code(err)
			}
			r, err := w.run(drain, t.Context())
			if !errors.Is(err, c.want) || c.signaled != errors.Is(err, ErrStopped) || !r.LastShard || *r.ExitCode != code(err) {
				t.Errorf("got %v with the exit code %d, the last shard: %v; want %v", err, *r.ExitCode, r.LastShard, c.want)
			}
		})
	}
}

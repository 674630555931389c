package migrate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// A token's identity is claimed until the checkpoint tells of the token: another row
// of that identity would else be sent while the transaction is under way. Then nothing
// is claimed any more, however many tokens there were.
func TestEnd_ReleasesClaimsOnceRecorded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*pass, *chunk, uuid.UUID, []checkpoint.Ending) error{"end": (*pass).end, "endSoon": (*pass).endSoon} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				commit := make(chan struct{})
				w := &ledgerWriter{record: func(context.Context, int, checkpoint.Batch) (checkpoint.Recorded, error) {
					<-commit
					return checkpoint.Recorded{}, nil
				}}
				p := testPass(&Options{ChunkBytes: 1 << 20}, newMemory(), nil, 1)
				p.judge.claims = claimMap{}
				p.recorder = newRecorder(w, checkpoint.Lease{}, 1, p.ledger, p.kept, p.waitingFor, p.wait, p.log)
				ctx, cancel := context.WithCancel(t.Context())
				var g *errgroup.Group
				g, ctx = errgroup.WithContext(ctx)
				p.walking = g
				var recording errgroup.Group
				recording.Go(func() error { return p.recorder.serve(ctx) })
				judged := func(key string) ruling {
					t.Helper()
					rulings, err := p.judgeAgain(ctx, []source.Row{userRow(key, "ada")})
					if err != nil {
						t.Fatal(err)
					}
					return rulings[0]
				}

				first := judged("1")
				if first.item == nil {
					t.Fatalf("got %+v, want the first row to be sent", first)
				}
				c := &chunk{connector: slack, items: []*item{first.item}}
				g.Go(func() error {
					return end(p, c, uuid.New(), []checkpoint.Ending{{Sent: first.item.asSent(), Outcome: checkpoint.Imported, Succeeded: new(true)}})
				})
				synctest.Wait()
				if r := judged("2"); r.ended != (standing{checkpoint.Invalid, reasonDuplicate}) || r.owner != "1" {
					t.Errorf("while it is recorded: got %+v, want a duplicate of 1", r)
				}
				close(commit)
				synctest.Wait()
				if claims := p.judge.claims.(claimMap); len(claims) != 0 {
					t.Errorf("once it is recorded: got the claims %v, want none", claims)
				}
				cancel()
				_, _ = g.Wait(), recording.Wait()
			})
		})
	}
}

// A token whose call told nothing of it is claimed as long as it is to be sent again:
// its row may vanish, and another of its identity must not be sent in between, which
// the repeated call would overwrite.
func TestUnknown_KeepsItsClaimUntilItIsLetGo(t *testing.T) {
	t.Parallel()
	inDoubt := func(p *pass, c *chunk) ([]*chunk, error) { return p.inDoubt(c, uuid.New(), verdict{}) }
	unnamed := func(p *pass, c *chunk) ([]*chunk, error) {
		return p.recordAnswer(c, uuid.New(), matching{succeeded: make([]*bool, len(c.items))})
	}
	for name, c := range map[string]struct {
		policy InDoubt
		answer func(*pass, *chunk) ([]*chunk, error)
		times  int // that it happens before nothing is left to be sent
	}{
		"in doubt, send":  {InDoubtSend, inDoubt, 3},
		"in doubt, fresh": {InDoubtFresh, inDoubt, 3},
		"in doubt, hold":  {InDoubtHold, inDoubt, 1},
		"unnamed":         {InDoubtSend, unnamed, maxSilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := testPass(&Options{ChunkBytes: 1 << 20, MaxAttempts: 3, OutageWait: time.Hour, Policy: Policy{InDoubt: c.policy, StopAfterFailures: 2}}, newMemory(), nil, 1)
				p.judge.claims = claimMap{}
				p.recorder = newRecorder(&ledgerWriter{record: func(context.Context, int, checkpoint.Batch) (checkpoint.Recorded, error) {
					return checkpoint.Recorded{}, nil
				}}, checkpoint.Lease{}, 1, p.ledger, p.kept, p.waitingFor, p.wait, p.log)
				ctx, cancel := context.WithCancel(t.Context())
				var recording errgroup.Group
				recording.Go(func() error { return p.recorder.serve(ctx) })
				defer func() {
					cancel()
					_ = recording.Wait()
				}()
				rulings, err := p.judgeAgain(ctx, []source.Row{userRow("1", "ada")})
				if err != nil || rulings[0].item == nil {
					t.Fatalf("got %+v and %v, want the row to be sent", rulings, err)
				}
				left := []*chunk{{connector: slack, items: []*item{rulings[0].item}}}
				for n := range c.times {
					p.health.answered() // others are
					if left, err = c.answer(p, left[0]); err != nil {
						t.Fatal(err)
					}
					key, claimed := p.judge.claims.owner(rulings[0].item.identity)
					if last := n+1 == c.times; (len(left) == 0) != last || claimed == last || claimed && key != "1" {
						t.Fatalf("after %d of %d answers: %d chunks are left, the identity is claimed: %t (key %q)", n+1, c.times, len(left), claimed, key)
					}
				}
			})
		})
	}
}

package checkpoint

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/localpg/bouncer"
)

// Every statement may meet another server connection: nothing of a session is
// left from the one before.
func TestStore_ThroughPgBouncer(t *testing.T) {
	t.Parallel()
	s := openStore(t, bouncer.Start(t, localpg.Database(t), "transaction", 2), testSchema)
	must(t, s.Migrate(t.Context()))
	must(t, s.Ready(t.Context()))
	b := begin(t, s, "acme-slack", "first")
	const workers, rounds = 8, 10
	g, ctx := errgroup.WithContext(t.Context())
	for w := range workers {
		g.Go(func() error {
			for r := range rounds {
				a, n := imported(fmt.Sprintf("%d-%d-a", w, r)), refused(fmt.Sprintf("%d-%d-b", w, r))
				in := intent(a, n)
				if _, err := s.Record(ctx, b.lease, b.run, Batch{Intents: []Intent{in}}); err != nil {
					return err
				}
				out, err := s.Record(ctx, b.lease, b.run, Batch{
					Answers: []Answer{answer(in, a, n)}, Counts: []byte(`{}`),
					Locals: []Local{{Key: fmt.Sprintf("%d-%d-l", w, r), Outcome: Skipped, Reason: "expired"}},
				})
				if err != nil {
					return err
				}
				if out.LeaseLost || out.Settled != nil {
					return fmt.Errorf("worker %d: got %+v, want nothing to tell", w, out)
				}
				priors, err := s.Priors(ctx, b.lease.Migration, []Asked{{Key: a.Key}, {Key: n.Key}})
				if err != nil || priors[0].Outcome != Imported || priors[1].Outcome == "" {
					return fmt.Errorf("worker %d: Priors: got %v, %w", w, priors, err)
				}
				if owners, err := s.Owners(ctx, b.lease.Migration, []Hash{a.Identity}); err != nil || len(owners.Sent) == 0 {
					return fmt.Errorf("worker %d: Owners: got %v, %w", w, owners, err)
				}
				if err := s.Renew(ctx, b.lease); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, g.Wait())
	totals, err := s.Totals(t.Context(), b.lease.Migration)
	if err != nil || totals[Imported] != workers*rounds || totals[Failed] != workers*rounds || totals[Skipped] != workers*rounds {
		t.Errorf("Totals: got %v, %v, want %d of each", totals, err, workers*rounds)
	}
	left := intent(imported("left"))
	left.Settle = 0
	b.record(Batch{Intents: []Intent{left}})
	next := b.takeOver("second")
	if got, err := next.Unsettled(t.Context(), next.lease, next.run); err != nil || len(got) != 1 {
		t.Errorf("Unsettled: got %v, %v, want one", got, err)
	}
	if got, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{left.ID}); err != nil || len(got) != 1 {
		t.Errorf("Settle: got %v, %v, want one", got, err)
	}
	seen := 0
	must(t, s.Failures(t.Context(), b.lease.Migration, Filter{}, func(Failure) error { seen++; return nil }))
	if seen != 2*workers*rounds+1 {
		t.Errorf("Failures: got %d, want %d", seen, 2*workers*rounds+1)
	}
	finish(t, next, next.run, 0, []byte(`{}`), "")
	must(t, next.Release(t.Context(), next.lease))
}

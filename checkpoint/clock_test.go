package checkpoint

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// setBack sets the database's clock back by a day, as far as the checkpoint
// can tell: everything in it was written a day later than now.
func setBack(t *testing.T, s *Store) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE {schema}.leases SET expires_at = expires_at + interval '1 day'`,
		`UPDATE {schema}.calls SET started_at = started_at + interval '1 day', settle_after = settle_after + interval '1 day'`,
		`UPDATE {schema}.tokens SET updated_at = updated_at + interval '1 day', imported_at = imported_at + interval '1 day'`,
		`UPDATE {schema}.paces SET next_at = next_at + interval '1 day', paused_until = paused_until + interval '1 day'`,
	} {
		execute(t, s, sql)
	}
}

// A dead worker's lease does not outlast LeaseTTL because the clock was set
// back, and a living one's is not lost by that.
func TestAcquire_TheClockWasSetBack(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	first, err := take(t.Context(), s, "first")
	must(t, err)
	setBack(t, s)
	var held *HeldError
	if _, err := take(t.Context(), s, "second"); !errors.As(err, &held) || held.Expires > LeaseTTL || held.Expires < LeaseTTL-10*time.Second {
		t.Errorf("got %v, want a *HeldError for nearly %v", err, LeaseTTL)
	}
	equal(t, "the lease holds", lines(t, s,
		`SELECT (expires_at - clock_timestamp() BETWEEN interval '5s' AND interval '30s')::text FROM {schema}.leases`), "true")
	must(t, s.Renew(t.Context(), first))
	lapse(t, s)
	_, err = take(t.Context(), s, "second")
	must(t, err)
}

// A clock that was set forward costs a living worker its lease only where
// another one takes it.
func TestRenew_TheClockWasSetForward(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	first, err := take(t.Context(), s, "first")
	must(t, err)
	execute(t, s, `UPDATE {schema}.leases SET expires_at = expires_at - interval '1 day'`)
	must(t, s.Renew(t.Context(), first))
	execute(t, s, `UPDATE {schema}.leases SET expires_at = expires_at - interval '1 day'`)
	_, err = take(t.Context(), s, "second")
	must(t, err)
	if err := s.Renew(t.Context(), first); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("got %v, want ErrLeaseLost", err)
	}
}

// Calls in doubt are due after the time that they can last, whatever the clock
// says, and what a later run has told of their tokens stands.
func TestSettle_TheClockWasSetBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := intent(imported("a"), imported("b"))
	in.Settle = 65 * time.Second
	b.record(Batch{Intents: []Intent{in}})
	setBack(t, b.Store)
	next := b.takeOver("second")
	left, err := next.Unsettled(t.Context(), next.lease, next.run)
	must(t, err)
	if len(left) != 1 || left[0].Due != in.Settle {
		t.Fatalf("got %+v, want the one call, due in %v", left, in.Settle)
	}
	next.call(imported("a")) // a worker that did not know of the call
	settled, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{in.ID})
	must(t, err)
	if len(settled) != 1 {
		t.Errorf("got %v, want it settled by who waited", settled)
	}
	equal(t, "outcomes", lines(t, b.Store, `SELECT concat_ws(' ', key, outcome, attempts) FROM {schema}.tokens ORDER BY key`),
		"a imported 1", "b unknown 1")
	equal(t, "intents", b.standing())
}

// Neither a pause nor the places that were given away hold everyone up for as
// long as the clock was set back.
func TestPace_TheClockWasSetBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	slot := func(every time.Duration) time.Duration {
		t.Helper()
		wait, err := s.TakeSlot(t.Context(), "host", "team", every)
		must(t, err)
		return wait
	}
	paused := func() time.Duration {
		t.Helper()
		got, err := s.Steering(t.Context(), 1, "host", "team", "host team")
		must(t, err)
		return got.PausedFor
	}
	within := func(what string, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: got %v, want %v to %v", what, got, low, high)
		}
	}
	const every = 30 * time.Second
	slot(every)
	within("the second call", slot(every), every/3, every)
	must(t, s.PauseAll(t.Context(), "host", "team", 12*time.Minute, "throttled"))
	within("the longest pause", paused(), 11*time.Minute, 12*time.Minute)
	within("a call in the longest pause", slot(every), 11*time.Minute, 12*time.Minute)
	within("the call after it", slot(time.Millisecond), 11*time.Minute, 12*time.Minute+every)

	setBack(t, s)
	within("the pause, after", paused(), 0, 0)
	within("the first call, after", slot(every), 0, 0)
	within("the second call, after", slot(every), every/3, every)
	must(t, s.PauseAll(t.Context(), "host", "team", time.Minute, "throttled"))
	within("a new pause", paused(), 50*time.Second, time.Minute)
}

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// lapse moves the end of all leases into the past.
func lapse(t *testing.T, s *Store) {
	t.Helper()
	execute(t, s, `UPDATE {schema}.leases SET expires_at = clock_timestamp() - interval '1 second'`)
}

// newMigrations returns a checkpoint with the migrations 1 and 2.
func newMigrations(t *testing.T) *Store {
	t.Helper()
	s := newStore(t)
	for _, name := range []string{"acme-slack", "acme-github"} {
		_, err := s.CreateMigration(t.Context(), name, func([]byte) map[string]string { return nil })
		must(t, err)
	}
	return s
}

// take acquires shard 0 of migration 1, with nobody known to be dead.
func take(ctx context.Context, s *Store, holder string) (Lease, error) {
	return s.Acquire(ctx, 1, 0, 1, holder, func(string) bool { return false })
}

func TestAcquire_TellsWhoHoldsIt(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	l, err := take(t.Context(), s, "first")
	must(t, err)
	if want := (Lease{Migration: 1, Shards: 1, Holder: "first", Epoch: 1}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
	for _, dead := range []func(string) bool{nil, func(string) bool { return false }} {
		got, err := s.Acquire(t.Context(), 1, 0, 1, "second", dead)
		var held *HeldError
		if !errors.As(err, &held) {
			t.Fatalf("got %+v, %v, want a *HeldError", got, err)
		}
		if held.Holder != "first" || held.Shard != 0 || held.Expires <= LeaseTTL-20*time.Second || held.Expires > LeaseTTL {
			t.Errorf("got %+v, want first, for nearly %v more", held, LeaseTTL)
		}
		if got != (Lease{}) {
			t.Errorf("got %+v beside the error", got)
		}
	}
	if got, want := (&HeldError{Shard: 3, Holder: "pod-3 start 4711 boot x", Expires: 12300 * time.Millisecond}).Error(),
		"shard 3 is held by pod-3 (its lease lapses in 12s unless renewed)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// Another migration is free, and so are all of its shards.
	for shard := range 2 {
		if _, err := s.Acquire(t.Context(), 2, shard, 2, "second", nil); err != nil {
			t.Errorf("migration 2, shard %d: %v", shard, err)
		}
	}
}

func TestAcquire_ChangesHands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(t *testing.T, s *Store, first Lease)
		holder string
		dead   func(string) bool
	}{
		{"lapsed", func(t *testing.T, s *Store, _ Lease) { lapse(t, s) }, "second", nil},
		{"its own again", func(*testing.T, *Store, Lease) {}, "first", nil},
		{"released", func(t *testing.T, s *Store, l Lease) { must(t, s.Release(t.Context(), l)) }, "second", nil},
		{"dead", func(*testing.T, *Store, Lease) {}, "second", func(h string) bool { return h == "first" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newMigrations(t)
			first, err := take(t.Context(), s, "first")
			must(t, err)
			c.before(t, s, first)
			second, err := s.Acquire(t.Context(), 1, 0, 1, c.holder, c.dead)
			must(t, err)
			if second.Epoch != first.Epoch+1 || second.Holder != c.holder {
				t.Errorf("got %+v, want %s with epoch %d", second, c.holder, first.Epoch+1)
			}
			if err := s.Renew(t.Context(), first); !errors.Is(err, ErrLeaseLost) {
				t.Errorf("Renew by the old holder: got %v, want ErrLeaseLost", err)
			}
			// Nor can the old one give away what is no longer its own.
			must(t, s.Release(t.Context(), first))
			var held *HeldError
			if _, err := take(t.Context(), s, "third"); !errors.As(err, &held) || held.Holder != c.holder {
				t.Errorf("a third: got %v, want that %s holds it", err, c.holder)
			}
			must(t, s.Renew(t.Context(), second))
		})
	}
}

// A worker that is cut off in the middle of a transaction does not keep its locks.
func TestStore_ServerEndsAnAbandonedTransaction(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	setting := ""
	read := func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), `SELECT current_setting('idle_in_transaction_session_timeout')`).Scan(&setting)
	}
	must(t, s.begin(t.Context(), read))
	if setting != "15s" {
		t.Errorf("in a transaction of ours: got %q, want 15s", setting)
	}
	must(t, pgx.BeginFunc(t.Context(), s.pool, read))
	if setting != "0" {
		t.Errorf("in the session's next transaction: got %q, want what it was, 0", setting)
	}
}

func TestRenew_LapsedButUntaken(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	l, err := take(t.Context(), s, "first")
	must(t, err)
	lapse(t, s)
	must(t, s.Renew(t.Context(), l))
	equal(t, "time left", lines(t, s,
		`SELECT (expires_at - clock_timestamp() BETWEEN interval '20s' AND interval '30s')::text FROM {schema}.leases`), "true")
	var held *HeldError
	if _, err := take(t.Context(), s, "second"); !errors.As(err, &held) {
		t.Errorf("got %v, want a *HeldError", err)
	}
	must(t, s.Release(t.Context(), l))
	if err := s.Renew(t.Context(), l); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Renew after Release: got %v, want ErrLeaseLost", err)
	}
}

func TestAcquire_OneOfManyWins(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	for round := range 10 {
		var mu sync.Mutex
		var winners, losers []string
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				holder := fmt.Sprintf("%d-%d", round, i)
				_, err := take(t.Context(), s, holder)
				var held *HeldError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, holder)
				case errors.As(err, &held):
					losers = append(losers, held.Holder)
				default:
					t.Errorf("%s: %v", holder, err)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 || strings.Count(strings.Join(losers, ","), winners[0]) != 7 {
			t.Fatalf("round %d: got winners %v and losers told of %v, want one of whom 7 are told", round, winners, losers)
		}
		lapse(t, s)
	}
	equal(t, "epochs", lines(t, s, `SELECT epoch::text FROM {schema}.leases`), "10")
}

// A lease that is about to change hands, in a transaction that has locked it and
// not committed yet, is waited for: nobody acts on what it was before.
func TestLease_ChangingHandsIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		act  func(b *bench) error // with the lease that is being taken
	}{
		{"acquire", func(b *bench) error {
			_, err := b.Acquire(b.Context(), b.lease.Migration, 0, 1, "third", nil)
			var held *HeldError
			if !errors.As(err, &held) || held.Holder != "second" {
				return fmt.Errorf("got %v, want that second holds it", err)
			}
			return nil
		}},
		{"record an intent", func(b *bench) error {
			out, err := b.Record(b.Context(), b.lease, b.run, Batch{Intents: []Intent{intent(imported("a"))}})
			if err != nil || !out.LeaseLost {
				return fmt.Errorf("got %+v, %v, want LeaseLost", out, err)
			}
			return nil
		}},
		{"record a local", func(b *bench) error {
			out, err := b.Record(b.Context(), b.lease, b.run, Batch{Locals: []Local{{Key: "a", Outcome: Skipped, Reason: "expired"}}})
			if err != nil || !out.LeaseLost {
				return fmt.Errorf("got %+v, %v, want LeaseLost", out, err)
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			lapse(t, b.Store)
			tx, err := b.pool.Begin(t.Context())
			must(t, err)
			defer func() { _ = tx.Rollback(context.Background()) }()
			if _, err := tx.Exec(t.Context(), b.in(`SELECT FROM {schema}.leases FOR UPDATE`)); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.act(b) }()
			for waits := false; !waits; {
				must(t, b.pool.QueryRow(t.Context(), `
					SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
					FROM pg_sleep(0.01)`).Scan(&waits))
				select {
				case err := <-done:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
			}
			if _, err := tx.Exec(t.Context(), b.in(`UPDATE {schema}.leases SET holder = 'second', epoch = epoch + 1, expires_at = now() + interval '30s'`)); err != nil {
				t.Fatal(err)
			}
			must(t, tx.Commit(t.Context()))
			must(t, <-done)
			equal(t, "holder", lines(t, b.Store, `SELECT holder FROM {schema}.leases`), "second")
			equal(t, "outcomes", b.tokens())
			equal(t, "intents", b.standing())
		})
	}
}

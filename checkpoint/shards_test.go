package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// shard makes a holder begin a run of one of several shards of migration 1.
func shard(t *testing.T, s *Store, n, of int) *bench {
	t.Helper()
	l, err := s.Acquire(t.Context(), 1, n, of, fmt.Sprintf("pod-%d-of-%d", n, of), nil)
	must(t, err)
	run, err := s.StartRun(t.Context(), l, "v1", "run")
	must(t, err)
	return &bench{t, s, l, run}
}

// exclusive returns an intent that other shards respect, of tokens of whose rivals
// nothing is known.
func exclusive(endings ...Ending) Intent {
	in := intent(endings...)
	in.Exclusive = true
	return in
}

// informed is exclusive with what is known of rivals now.
func (b *bench) informed(endings ...Ending) Intent {
	b.Helper()
	in := exclusive(endings...)
	for i := range in.Tokens {
		t := &in.Tokens[i]
		owners, err := b.OwnersShared(b.Context(), b.lease.Migration, []Hash{t.Identity})
		must(b.T, err)
		t.Seen = owners.Seen(t.Identity, t.Key)
	}
	return in
}

// Another number of shards is adopted when nobody is at work under the old one.
func TestAcquire_AdoptsAnotherNumberOfShards(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	old := shard(t, s, 1, 2)
	left := intent(imported("a"))
	old.record(Batch{Intents: []Intent{left}, Counts: []byte(`{"shards": 2}`)})
	shard(t, s, 0, 2)

	_, err := s.Acquire(t.Context(), 1, 0, 3, "pod-0-of-3", nil)
	var divided *ShardsError
	if !errors.As(err, &divided) {
		t.Fatalf("while others are at work: got %v, want a *ShardsError", err)
	}
	if divided.Shards != 2 || divided.Wanted != 3 || divided.Expires <= LeaseTTL-20*time.Second || divided.Expires > LeaseTTL {
		t.Errorf("got %+v", divided)
	}
	if said := divided.Error(); !strings.Contains(said, "at work with 2 shards and not 3: shard 0 is held by pod-0-of-2") {
		t.Errorf("got %q", said)
	}
	_, err = s.Acquire(t.Context(), 1, 0, 3, "x", func(holder string) bool { return holder == "pod-0-of-2" })
	if !errors.As(err, &divided) || divided.Shard != 1 {
		t.Errorf("where one of two is dead: got %v, want that shard 1 is held", err)
	}

	lapse(t, s)
	next := shard(t, s, 2, 3)
	m, err := s.Migration(t.Context(), "acme-slack")
	must(t, err)
	if m.Shards != 3 {
		t.Errorf("shards of the migration: got %d, want 3", m.Shards)
	}
	// Who held the shard before has lost it for good, though nobody took it.
	if err := s.Renew(t.Context(), old.lease); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Renew under the old number: got %v, want ErrLeaseLost", err)
	}
	if out := old.record(Batch{Intents: []Intent{intent(imported("b"))}}); !out.LeaseLost {
		t.Error("an intent under the old number was written")
	}
	// The calls that were left in doubt are everybody's.
	for _, b := range []*bench{next, shard(t, s, 0, 3)} {
		doubts, err := s.Unsettled(t.Context(), b.lease, b.run)
		must(t, err)
		if len(doubts) != 1 || doubts[0].ID != left.ID {
			t.Errorf("%s: got %v in doubt, want the call of the old shard", b.lease.Holder, doubts)
		}
	}
	execute(t, s, `UPDATE {schema}.calls SET settle_after = clock_timestamp()`)
	if settled, err := s.Settle(t.Context(), next.lease, next.run, []uuid.UUID{left.ID}); err != nil || len(settled) != 1 {
		t.Errorf("Settle: got %v, %v, want the call", settled, err)
	}
	equal(t, "outcomes", lines(t, s, `SELECT concat_ws(' ', key, outcome, reason, run_id) FROM {schema}.tokens`), fmt.Sprintf("a unknown in_doubt %d", next.run))
	// The runs under the old number speak no more for the migration.
	runs, err := s.Runs(t.Context(), 1)
	must(t, err)
	if len(runs) != 2 || runs[0].Shard != 0 || runs[1].Shard != 2 {
		t.Errorf("got the runs %+v, want those of the shards 0 and 2 of 3", runs)
	}
}

// A dry run under another number of shards counts in what a run would take over.
func TestUnsettled_UnderAnotherNumberOfShards(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	b := shard(t, s, 1, 2)
	b.record(Batch{Intents: []Intent{intent(imported("a"))}, Counts: []byte(`{"shards": 2}`)})
	for _, c := range []struct{ shard, shards, want int }{{0, 2, 0}, {1, 2, 1}, {0, 1, 1}, {0, 3, 1}, {0, 0, 1}} {
		got, err := s.Unsettled(t.Context(), Lease{Migration: 1, Shard: c.shard, Shards: c.shards}, 0)
		if must(t, err); len(got) != c.want {
			t.Errorf("shard %d of %d: got %d calls, want %d", c.shard, c.shards, len(got), c.want)
		}
	}
}

// Of two shards that send the same identity exactly one writes its intent.
func TestRecord_ExclusiveIntents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(a *bench) // what the first shard did with key a before key b was judged
		since  func(a *bench) // and since
		refuse bool
	}{
		{"imported since", func(*bench) {}, func(a *bench) { a.call(imported("a")) }, true},
		{"known, and gone since", func(a *bench) { a.call(imported("a")) }, func(*bench) {}, false},
		{"known, and sent again since", func(a *bench) { a.call(imported("a")) }, func(a *bench) { a.call(imported("a")) }, true},
		{"about to be sent", func(*bench) {}, func(a *bench) { a.record(Batch{Intents: []Intent{a.informed(imported("a"))}}) }, true},
		{"about to be sent again", func(a *bench) { a.call(imported("a")) }, func(a *bench) { a.record(Batch{Intents: []Intent{a.informed(imported("a"))}}) }, true},
		{"being sent all the while", func(a *bench) { a.record(Batch{Intents: []Intent{a.informed(imported("a"))}}) }, func(*bench) {}, true},
		{"settled since", func(a *bench) {
			a.record(Batch{Intents: []Intent{a.informed(imported("a"))}})
		}, func(a *bench) {
			a.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp()`)
			_, err := a.Settle(a.Context(), a.lease, a.run, []uuid.UUID{uuid.MustParse(a.standing()[0])})
			must(a.T, err)
		}, true},
		{"known, and left out since", func(a *bench) { a.call(imported("a")) }, func(a *bench) {
			a.record(Batch{Locals: []Local{{Key: "a", Outcome: Skipped, Reason: "expired"}}})
		}, false},
		{"known, and another one since, by a clock that was set back", func(a *bench) { a.call(imported("a")) }, func(a *bench) {
			rival := imported("z")
			rival.Identity = imported("a").Identity
			a.call(rival)
			a.exec(`UPDATE {schema}.tokens SET updated_at = updated_at - interval '1 hour'`)
		}, true},
		{"known, by a clock that was set back since", func(a *bench) {
			a.call(imported("a"))
			a.exec(`UPDATE {schema}.tokens SET updated_at = updated_at + interval '1 hour'`)
		}, func(*bench) {}, false},
		{"sent by a call that is over, and that nobody settles", func(a *bench) {
			a.record(Batch{Intents: []Intent{a.informed(imported("a"))}})
			a.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp()`)
		}, func(*bench) {}, false},
		{"nothing", func(*bench) {}, func(*bench) {}, false},
		{"an identity of its own", func(*bench) {}, func(a *bench) { a.call(imported("c")) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newMigrations(t)
			a, b := shard(t, s, 0, 2), shard(t, s, 1, 2)
			c.before(a)
			same := imported("b")
			same.Identity = imported("a").Identity
			in := b.informed(same, imported("d"))
			c.since(a)
			out := b.record(Batch{Intents: []Intent{in}})
			if got := strings.Join(out.Claimed[in.ID], " "); out.LeaseLost || (got == "b") != c.refuse || !c.refuse && got != "" {
				t.Errorf("got %+v, want key b refused: %v", out, c.refuse)
			}
			if stands := slices.Contains(b.standing(), in.ID.String()); stands == c.refuse {
				t.Errorf("the intent stands: %v", stands)
			}
			// Again, as after a COMMIT whose answer was lost.
			if again := b.record(Batch{Intents: []Intent{in}}); len(again.Claimed[in.ID]) != len(out.Claimed[in.ID]) {
				t.Errorf("repeated: got %+v, want as before", again)
			}
		})
	}
}

// An intent whose COMMIT was not answered, and that is written again, stands whatever
// others did since.
func TestRecord_AnExclusiveIntentThatStandsIsNotClaimed(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	a, b := shard(t, s, 0, 2), shard(t, s, 1, 2)
	in := b.informed(imported("b"))
	b.record(Batch{Intents: []Intent{in}})
	rival := imported("a")
	rival.Identity = imported("b").Identity
	a.call(rival)
	if again := b.record(Batch{Intents: []Intent{in}}); len(again.Claimed) > 0 || !slices.Contains(b.standing(), in.ID.String()) {
		t.Errorf("got %+v, want it to stand and not to be claimed", again)
	}
}

func TestRecord_ExclusiveIntentsTakeTurns(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	const shards = 3
	var all [shards]*bench
	for i := range all {
		all[i] = shard(t, s, i, shards)
	}
	for round := range 20 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		written := 0
		for i, b := range all {
			wg.Go(func() {
				e := imported(fmt.Sprintf("%d-%d", round, i))
				e.Identity = hash(fmt.Sprint(round))
				in := exclusive(e)
				out, err := b.Record(t.Context(), b.lease, b.run, Batch{Intents: []Intent{in}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if len(out.Claimed[in.ID]) == 0 {
					written++
				}
			})
		}
		wg.Wait()
		if written != 1 {
			t.Fatalf("round %d: %d intents were written, want 1", round, written)
		}
	}
}

func TestOwnersShared_KnowsOfCallsThatStand(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	b := shard(t, s, 0, 2)
	b.call(imported("a"))
	again := imported("b")
	again.Identity = imported("a").Identity
	b.record(Batch{Intents: []Intent{intent(again), intent(imported("c"))}})
	ids := []Hash{imported("a").Identity, imported("c").Identity, hash("other")}
	owners, err := s.OwnersShared(t.Context(), 1, ids)
	must(t, err)
	equal(t, "sent", []string{fmt.Sprint(owners.Sent[ids[0]], owners.Sent[ids[1]], owners.Sent[ids[2]])}, "[a] [] []")
	equal(t, "calling", []string{fmt.Sprint(owners.Calling[ids[0]], owners.Calling[ids[1]], owners.Calling[ids[2]])}, "[b] [c] []")
	equal(t, "seen", []string{owners.Seen(ids[0], "b"), owners.Seen(ids[0], "a"), owners.Seen(ids[1], "x")}, "a:1", "", "")
	b.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp()`)
	owners, err = s.OwnersShared(t.Context(), 1, ids)
	must(t, err)
	equal(t, "sent, once the calls are over", []string{fmt.Sprint(owners.Sent[ids[0]], owners.Sent[ids[1]], owners.Calling)}, "[a b] [c] map[]")
	owners, err = s.Owners(t.Context(), 1, ids)
	must(t, err)
	equal(t, "to a worker that is alone", []string{fmt.Sprint(owners.Sent[ids[0]], owners.Sent[ids[1]], owners.Calling)}, "[a] [] map[]")
}

// Exactly one of the shards is told that it was the last to finish.
func TestFinishRun_TheLastShard(t *testing.T) {
	t.Parallel()
	s := newMigrations(t)
	const shards = 4
	counts := fmt.Appendf(nil, `{"shards": %d}`, shards)
	var all [shards]*bench
	for i := range shards - 1 {
		all[i] = shard(t, s, i, shards)
	}
	for i := range shards - 1 {
		if last, err := s.FinishRun(t.Context(), all[i].lease, all[i].run, 0, counts, "", 0, 3); err != nil || last {
			t.Errorf("shard %d, while shard 3 has not begun: got %v, %v", i, last, err)
		}
	}
	all[3] = shard(t, s, 3, shards)
	if last, err := s.FinishRun(t.Context(), all[3].lease, all[3].run, 75, counts, "", 0, 3); err != nil || last {
		t.Errorf("stopped: got %v, %v", last, err)
	}
	for i := range all {
		all[i] = shard(t, s, i, shards)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	lasts := 0
	for i, b := range all {
		wg.Go(func() {
			last, err := s.FinishRun(t.Context(), b.lease, b.run, 3*(i%2), counts, "", 0, 3)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if last {
				lasts++
			}
		})
	}
	wg.Wait()
	if lasts != 1 {
		t.Errorf("%d shards were told that they are the last, want 1", lasts)
	}
}

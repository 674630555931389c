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

	"tokenmigrate/checkpoint/pgerr"
)

func TestUnsettled_TellsOfOtherRunsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	past, soon := intent(imported("a"), imported("b")), intent(imported("c"))
	soon.Settle, soon.Connector = 90*time.Second, "github/acme"
	b.record(Batch{Intents: []Intent{past}})
	b.record(Batch{Intents: []Intent{soon}})
	b.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp() - interval '5 seconds' WHERE id = $1`, past.ID)
	if own, err := b.Unsettled(t.Context(), b.lease, b.run); err != nil || len(own) != 0 {
		t.Errorf("the run's own: got %v, %v, want none", own, err)
	}
	next := b.takeOver("second")
	next.record(Batch{Intents: []Intent{intent(imported("own"))}})
	for _, c := range []struct {
		name  string
		shard int
		run   int64
		want  int
	}{{"its shard", 0, next.run, 2}, {"another shard", 1, next.run, 0}, {"no run", 0, 0, 3}} {
		l := next.lease
		l.Shard = c.shard
		if got, err := b.Unsettled(t.Context(), l, c.run); err != nil || len(got) != c.want {
			t.Errorf("%s: got %d calls, %v, want %d", c.name, len(got), err, c.want)
		}
	}
	left, err := next.Unsettled(t.Context(), next.lease, next.run)
	must(t, err)
	for i, want := range []Intent{past, soon} {
		got := left[i]
		if got.ID != want.ID || got.Connector != want.Connector || len(got.Keys) != len(want.Tokens) {
			t.Fatalf("call %d: got %+v, want that of %+v", i, got, want)
		}
		for j, s := range want.Tokens {
			if got.Keys[j] != s.Key || got.Fingerprints[j] != s.Fingerprint || got.Identities[j] != s.Identity {
				t.Errorf("call %d, token %d: got %q %q %q, want %+v", i, j, got.Keys[j], got.Fingerprints[j], got.Identities[j], s)
			}
		}
	}
	if d := left[0].Due; d > -5*time.Second || d < -time.Minute {
		t.Errorf("due: got %v, want 5 s ago", d)
	}
	if d := left[1].Due; d > 90*time.Second || d < 60*time.Second {
		t.Errorf("due: got %v, want nearly 90 s from now", d)
	}
}

// A row that somebody has changed is told, by its name.
func TestUnsettled_TellsADamagedRow(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"fingerprints", "identities", "keys"} {
		b := newBench(t)
		call := intent(imported("a"), imported("b"))
		b.record(Batch{Intents: []Intent{call}})
		b.exec(`UPDATE {schema}.calls SET ` + column + ` = ` + column + `[1:1]`)
		if _, err := b.Unsettled(t.Context(), b.lease, 0); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), call.ID.String()+" of "+b.in("{schema}.calls")) {
			t.Errorf("%s are cut: got error %v, want one that names the call and its table", column, err)
		}
	}
}

func TestInDoubt_CallsOfThoseWhoAreNotAlive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	want := func(when string, calls, tokens int64, alive ...int64) {
		t.Helper()
		c, n, err := b.InDoubt(t.Context(), b.lease.Migration, alive)
		must(t, err)
		if c != calls || n != tokens {
			t.Errorf("%s: got %d calls with %d tokens, want %d with %d", when, c, n, calls, tokens)
		}
	}
	want("nothing stands", 0, 0)
	b.record(Batch{Intents: []Intent{intent(imported("a"), imported("b")), intent(imported("c"))}})
	want("at work", 0, 0, b.run)
	want("dead", 2, 3)
	second := b.takeOver("second")
	second.record(Batch{Intents: []Intent{intent(imported("d"))}})
	want("the next is at work", 2, 3, second.run)
	begin(t, b.Store, "another migration", "third").record(Batch{Intents: []Intent{intent(imported("a"))}})
	want("of its migration alone", 3, 4)
	b.exec(`UPDATE {schema}.calls SET shard = 1 WHERE run_id = $1`, second.run)
	want("of any shard", 3, 4, 0)
}

func TestSettle_OnlyWhatIsDue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	b.call(refused("b"))
	due, later, own := intent(imported("a"), imported("b"), imported("c")), intent(imported("d")), uuid.New()
	due.Connector, due.Tokens[0].Fingerprint = "slack/other", hash("new")
	b.record(Batch{Intents: []Intent{due, later}})
	next := b.takeOver("second")
	settle := func() []uuid.UUID {
		t.Helper()
		ids, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{due.ID, later.ID, own})
		must(t, err)
		return ids
	}
	before := b.tokens()
	if got := settle(); !slices.Equal(got, []uuid.UUID{own}) {
		t.Errorf("before due: got %v, want only the one that never stood", got)
	}
	equal(t, "outcomes before due", b.tokens(), before...)

	b.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp() WHERE id = $1`, due.ID)
	const why = "unknown - in_doubt 'the run ended before the answer to its call was recorded'"
	want := []string{
		"a slack/other/production " + why + " attempts=2 sent=new for=ia imported=fa once run=2 nocall",
		"b slack/other/production " + why + " attempts=2 sent=fb for=ib imported=- never run=2 nocall",
		"c slack/other/production " + why + " attempts=1 sent=fc for=ic imported=- never run=2 nocall",
	}
	for range 2 { // it is safe to repeat
		if got := settle(); len(got) != 2 || slices.Contains(got, later.ID) {
			t.Errorf("after due: got %v, want all but %v", got, later.ID)
		}
		equal(t, "outcomes", b.tokens(), want...)
		equal(t, "intents", b.standing(), later.ID.String())
	}
	// Another shard's worker cannot settle it, and learns that it stands.
	b.exec(`UPDATE {schema}.calls SET settle_after = clock_timestamp()`)
	foreign := next.lease
	foreign.Shard = 1
	if got, err := b.Settle(t.Context(), foreign, next.run, []uuid.UUID{later.ID}); err != nil || len(got) != 0 {
		t.Errorf("another shard: got %v, %v, want none", got, err)
	}
	equal(t, "intents in the end", b.standing(), later.ID.String())
	if got, err := b.Settle(t.Context(), next.lease, next.run, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing asked: got %v, %v", got, err)
	}
}

// What a later call has told of a token stands, and a token of two calls in
// doubt is settled once.
func TestSettle_TokensOfSeveralCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := intent(imported("a"), imported("b")), intent(imported("b"), imported("c"))
	first.Settle, second.Settle = 0, 0
	b.record(Batch{Intents: []Intent{first}})
	b.record(Batch{Intents: []Intent{second}})
	b.call(imported("a"))
	next := b.takeOver("second")
	if got, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{first.ID, second.ID}); err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v, want both", got, err)
	}
	equal(t, "outcomes", lines(t, b.Store, `SELECT concat_ws(' ', key, outcome, attempts) FROM {schema}.tokens ORDER BY key`),
		"a imported 1", "b unknown 1", "c unknown 1")
	equal(t, "intents", b.standing())
}

// A late worker records its answer while the next one settles the call: one of
// them wins, for the whole call, and the loser is told.
func TestSettle_AndRecordOfTheSameCall(t *testing.T) {
	t.Parallel()
	old := newBench(t)
	next := old.takeOver("second")
	const rounds = 150
	recorded, settled := 0, 0
	for i := range rounds {
		in := intent(imported(fmt.Sprintf("%03d-a", i)), imported(fmt.Sprintf("%03d-b", i)))
		in.Settle = 0
		next.record(Batch{Intents: []Intent{in}})
		endings := []Ending{imported(in.Tokens[0].Key), imported(in.Tokens[1].Key)}
		var out Recorded
		var gone []uuid.UUID
		var errs [2]error
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() {
			<-start
			out, errs[0] = old.Record(t.Context(), old.lease, old.run, Batch{Answers: []Answer{answer(in, endings...)}})
		})
		wg.Go(func() {
			<-start
			gone, errs[1] = next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{in.ID})
		})
		close(start)
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatalf("round %d: %v (class %d)", i, err, pgerr.ClassOf(err))
		}
		if !slices.Equal(gone, []uuid.UUID{in.ID}) {
			t.Fatalf("round %d: Settle: got %v, want that the intent is gone", i, gone)
		}
		got := lines(t, old.Store, `SELECT concat_ws(' ', outcome, attempts, call_id) FROM {schema}.tokens WHERE key LIKE $1`, fmt.Sprintf("%03d-%%", i))
		want := "imported 1 " + in.ID.String()
		if len(out.Settled) > 0 {
			want = "unknown 1"
			settled++
		} else {
			recorded++
		}
		if !slices.Equal(got, []string{want, want}) {
			t.Fatalf("round %d: Record told of %v, and the tokens are %v; want both %q", i, out.Settled, got, want)
		}
	}
	t.Logf("recorded %d, settled %d", recorded, settled)
	equal(t, "intents", old.standing())
}

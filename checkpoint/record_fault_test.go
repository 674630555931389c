package checkpoint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

// Whatever part of a batch fails, nothing of it is there.
func TestRecord_AllOrNothing(t *testing.T) {
	t.Parallel()
	const raise = `CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;`
	for _, c := range []struct {
		name     string
		sabotage string
		repair   string
		spoil    func(*Batch)
		code     string
	}{
		{"an outcome that is none", ``, ``, func(b *Batch) { b.Answers[0].Endings[1].Outcome = "pending" }, "23514"},
		{"a local outcome that is none", ``, ``, func(b *Batch) { b.Locals[0].Outcome = "lost" }, "23514"},
		{"the intent's removal", raise + `CREATE TRIGGER no BEFORE DELETE ON {schema}.calls FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()`,
			`DROP TRIGGER no ON {schema}.calls`, nil, "P0001"},
		{"the new intent", raise + `CREATE TRIGGER no BEFORE INSERT ON {schema}.calls FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()`,
			`DROP TRIGGER no ON {schema}.calls`, nil, "P0001"},
		{"the counts", raise + `CREATE TRIGGER no BEFORE UPDATE ON {schema}.runs FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()`,
			`DROP TRIGGER no ON {schema}.runs`, nil, "P0001"},
		{"the counts, at COMMIT", raise + `CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON {schema}.runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()`,
			`DROP TRIGGER no ON {schema}.runs`, nil, "P0001"},
		{"counts that are no JSON", ``, ``, func(b *Batch) { b.Counts = []byte(`{`) }, "22P02"},
		{"the table of runs is gone", `ALTER TABLE {schema}.runs RENAME TO gone`, `ALTER TABLE {schema}.gone RENAME TO runs`, nil, "42P01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			in, next := intent(imported("a"), refused("b")), intent(imported("z"))
			b.record(Batch{Intents: []Intent{in}, Counts: []byte(`{"read": 1}`)})
			if c.sabotage != "" {
				simpleIn(t, b.Store, c.sabotage)
			}
			good := func() Batch {
				return Batch{
					Answers: []Answer{answer(in, imported("a"), refused("b"))}, Intents: []Intent{next},
					Locals: []Local{{Key: "l", Outcome: Skipped, Reason: "expired"}}, Counts: []byte(`{"read": 2}`),
				}
			}
			bad := good()
			if c.spoil != nil {
				c.spoil(&bad)
			}
			out, err := b.Record(t.Context(), b.lease, b.run, bad)
			if pgerr.CodeOf(err) != c.code || pgerr.ClassOf(err) != pgerr.Stop || !strings.HasPrefix(err.Error(), "record outcomes: ") {
				t.Errorf("got %v, want SQLSTATE %s of class Stop", err, c.code)
			}
			if out.LeaseLost || out.Settled != nil {
				t.Errorf("got %+v beside the error", out)
			}
			if c.repair != "" {
				b.exec(c.repair)
			}
			equal(t, "outcomes", b.tokens())
			equal(t, "intents", b.standing(), in.ID.String())
			if got := b.counts(); got != `{"read": 1}` {
				t.Errorf("counts: got %s, want those of before", got)
			}
			// And the good batch is taken afterwards.
			b.record(good())
			equal(t, "intents in the end", b.standing(), next.ID.String())
			if got := len(b.tokens()); got != 3 {
				t.Errorf("got %d tokens in the end, want 3", got)
			}
		})
	}
}

// The server commits, the answer is lost, the batch is recorded again.
func TestRecord_RepeatedAfterALostCommitAnswer(t *testing.T) {
	t.Parallel()
	var cut cutter
	cfg := parse(t, localpg.Database(t))
	cfg.DialFunc = cut.dial
	cfg.Fallbacks = nil
	s, err := Open(t.Context(), cfg, testSchema)
	must(t, err)
	t.Cleanup(s.Close)
	must(t, s.Migrate(t.Context()))
	b := begin(t, s, "acme-slack", "first")
	b.call(imported("warm"), refused("too")) // now the statements are described, and a batch is one round trip
	in, withdrawn := intent(imported("a"), refused("b")), intent(imported("w"))
	b.record(Batch{Intents: []Intent{in, withdrawn}})
	next := intent(imported("z"))
	batch := Batch{
		Answers: []Answer{answer(in, imported("a"), refused("b")), answer(withdrawn)}, Intents: []Intent{next},
		Locals: []Local{{Key: "l", Outcome: Skipped, Reason: "expired"}}, Counts: []byte(`{"read": 4}`),
	}
	b.record(Batch{Locals: []Local{{Key: "l", Outcome: Skipped, Reason: "expired"}}})

	cut.armed.Store(true)
	_, err = s.Record(t.Context(), b.lease, b.run, batch)
	if cut.armed.Load() || pgerr.ClassOf(err) != pgerr.Again {
		t.Fatalf("got %v (cut: %t), want a cut connection, of class Again", err, !cut.armed.Load())
	}
	after, standing, counts := b.tokens(), b.standing(), b.counts()
	if counts != `{"read": 4}` || len(after) != 5 || len(standing) != 1 {
		t.Fatalf("the batch did not commit before the cut: %s, %v, %v", counts, after, standing)
	}
	for range 3 {
		if out := b.record(batch); out.LeaseLost || out.Settled != nil {
			t.Errorf("repeat: got %+v, want nothing to tell", out)
		}
		equal(t, "outcomes after the repeat", b.tokens(), after...)
		equal(t, "intents after the repeat", b.standing(), standing...)
	}
}

func TestRecord_AnswerSettledByAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	gone, stands := intent(imported("a"), imported("b")), intent(imported("c"))
	b.record(Batch{Intents: []Intent{gone, stands}})
	second := b.takeOver("second")
	b.exec(`UPDATE {schema}.calls SET settle_after = now() WHERE id = $1`, gone.ID)
	_, err := second.Settle(t.Context(), second.lease, second.run, []uuid.UUID{gone.ID})
	must(t, err)
	doubtful := b.tokens()
	batch := Batch{Answers: []Answer{answer(gone, imported("a"), imported("b")), answer(stands, imported("c"))}}
	for i := range 2 {
		out := b.record(batch)
		if !slices.Equal(out.Settled, []uuid.UUID{gone.ID}) {
			t.Errorf("time %d: got settled %v, want %v", i+1, out.Settled, gone.ID)
		}
		got := b.tokens()
		equal(t, "what was settled", got[:2], doubtful...)
		equal(t, "what stood", got[2:], "c slack/acme/production imported true - - attempts=1 sent=fc for=ic imported=fc once run=1 call")
	}
}

func TestRecord_LostLease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := intent(imported("a"))
	b.record(Batch{Intents: []Intent{in}})
	second := b.takeOver("second")
	locals := []Local{{Key: "l", Outcome: Skipped, Reason: "expired"}}
	for _, c := range []struct {
		name  string
		batch Batch
		lost  bool
	}{
		{"intents and locals", Batch{Intents: []Intent{intent(imported("z"))}, Locals: locals}, true},
		{"an intent alone", Batch{Intents: []Intent{intent(imported("z"))}}, true},
		{"locals alone", Batch{Locals: locals}, true},
		{"counts alone", Batch{}, false},
	} {
		if out := b.record(c.batch); out.LeaseLost != c.lost || out.Settled != nil {
			t.Errorf("%s: got %+v, want LeaseLost %t", c.name, out, c.lost)
		}
		equal(t, c.name+": outcomes", b.tokens())
		equal(t, c.name+": intents", b.standing(), in.ID.String())
	}
	// What it still learns counts, since its intent stands.
	out := b.record(Batch{
		Answers: []Answer{answer(in, imported("a"))}, Intents: []Intent{intent(imported("z"))}, Locals: locals, Counts: []byte(`{"imported": 1}`),
	})
	if !out.LeaseLost || out.Settled != nil {
		t.Errorf("answer: got %+v, want LeaseLost alone", out)
	}
	equal(t, "outcomes", b.tokens(), "a slack/acme/production imported true - - attempts=1 sent=fa for=ia imported=fa once run=1 call")
	equal(t, "intents", b.standing())
	if got := b.counts(); got != `{"imported": 1}` {
		t.Errorf("counts: got %s", got)
	}
	if out := second.record(Batch{Locals: locals, Intents: []Intent{intent(imported("z"))}}); out.LeaseLost {
		t.Error("the new holder is told that it lost the lease")
	}
	// A lapsed lease that nobody took is still the holder's.
	lapse(t, b.Store)
	if out := second.record(Batch{Locals: locals}); out.LeaseLost {
		t.Error("a lapsed lease that nobody took counts as lost")
	}
}

// The same holder that took the lease again is another worker to the one before, such
// as a container that was restarted in its pod.
func TestRecord_LeaseTakenAgainByItsHolder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	again := begin(t, b.Store, "acme-slack", b.lease.Holder)
	locals := []Local{{Key: "l", Outcome: Skipped, Reason: "expired"}}
	if out := b.record(Batch{Locals: locals}); !out.LeaseLost {
		t.Error("the first is not told that it lost the lease")
	}
	equal(t, "outcomes", b.tokens())
	if out := again.record(Batch{Locals: locals}); out.LeaseLost {
		t.Error("the second is told that it lost the lease")
	}
}

func TestRecord_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Record(ctx, b.lease, b.run, Batch{Intents: []Intent{intent(imported("a"))}})
	if pgerr.ClassOf(err) != pgerr.Ended || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want class Ended and context.Canceled", err)
	}
	equal(t, "intents", b.standing())
}

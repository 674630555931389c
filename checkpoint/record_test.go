package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestRecord_IntentThenAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, r, u := imported("a"), refused("b"), Ending{Sent: sent("c"), Outcome: Unknown, Reason: "in_doubt", Detail: "timeout"}
	in := intent(a, r, u)
	if out := b.record(Batch{Intents: []Intent{in}, Counts: []byte(`{"pending": 3}`), Waiting: "pace"}); out.LeaseLost || out.Settled != nil {
		t.Errorf("intent: got %+v, want nothing to tell", out)
	}
	equal(t, "the intent", lines(t, b.Store, `
		SELECT format('%s %s shard %s run %s %s %s %s', connector, keys, shard, run_id, environments,
			rtrim(encode(fingerprints[1], 'escape'), '\0') || rtrim(encode(identities[3], 'escape'), '\0'),
			settle_after - started_at) FROM {schema}.calls`),
		fmt.Sprintf("slack/acme {a,b,c} shard 0 run %d {production} faic 00:01:00", b.run))
	equal(t, "outcomes before the answer", b.tokens())
	equal(t, "the run", lines(t, b.Store, `SELECT counts::text || ' ' || waiting FROM {schema}.runs`), `{"pending": 3} pace`)

	if out := b.record(Batch{Answers: []Answer{answer(in, a, r, u)}, Counts: []byte(`{"imported": 1}`)}); out.LeaseLost || out.Settled != nil {
		t.Errorf("answer: got %+v, want nothing to tell", out)
	}
	equal(t, "intents after the answer", b.standing())
	equal(t, "outcomes", b.tokens(),
		"a slack/acme/production imported true - - attempts=1 sent=fa for=ia imported=fa once run=1 call",
		"b slack/acme/production failed false refused 'no' attempts=1 sent=fb for=ib imported=- never run=1 call",
		"c slack/acme/production unknown - in_doubt 'timeout' attempts=1 sent=fc for=ic imported=- never run=1 call")
	equal(t, "their call", lines(t, b.Store, `SELECT DISTINCT call_id::text FROM {schema}.tokens`), in.ID.String())
	if got := b.counts(); got != `{"imported": 1}` {
		t.Errorf("counts: got %s", got)
	}
}

// What is written of an import is what is told of it, also where that is unusual.
func TestRecord_ImportedInOtherWords(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	silent, told, reasoned := imported("a"), imported("b"), imported("c")
	silent.Succeeded, told.Detail, reasoned.Reason = nil, "so it says", "again"
	for _, e := range []Ending{silent, told, reasoned} {
		b.call(e)
	}
	equal(t, "outcomes", b.tokens(),
		"a slack/acme/production imported - - - attempts=1 sent=fa for=ia imported=fa once run=1 call",
		"b slack/acme/production imported true - 'so it says' attempts=1 sent=fb for=ib imported=fb once run=1 call",
		"c slack/acme/production imported true again - attempts=1 sent=fc for=ic imported=fc once run=1 call")
}

func TestRecord_WithdrawsAnIntent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	before := b.tokens()
	in, other := intent(imported("a"), imported("b")), intent(imported("c"))
	b.record(Batch{Intents: []Intent{in, other}})
	for range 2 { // the second as after a lost COMMIT answer
		if out := b.record(Batch{Answers: []Answer{answer(in)}}); out.Settled != nil {
			t.Errorf("got %+v, want nothing to tell: a call that was not made has nothing to lose", out)
		}
	}
	equal(t, "intents", b.standing(), other.ID.String())
	equal(t, "outcomes", b.tokens(), before...)
}

func TestRecord_KeepsWhatWasImported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"))
	first := lines(t, b.Store, `SELECT imported_at::text FROM {schema}.tokens`)

	changed := refused("a")
	changed.Fingerprint, changed.Environment = hash("other"), "preview"
	b.call(changed)
	equal(t, "refused after its import", b.tokens(),
		"a slack/acme/preview failed false refused 'no' attempts=2 sent=other for=ia imported=fa once run=1 call")

	changed.Outcome, changed.Succeeded, changed.Reason, changed.Detail = Unknown, nil, "in_doubt", ""
	b.call(changed)
	equal(t, "no answer", b.tokens(),
		"a slack/acme/preview unknown - in_doubt - attempts=3 sent=other for=ia imported=fa once run=1 call")

	b.record(Batch{Locals: []Local{{Key: "a", Outcome: Skipped, Reason: "expired"}}})
	equal(t, "imported_at", lines(t, b.Store, `SELECT imported_at::text FROM {schema}.tokens`), first...)

	again := imported("a")
	again.Fingerprint = hash("other")
	b.call(again)
	equal(t, "imported again", b.tokens(),
		"a slack/acme/production imported true - - attempts=4 sent=other for=ia imported=other once run=1 call")
	equal(t, "imported_at is of the last import", lines(t, b.Store,
		`SELECT (imported_at > $1::text::timestamptz AND imported_at = updated_at)::text FROM {schema}.tokens`, first[0]), "true")
}

func TestRecord_LocalsKeepWhatTheEndpointSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.record(Batch{Locals: []Local{
		{Key: "new", Outcome: Invalid, Reason: "missing_subject", Detail: "subject_id is empty"},
		{Key: "other", Connector: "github/acme", Environment: "preview", Outcome: Skipped, Reason: "excluded"},
	}})
	b.call(imported("done"), refused("not"))
	b.record(Batch{Locals: []Local{
		{Key: "done", Connector: "slack/b", Environment: "preview", Outcome: Skipped, Reason: "changed", Detail: "d"},
		{Key: "not", Connector: "slack/acme", Environment: "production", Outcome: Skipped, Reason: "expired"},
	}})
	equal(t, "outcomes", b.tokens(),
		"done slack/b/preview skipped true changed 'd' attempts=1 sent=fdone for=idone imported=fdone once run=1 call",
		"new -/- invalid - missing_subject 'subject_id is empty' attempts=0 sent=- for=- imported=- never run=1 nocall",
		"not slack/acme/production skipped false expired - attempts=1 sent=fnot for=inot imported=- never run=1 call",
		"other github/acme/preview skipped - excluded - attempts=0 sent=- for=- imported=- never run=1 nocall")
	b.record(Batch{Locals: []Local{{Key: "done", Connector: "slack/acme", Environment: "production", Outcome: Imported}}})
	equal(t, "imported as before", b.tokens()[:1],
		"done slack/acme/production imported true - - attempts=1 sent=fdone for=idone imported=fdone once run=1 call")
	b.call(imported("new"))
	equal(t, "sent in the end", b.tokens()[1:2],
		"new slack/acme/production imported true - - attempts=1 sent=fnew for=inew imported=fnew once run=1 call")
}

// A small source is walked so fast that two walks meet in one batch.
func TestRecord_TakesAKeyTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := intent(imported("b"))
	b.record(Batch{Intents: []Intent{in}})
	b.record(Batch{
		Answers: []Answer{answer(in, imported("b"))},
		Locals: []Local{
			{Key: "a", Outcome: Invalid, Reason: "missing_subject"},
			{Key: "b", Outcome: Skipped, Reason: "expired"},
			{Key: "a", Outcome: Skipped, Reason: "excluded"},
		},
	})
	equal(t, "outcomes", b.tokens(),
		"a -/- skipped - excluded - attempts=0 sent=- for=- imported=- never run=1 nocall",
		"b -/- skipped true expired - attempts=1 sent=fb for=ib imported=fb once run=1 call")
}

func TestRecord_ManyThingsInOneBatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second, third := intent(imported("a"), refused("b")), intent(imported("c")), intent(imported("d"))
	b.record(Batch{Intents: []Intent{first, second, third}})
	next := intent(imported("e"))
	out := b.record(Batch{
		Answers: []Answer{answer(first, imported("a"), refused("b")), answer(second, imported("c")), answer(third)},
		Intents: []Intent{next},
		Locals:  []Local{{Key: "f", Outcome: Skipped, Reason: "expired"}},
		Counts:  []byte(`{"read": 6}`),
	})
	if out.LeaseLost || out.Settled != nil {
		t.Errorf("got %+v, want nothing to tell", out)
	}
	equal(t, "intents", b.standing(), next.ID.String())
	equal(t, "outcomes and their calls", lines(t, b.Store, `SELECT concat_ws(' ', key, outcome, call_id) FROM {schema}.tokens ORDER BY key`),
		"a imported "+first.ID.String(), "b failed "+first.ID.String(), "c imported "+second.ID.String(), "f skipped")
	// A batch without counts leaves the run's row alone; with them it is a heartbeat, too.
	b.exec(`UPDATE {schema}.runs SET heartbeat_at = now() - interval '1 hour'`)
	if _, err := b.Record(t.Context(), b.lease, b.run, Batch{}); err != nil {
		t.Fatal(err)
	}
	equal(t, "run", lines(t, b.Store, `SELECT counts::text || (heartbeat_at > now() - interval '1 minute') FROM {schema}.runs`), `{"read": 6}false`)
	b.record(Batch{Counts: []byte(`{"read": 7}`)})
	equal(t, "run", lines(t, b.Store, `SELECT counts::text || (heartbeat_at > now() - interval '1 minute') FROM {schema}.runs`), `{"read": 7}true`)
}

func TestRecord_TenThousandKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	endings := make([]Ending, 10_000)
	locals := make([]Local, 10_000)
	for i := range endings {
		endings[i] = imported(fmt.Sprintf("k%05d", i))
		locals[i] = Local{Key: fmt.Sprintf("l%05d", i), Outcome: Invalid, Reason: "missing_subject"}
	}
	b.call(endings...)
	b.record(Batch{Locals: locals})
	got, err := b.Totals(t.Context(), b.lease.Migration)
	if err != nil || got[Imported] != 10_000 || got[Invalid] != 10_000 || len(got) != 2 {
		t.Errorf("got %v, %v, want 10000 imported and 10000 invalid", got, err)
	}
	equal(t, "mismatched rows", lines(t, b.Store, `
		SELECT key FROM {schema}.tokens WHERE outcome = 'imported' AND rtrim(encode(fingerprint, 'escape'), '\0') <> rtrim('f' || key, '0')
			AND rtrim(encode(fingerprint, 'escape'), '\0') <> 'f' || key`))
}

// oddKeys are texts that a careless array or statement would change.
var oddKeys = []string{
	"", " ", "NULL", "null", `"`, `""`, `'`, `''`, `\`, `\\`, `\N`, ",", "a,b", "{", "}", "{}", `{"a"}`, "$1", "{schema}",
	"%s", "日本語", "é", "e\u0301", "\u00a0", "\U0001F511", "line\nbreak", "tab\t", "a/b", "a%2Fb", "A", "a", "-1", "01", strings.Repeat("long", 500),
}

func TestRecord_OddKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var endings []Ending
	var locals []Local
	for i, k := range oddKeys {
		e := refused(k)
		e.Fingerprint, e.Identity, e.Detail = hash(fmt.Sprint("f", i)), hash(fmt.Sprint("i", i)), k
		endings = append(endings, e)
		locals = append(locals, Local{Key: "local " + k, Connector: k, Outcome: Invalid, Reason: "r", Detail: k})
	}
	b.call(endings...)
	b.record(Batch{Locals: locals})

	ids := make([]Hash, len(oddKeys))
	for i := range oddKeys {
		ids[i] = endings[i].Identity
	}
	priors, owners := b.lookUp(t, b.lease.Migration, oddKeys, ids)
	if len(priors) != len(oddKeys) {
		t.Errorf("got %d keys back, want %d", len(priors), len(oddKeys))
	}
	for i, k := range oddKeys {
		p, ok := priors[k]
		if !ok || p.Fingerprint != endings[i].Fingerprint || p.Detail != k || !slices.Equal(owners[ids[i]], []string{k}) {
			t.Errorf("%q: got %+v (there: %t), owner %q, want fingerprint %q, detail and owner the key",
				k, p, ok, owners[ids[i]], endings[i].Fingerprint[:])
		}
	}
	// And through an intent that is settled.
	in := intent(endings...)
	b.record(Batch{Intents: []Intent{in}})
	next := b.takeOver("second")
	left, err := next.Unsettled(t.Context(), next.lease, next.run)
	must(t, err)
	equal(t, "keys of the intent", left[0].Keys, oddKeys...)
	b.exec(`UPDATE {schema}.calls SET settle_after = now()`)
	if _, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{in.ID}); err != nil {
		t.Fatal(err)
	}
	equal(t, "tokens in doubt and others", lines(t, b.Store,
		`SELECT outcome || ' ' || count(*) || ' ' || sum(attempts) FROM {schema}.tokens GROUP BY outcome ORDER BY outcome`),
		fmt.Sprintf("invalid %d 0", len(oddKeys)), fmt.Sprintf("unknown %d %d", len(oddKeys), 2*len(oddKeys)))
}

// What the endpoint or a row says must not stop the run.
func TestRecord_DetailThatNoColumnHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := refused("a")
	e.Detail = "nul \x00 and \xff"
	b.call(e)
	finish(t, b, b.run, 1, nil, "nul \x00")
	equal(t, "detail", lines(t, b.Store, `SELECT detail FROM {schema}.tokens`), "nul \uFFFD and \uFFFD")
	equal(t, "last_error", lines(t, b.Store, `SELECT last_error FROM {schema}.runs`), "nul \uFFFD")
}

// A transaction that was given up may reach the server after the run's end does.
func TestRecord_LeavesTheEndOfARunAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in := intent(imported("a"))
	b.record(Batch{Intents: []Intent{in}, Counts: []byte(`{"read":1}`)})
	finish(t, b, b.run, 75, []byte(`{"read":1,"stoppedBy":"signal"}`), "stopped")
	b.record(Batch{Answers: []Answer{answer(in, imported("a"))}, Counts: []byte(`{"read":2}`), Waiting: "pace"})
	runs, err := b.Runs(t.Context(), b.lease.Migration)
	must(t, err)
	if r := runs[0]; string(r.Counts) != `{"read": 1, "stoppedBy": "signal"}` || r.Waiting != "" || *r.ExitCode != 75 {
		t.Errorf("got the run %+v with counts %s, want it as it ended", r, r.Counts)
	}
	equal(t, "intents", b.standing())
}

// A token that is taken for new and has a row all the same is updated, and nothing
// of its batch is lost.
func TestRecord_NewTokensThatHaveARow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(refused("a"))
	b.call(imported("a"), imported("b"), refused("c"))
	equal(t, "outcomes", lines(t, b.Store, `SELECT concat_ws(' ', key, outcome, attempts) FROM {schema}.tokens ORDER BY key`),
		"a imported 2", "b imported 1", "c failed 1")
	in, other := intent(imported("b"), imported("d")), intent(imported("e"))
	for _, i := range []Intent{in, other} {
		i.Tokens[0].Environment = "preview"
	}
	b.record(Batch{Intents: []Intent{in, other}})
	known := imported("b")
	known.Known = true
	unlike := Ending{Sent: sent("d"), Outcome: Unknown, Reason: "unmatched"}
	b.record(Batch{Answers: []Answer{answer(in, known, unlike), answer(other, imported("e"))}})
	equal(t, "outcomes in the end", lines(t, b.Store, `
		SELECT concat_ws(' ', key, environment, outcome, coalesce(succeeded::text, '-'), reason, attempts) FROM {schema}.tokens WHERE key > 'a' ORDER BY key`),
		"b preview imported true 2", "c production failed false refused 1", "d production unknown - unmatched 1", "e preview imported true 1")
}

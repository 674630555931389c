package migrate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// While a later walk sends what changed, nothing says that nothing is left, also
// not what is known of it after its worker died.
func TestWalk_TellsWhatALaterOneFinds(t *testing.T) {
	t.Parallel()
	p := testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20, RequestsPerMinute: 40}, newMemory(), nil, 1)
	p.samples.started = noon
	status := func(alive bool) (*report.Report, string) {
		counts, err := json.Marshal(p.kept())
		if err != nil {
			t.Fatal(err)
		}
		r, err := StatusReport(checkpoint.Migration{Name: "acme"}, []checkpoint.Run{runOf(1, string(counts), func(r *checkpoint.Run) { r.Alive = alive })})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := r.WriteStatus(&text, report.StatusOptions{Now: noon}); err != nil {
			t.Fatal(err)
		}
		return r, text.String()
	}
	p.walkNo.Store(1)
	p.rows.Store(3)
	p.reachedEnd(0)
	p.ledger.apply([]move{enter(slackProd, checkpoint.Imported, ""), enter(slackProd, checkpoint.Imported, ""), enter(githubProd, checkpoint.Imported, "")}, false)
	if r, text := status(true); r.Walk != nil || strings.Contains(text, "left        nothing\n") {
		t.Errorf("at the end of the first walk: got %+v, want none, and a status that does not say that nothing is left\n%s", r.Walk, text)
	}
	if err := p.ledger.endWalk(3, true); err != nil {
		t.Fatal(err)
	}
	p.walkNo.Store(2)
	p.ledger.apply([]move{enter(slackProd, pending, ""), enter(slackProd, pending, ""), enter(githubProd, pending, "")}, false)
	p.letGo.Store(1)
	live := report.New("acme", "run")
	p.account(live, false)
	const says = "checking again (walk 2): 2 changed tokens left"
	if w := live.Walk; w == nil || *w != (report.Walk{Number: 2, Open: 2}) || !strings.Contains(live.Sentence(), says) {
		t.Errorf("the run itself: got %+v in %q, want 2 open in walk 2", w, live.Sentence())
	}
	for _, alive := range []bool{true, false} {
		r, text := status(alive)
		if r.Walk == nil || r.Walk.Open != 2 || r.Runs[0].Left != 2 || !strings.Contains(r.Sentence(), says) {
			t.Errorf("alive %t: got walk %+v, %d left, %q; want 2 open, 2 left and %q", alive, r.Walk, r.Runs[0].Left, r.Sentence(), says)
		}
		if strings.Contains(text, "100%") || strings.Contains(text, "left        nothing\n") || !strings.Contains(text, "left        "+says+"\n") {
			t.Errorf("alive %t: got status\n%s", alive, text)
		}
	}
	was, is := standing{outcome: pending}, standing{checkpoint.Imported, ""}
	p.ledger.apply([]move{{slackProd, was, is, 1}, {slackProd, was, is, 1}, {githubProd, was, is, 1}}, false)
	p.letGo.Store(0)
	if err := p.ledger.endWalk(3, true); err != nil {
		t.Fatal(err)
	}
	live.FinishedAt = new(noon)
	p.account(live, false)
	if live.Walk == nil || live.Walk.Open != 0 || strings.Contains(live.Sentence(), "checking") {
		t.Errorf("at the end: got %+v in %q, want nothing open", live.Walk, live.Sentence())
	}
}

// Who looks at the counts first is noted first, so that no point of progress goes
// back behind another: the samples are taken hold of before the counts are read.
func TestSample_LooksWhileItHoldsTheSamples(t *testing.T) {
	t.Parallel()
	p := testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20}, newMemory(), nil, 1)
	p.samples.started = noon
	p.ledger.mu.Lock() // nobody can look
	var sampling sync.WaitGroup
	sampling.Go(p.sample)
	held := false
	for deadline := time.Now().Add(10 * time.Second); !held && time.Now().Before(deadline); {
		if held = !p.samples.mu.TryLock(); !held {
			p.samples.mu.Unlock()
			_ = sleep(t.Context(), time.Millisecond)
		}
	}
	p.ledger.mu.Unlock()
	sampling.Wait()
	if !held {
		t.Error("a sample looks at the counts before it holds the samples: another may look later and be noted before it")
	}
}

// All that a dry run with a limit counts is of the rows up to that limit.
func TestForecast_CountsUpToTheLimit(t *testing.T) {
	t.Parallel()
	m := newMemory()
	var rows []source.Row
	for n := range 50 {
		rows = append(rows, userRow(fmt.Sprintf("%02d", n), fmt.Sprint("user ", n)))
		m.rows[rows[n].Key] = rows[n]
	}
	o := &Options{ChunkTokens: 3, ChunkBytes: 1 << 20, RequestsPerMinute: 40, Limit: 7, Policy: Policy{SendDuplicates: true, Passes: 1}}
	p := testPass(o, m, rows, 20)
	p.judge.claims = newSeen()
	p.estimate(t.Context())
	d := newForecast(p)
	if err := p.foresee(t.Context(), d); err != errLimit {
		t.Fatalf("got %v, want the limit", err)
	}
	r := report.New("acme", "dry-run")
	p.account(r, true)
	d.fill(r)
	if want := (report.Counts{Read: 7, Pending: 7}); r.Counts != want || r.Remaining.Rows != 43 || r.Projection.Calls != 3 {
		t.Errorf("got %+v, %d remaining and %d calls; want %+v, 43 and 3", r.Counts, r.Remaining.Rows, r.Projection.Calls, want)
	}
}

// A rare reason has samples in the report, however many others come before.
func TestFailures_HaveSomeOfEachReason(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 1, sandbox.Options{RefuseSubjects: []string{"1"}})
	if _, err := w.run(t.Context(), t.Context()); err == nil {
		t.Fatal("the token was not refused")
	}
	if _, err := w.db.Exec(t.Context(), `INSERT INTO tokenmigrate.tokens
		SELECT (jsonb_populate_record(t, jsonb_build_object('key', to_char(n, 'FM00000'), 'reason', CASE WHEN n > 2990 THEN 'unavailable' ELSE 'refused' END))).*
		FROM tokenmigrate.tokens t, generate_series(11, 3000) n`); err != nil {
		t.Fatal(err)
	}
	store, err := checkpoint.Open(t.Context(), w.db.Config(), "tokenmigrate")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	migration, err := store.Migration(t.Context(), w.o.Migration)
	if err != nil {
		t.Fatal(err)
	}
	totals := map[string]int64{"failed": 2991, "imported": 5}
	list, err := Failures(t.Context(), store, migration.ID, totals, map[string]int64{"refused": 2981, "unavailable": 10})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int{}
	for _, f := range list {
		by[f.Reason]++
	}
	if by["unavailable"] != 10 || len(list) != report.MaxFailures {
		t.Errorf("got %v, want %d in all and the 10 unavailable ones among them", by, report.MaxFailures)
	}
	if !slices.IsSortedFunc(list, func(a, b report.Failure) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("they are not in the order of their keys")
	}
	again, err := Failures(t.Context(), store, migration.ID, totals, map[string]int64{"unavailable": 10})
	if err != nil || fmt.Sprint(again) != fmt.Sprint(list) {
		t.Errorf("the second time it is another list (%v)", err)
	}
}

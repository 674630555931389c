package migrate

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

var (
	slackProd  = place{Connector: slack, Environment: "production"}
	githubProd = place{Connector: "github", Environment: "production"}
)

func enter(p place, o checkpoint.Outcome, reason string) move {
	return move{place: p, to: standing{o, reason}, rows: 1}
}

func TestLedger_MovesRows(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	l.apply([]move{
		enter(slackProd, pending, ""), enter(slackProd, pending, ""), enter(githubProd, unchanged, ""),
		enter(githubProd, checkpoint.Skipped, "expired"), enter(slackProd, checkpoint.Invalid, "duplicate"), enter(slackProd, checkpoint.Unknown, "in_doubt"),
	}, false)
	answer := []move{
		{slackProd, standing{outcome: pending}, standing{checkpoint.Imported, ""}, 1},
		{slackProd, standing{outcome: pending}, standing{checkpoint.Failed, "refused"}, 1},
		{slackProd, standing{checkpoint.Unknown, "in_doubt"}, standing{}, 1}, // its row is gone
	}
	before, _ := l.current()
	l.apply(answer, false)
	after, _ := l.current()
	if got, want := after.Counts(), (report.Counts{Read: 5, Imported: 1, Unchanged: 1, Failed: 1, Invalid: 1, Skipped: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := map[string]int64{"expired": 1, "duplicate": 1, "refused": 1}; !reflect.DeepEqual(after.Reasons, want) {
		t.Errorf("got reasons %v, want %v", after.Reasons, want)
	}
	if got, want := *after.Connectors[githubProd], (report.Counts{Read: 2, Unchanged: 1, Skipped: 1}); got != want {
		t.Errorf("github: got %+v, want %+v", got, want)
	}
	l.apply(answer, true)
	if got, _ := l.current(); !reflect.DeepEqual(got, before) {
		t.Errorf("taken back: got %+v, want %+v as before", got, before)
	}
}

func TestLedger_AddsUpWhateverMoves(t *testing.T) {
	t.Parallel()
	standings := []standing{{}, {outcome: pending}, {outcome: unchanged}, {checkpoint.Imported, ""}, {checkpoint.Failed, "refused"}, {checkpoint.Invalid, "duplicate"}, {checkpoint.Skipped, "expired"}, {checkpoint.Unknown, "in_doubt"}}
	l := new(ledger)
	var workers sync.WaitGroup
	rows := make([]int64, 4)
	for w := range rows {
		workers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 8))
			is := make([]standing, 50)
			for range 2000 {
				row, to := rnd.IntN(len(is)), standings[rnd.IntN(len(standings))]
				m := []move{{slackProd, is[row], to, 1}}
				l.apply(m, false)
				if rnd.IntN(3) == 0 {
					l.apply(m, true)
				} else {
					is[row] = to
				}
			}
			for _, s := range is {
				if s != (standing{}) {
					rows[w]++
				}
			}
		})
	}
	workers.Wait()
	var want int64
	for _, n := range rows {
		want += n
	}
	if err := l.endWalk(want, true); err != nil {
		t.Errorf("got error %v, want none for %d rows", err, want)
	}
}

func TestLedger_EndOfAWalkTellsLostRows(t *testing.T) {
	t.Parallel()
	for _, rows := range []int64{1, 3} {
		l := new(ledger)
		l.apply([]move{enter(slackProd, pending, ""), enter(slackProd, unchanged, "")}, false)
		err := l.endWalk(rows, true)
		if err == nil || !strings.Contains(err.Error(), "do not add up") {
			t.Errorf("%d rows, 2 counted: got error %v, want one that says that the counts do not add up", rows, err)
		}
		if l.walked() {
			t.Errorf("%d rows, 2 counted: the walk counts as completed", rows)
		}
	}
}

func TestLedger_SpeaksForTheLastCompleteWalk(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	read := func() int64 { tally, _ := l.current(); return tally.Counts().Read }
	l.apply([]move{enter(slackProd, pending, "")}, false)
	if got := read(); got != 1 || l.walked() {
		t.Errorf("in the first walk: got %d rows (walked: %t), want 1 (false): those so far", got, l.walked())
	}
	l.apply([]move{enter(slackProd, pending, "")}, false)
	if err := l.endWalk(2, true); err != nil {
		t.Fatal(err)
	}
	l.apply([]move{enter(slackProd, unchanged, "")}, false)
	if got := read(); got != 2 || !l.walked() {
		t.Errorf("in the second walk: got %d rows (walked: %t), want 2 (true): those of the first", got, l.walked())
	}
	if err := l.endWalk(1, true); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != 1 {
		t.Errorf("after the second walk: got %d rows, want 1: its own", got)
	}
}

func TestLedger_HandsOutCopies(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	l.apply([]move{enter(slackProd, checkpoint.Failed, "refused")}, false)
	l.waited("pace", 1)
	tally, calls := l.current()
	tally.At(slackProd).Failed, tally.Reasons["refused"], calls.WaitedSeconds["pace"] = 99, 99, 99
	tally, calls = l.current()
	if tally.Counts().Failed != 1 || tally.Reasons["refused"] != 1 || calls.WaitedSeconds["pace"] != 1 {
		t.Errorf("got %+v, %v, %v: what was handed out is the ledger's own", tally.Counts(), tally.Reasons, calls.WaitedSeconds)
	}
}

func TestLedger_RefusesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a row was counted as something that no report shows")
		}
	}()
	new(ledger).apply([]move{enter(slackProd, "lost", "")}, false)
}

func TestLedger_WritesWhatStatusReads(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	l.apply([]move{enter(slackProd, checkpoint.Imported, ""), enter(githubProd, checkpoint.Failed, "refused")}, false)
	l.wire(func(c *report.Calls) { c.Made, c.Tokens = 3, 70 })
	l.waited("pace", 1.5)
	l.waited("pace", 1)
	text, err := json.Marshal(l.counts())
	if err != nil {
		t.Fatal(err)
	}
	var got report.RunCounts
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := report.RunCounts{
		Counts: report.Counts{Read: 2, Imported: 1, Failed: 1}, Reasons: map[string]int64{"refused": 1},
		Connectors: []report.Connector{
			{Connector: "github", Environment: "production", Counts: report.Counts{Read: 1, Failed: 1}},
			{Connector: slack, Environment: "production", Counts: report.Counts{Read: 1, Imported: 1}},
		},
		Calls: report.Calls{Made: 3, Tokens: 70, WaitedSeconds: map[string]float64{"pace": 2.5}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

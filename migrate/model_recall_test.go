package migrate

import (
	"testing"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// A row that was sent, then left out, and now holds what was sent again.
func TestJudge_RecallsHowATokenEndedBeforeItsRowWasLeftOut(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		succeeded *bool
		imported  bool // this very content, before
		inDoubt   InDoubt
		retry     bool
		want      standing
		record    bool
	}{
		"imported":                     {&yes, true, InDoubtSend, false, standing{unchanged, ""}, true},
		"refused":                      {&no, false, InDoubtSend, false, standing{checkpoint.Failed, reasonRefused}, true},
		"refused, to be tried again":   {&no, false, InDoubtSend, true, standing{pending, ""}, false},
		"in doubt":                     {nil, false, InDoubtSend, false, standing{pending, ""}, false},
		"in doubt, held":               {nil, false, InDoubtHold, false, standing{checkpoint.Unknown, reasonInDoubt}, true},
		"imported, then sent in doubt": {nil, true, InDoubtSend, false, standing{pending, ""}, false},
	} {
		for _, out := range []standing{{checkpoint.Invalid, reasonDuplicate}, {checkpoint.Skipped, reasonExpired}} {
			m := newMemory()
			row := userRow("1", "u")
			it := itemOf(row)
			prior := checkpoint.Prior{Outcome: out.outcome, Reason: out.reason, Detail: "d", Succeeded: c.succeeded, Fingerprint: it.fingerprint, RunID: 1}
			if c.imported {
				prior.Imported = it.fingerprint
			}
			m.priors["1"] = prior
			p := testPass(&Options{Destination: "api.example/team", ChunkTokens: 1, ChunkBytes: 1 << 20, RetryFailed: c.retry, Policy: Policy{InDoubt: c.inDoubt, Passes: 1}}, m, nil, 1)
			rulings, err := p.judge.rows(t.Context(), []source.Row{row}, p.judge.hash.marks([]source.Row{row}), p.judge.byKey)
			if err != nil {
				t.Fatal(err)
			}
			if r := rulings[0]; r.ended != c.want || r.record != c.record {
				t.Errorf("%s, left out as %s: got %+v, to be recorded: %v; want %+v, %v", name, out.reason, r.ended, r.record, c.want, c.record)
			}
		}
	}
}

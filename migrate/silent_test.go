package migrate

import (
	"errors"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// An answer that names too little, even nothing, now and then costs calls and no
// token; that it says nothing at all is told only of an endpoint that does so
// again.
func TestNetwork_AsksAgainForWhatAnAnswerDoesNotName(t *testing.T) {
	t.Parallel()
	// One sender and chunks of ten: which call meets which tokens is known.
	none := func(calls ...int) sandbox.Fault { return sandbox.Fault{Kind: sandbox.NoResults, Calls: calls} }
	half := func(calls ...int) sandbox.Fault {
		return sandbox.Fault{Kind: sandbox.TruncatedResults, Calls: calls}
	}
	type after struct {
		code     int
		calls    int // of all runs
		imported int64
		unknown  int64
	}
	for name, c := range map[string]struct {
		rows   int
		faults []sandbox.Fault
		runs   []after
	}{
		"nothing, once":             {20, []sandbox.Fault{none(2)}, []after{{0, 3, 20, 0}}},
		"half, then nothing, once":  {20, []sandbox.Fault{half(1), none(2)}, []after{{0, 4, 20, 0}}},
		"one token, never":          {11, []sandbox.Fault{none(2, 3)}, []after{{3, 3, 10, 1}}},
		"one token, at the third":   {11, []sandbox.Fault{none(2, 3)}, []after{{3, 3, 10, 1}, {0, 4, 11, 0}}},
		"some, never in two runs":   {14, []sandbox.Fault{half(2), none(3, 4, 5, 6)}, []after{{3, 4, 12, 2}, {3, 6, 12, 2}, {0, 7, 14, 0}}},
		"nothing from the first on": {30, []sandbox.Fault{none()}, []after{{4, 1, 0, 10}}},
		"nothing from a time on":    {30, []sandbox.Fault{none(2, 3, 4, 5)}, []after{{4, 3, 10, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNetwork(t, c.rows, sandbox.Options{Faults: c.faults})
			w.o.Concurrency = 1
			for i, want := range c.runs {
				r, err := w.start()()
				got := r.Counts
				if code, calls := testExitCode(err), w.end.Summary().Calls; code != want.code || calls != want.calls {
					t.Errorf("run %d: got exit code %d (%v) after %d calls, want %d after %d", i+1, code, err, calls, want.code, want.calls)
				}
				if done := got.Imported + got.Unchanged; done != want.imported || got.Unknown != want.unknown {
					t.Errorf("run %d: got %+v, want %d imported by now and %d unknown", i+1, got, want.imported, want.unknown)
				}
				if want.unknown > 0 && r.Reasons[reasonUnmatched] != want.unknown {
					t.Errorf("run %d: got reasons %v, want %d unmatched", i+1, r.Reasons, want.unknown)
				}
				if want.code == 4 && !errors.Is(err, ErrRefused) {
					t.Errorf("run %d: got error %v, want one that wraps ErrRefused", i+1, err)
				}
			}
			w.wantNothingOpen()
		})
	}
}

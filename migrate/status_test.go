package migrate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

func runOf(id int64, counts string, change ...func(*checkpoint.Run)) checkpoint.Run {
	r := checkpoint.Run{ID: id, Mode: "run", StartedAt: noon, Counts: []byte(counts), Alive: true}
	for _, c := range change {
		c(&r)
	}
	return r
}

func finished(code int, at time.Duration) func(*checkpoint.Run) {
	return func(r *checkpoint.Run) { r.FinishedAt, r.ExitCode = noon.Add(at), &code }
}

const (
	countsOne = `{"read":3,"imported":2,"failed":1,"reasons":{"refused":1},"connectors":[{"connector":"a","environment":"production","read":3,"imported":2,"failed":1}],"calls":{"made":2,"tokens":3,"waitedSeconds":{"pace":1}},"remaining":{"rows":4,"estimated":true}}`
	countsTwo = `{"read":2,"imported":1,"unknown":1,"reasons":{"in_doubt":1},"connectors":[{"connector":"a","environment":"production","read":2,"imported":1,"unknown":1}],"calls":{"made":1,"tokens":2,"waitedSeconds":{"pace":2}},"remaining":{"rows":1,"estimated":false}}`
)

func TestStatusReport_AddsUpTheShards(t *testing.T) {
	t.Parallel()
	r, err := StatusReport(checkpoint.Migration{Name: "acme"}, []checkpoint.Run{
		runOf(1, countsOne, finished(3, time.Minute)),
		runOf(2, countsTwo, finished(0, time.Hour), func(r *checkpoint.Run) { r.StartedAt = noon.Add(-time.Hour) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (report.Counts{Read: 5, Imported: 3, Failed: 1, Unknown: 1}); r.Counts != want || len(r.Connectors) != 1 || r.Connectors[0].Counts != want {
		t.Errorf("got %+v in %+v, want %+v in one connector", r.Counts, r.Connectors, want)
	}
	if r.Reasons["refused"] != 1 || r.Reasons["in_doubt"] != 1 || r.Calls.Made != 3 || r.Calls.WaitedSeconds["pace"] != 3 {
		t.Errorf("got reasons %v and calls %+v, want those of both", r.Reasons, r.Calls)
	}
	if want := (report.Remaining{Rows: 5, Estimated: true}); r.Remaining != want {
		t.Errorf("got %+v, want %+v", r.Remaining, want)
	}
	if r.ExitCode == nil || *r.ExitCode != 3 || r.FinishedAt == nil || !r.FinishedAt.Equal(noon.Add(time.Hour)) || !r.StartedAt.Equal(noon.Add(-time.Hour)) {
		t.Errorf("got exit code %v from %v to %v, want the worst, 3, from the first start to the last end", r.ExitCode, r.StartedAt, r.FinishedAt)
	}
	if r.Migration != "acme" || r.Mode != "run" || r.Version != report.Version {
		t.Errorf("got %s, %s, version %d", r.Migration, r.Mode, r.Version)
	}
}

func TestStatusReport_TellsRunningFromDead(t *testing.T) {
	t.Parallel()
	done := runOf(1, countsOne, finished(0, time.Minute))
	for _, c := range []struct {
		name  string
		alive bool
		want  string
	}{{"running", true, ""}, {"dead", false, "error"}} {
		r, err := StatusReport(checkpoint.Migration{}, []checkpoint.Run{done, runOf(2, countsTwo, func(r *checkpoint.Run) { r.Alive = c.alive })})
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != nil || r.StoppedBy != c.want || c.alive == strings.Contains(r.Error, "died") {
			t.Errorf("%s: got exit code %v, stopped by %q, error %q; want none, %q", c.name, r.ExitCode, r.StoppedBy, r.Error, c.want)
		}
	}
}

func TestStatusReport_TellsEachShardAndItsProgress(t *testing.T) {
	t.Parallel()
	one := `{"progress":[{"seconds":0,"done":0},{"seconds":10,"done":5,"imported":4,"calls":2},{"seconds":20,"done":9,"imported":8,"calls":3,"throttled":1}],
		"pace":{"requestsPerMinute":40,"current":40},"store":{"name":"authjs","encrypted":3,"plain":1,"warnings":["beware"]},"warnings":["loud"]}`
	two := `{"progress":[{"seconds":0,"done":0},{"seconds":10,"done":7,"imported":7,"calls":1}],
		"pace":{"requestsPerMinute":40,"current":20},"store":{"name":"authjs","encrypted":2,"plain":2,"warnings":["beware"]},"warnings":["loud"]}`
	r, err := StatusReport(checkpoint.Migration{Name: "acme"}, []checkpoint.Run{
		runOf(1, one, func(r *checkpoint.Run) { r.Waiting = "pace" }),
		runOf(2, two, func(r *checkpoint.Run) {
			r.Shard, r.StartedAt, r.Waiting, r.Version, r.HeartbeatAt = 1, noon.Add(5*time.Second), "the source database", "v1", noon.Add(time.Minute)
		}),
		runOf(3, `{}`, finished(75, time.Hour), func(r *checkpoint.Run) { r.Shard, r.LastError = 2, "stopped" }),
		runOf(4, `{}`, func(r *checkpoint.Run) { r.Shard, r.Alive, r.Waiting = 3, false, "pace" }),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []report.ProgressPoint{
		{Seconds: 0}, {Seconds: 5}, {Seconds: 10, Done: 5, Imported: 4, Calls: 2},
		{Seconds: 15, Done: 12, Imported: 11, Calls: 3}, {Seconds: 20, Done: 16, Imported: 15, Calls: 4, Throttled: 1},
	}
	if !slices.Equal(r.Progress, want) {
		t.Errorf("progress:\n got %+v\nwant %+v", r.Progress, want)
	}
	if want := (report.Pace{RequestsPerMinute: 40, Current: 40, Waiting: "the source database"}); r.Pace != want {
		t.Errorf("pace: got %+v, want %+v", r.Pace, want)
	}
	if s := r.Store; s.Name != "authjs" || s.Encrypted != 5 || s.Plain != 3 || len(s.Warnings) != 1 || len(r.Warnings) != 1 {
		t.Errorf("got store %+v and warnings %v, want the sum, and each warning once", s, r.Warnings)
	}
	states := []report.RunState{
		{Run: 1, State: report.Running, StartedAt: noon, Waiting: "pace"},
		{Run: 2, Shard: 1, Version: "v1", State: report.Running, StartedAt: noon.Add(5 * time.Second), HeartbeatAt: noon.Add(time.Minute), Waiting: "the source database"},
		{Run: 3, Shard: 2, State: report.Ended, StartedAt: noon, FinishedAt: new(noon.Add(time.Hour)), ExitCode: new(75), LastError: "stopped"},
		{Run: 4, Shard: 3, State: report.Died, StartedAt: noon},
	}
	if !reflect.DeepEqual(r.Runs, states) {
		t.Errorf("runs:\n got %+v\nwant %+v", r.Runs, states)
	}
}

func TestStatusReport_Errors(t *testing.T) {
	t.Parallel()
	if _, err := StatusReport(checkpoint.Migration{Name: "acme"}, nil); !errors.Is(err, checkpoint.ErrNoRun) || !strings.Contains(err.Error(), "acme") {
		t.Errorf("got error %v, want %v with the migration's name", err, checkpoint.ErrNoRun)
	}
	if _, err := StatusReport(checkpoint.Migration{}, []checkpoint.Run{runOf(9, `{"read":"x"}`)}); err == nil || !strings.Contains(err.Error(), "run 9") {
		t.Errorf("got error %v, want one that names run 9", err)
	}
}

func TestStopError(t *testing.T) {
	t.Parallel()
	live := t.Context()
	ended, cancel := context.WithCancel(live)
	cancel()
	kinds := []error{ErrNotImported, ErrRefused, ErrUnavailable, ErrHeld, ErrStopped, ErrConfig}
	own := errors.New("unexpected")
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want error // of kinds; nil: none
	}{
		{"well", live, nil, nil},
		{"well after a signal", ended, nil, nil},
		{"known to be stopped", ended, ErrStopped, ErrStopped},
		{"cut by a signal", ended, fmt.Errorf("send: %w", context.Canceled), ErrStopped},
		{"not imported, after a signal", ended, own, ErrStopped},
		{"lease lost", live, checkpoint.ErrLeaseLost, ErrHeld},
		{"newer schema", live, checkpoint.ErrNewerSchema, ErrConfig},
		{"database away", live, again, ErrUnavailable},
		{"database refuses", live, stopped, nil},
		{"refused", live, fmt.Errorf("%w: no", ErrRefused), ErrRefused},
		{"unexpected", live, own, nil},
	} {
		got := stopError(c.ctx, c.err)
		for _, kind := range kinds {
			if errors.Is(got, kind) != (kind == c.want) {
				t.Errorf("%s: got error %q, which is %q: %t; want %v", c.name, got, kind, errors.Is(got, kind), c.want)
			}
		}
		if got != nil && strings.Count(got.Error(), ErrStopped.Error()) > 1 {
			t.Errorf("%s: got error %q, which says the same twice", c.name, got)
		}
		if c.err != nil && !errors.Is(got, c.err) && !errors.Is(c.err, context.Canceled) {
			t.Errorf("%s: got error %v, which hides %v", c.name, got, c.err)
		}
	}
}

func TestNotImported_ComparesWithThePolicy(t *testing.T) {
	t.Parallel()
	allow := func(n int64) *Policy { return &Policy{MaxFailed: func(int64) int64 { return n }} }
	c := report.Counts{Read: 100, Imported: 80, Failed: 1, Invalid: 2, Unknown: 3, Pending: 4, Skipped: 10}
	if err := notImported(c, &Options{Policy: *allow(10)}); err != nil {
		t.Errorf("10 of 10 allowed: got error %v, want none", err)
	}
	err := notImported(c, &Options{Policy: *allow(9)})
	if !errors.Is(err, ErrNotImported) {
		t.Fatalf("10 of 9 allowed: got error %v, want %v", err, ErrNotImported)
	}
	for _, part := range []string{"10 of 100 rows", "1 failed", "2 invalid", "3 unknown", "4 pending", "allows 9"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want it to contain %q", err, part)
		}
	}
	share := &Policy{MaxFailed: func(rows int64) int64 { return rows / 10 }}
	if err := notImported(c, &Options{Policy: *share}); err != nil {
		t.Errorf("a tenth of the rows: got error %v, want none: it is asked with the rows read", err)
	}
}

func TestPass_EstimatesTheTimeLeft(t *testing.T) {
	t.Parallel()
	p := testPass(&Options{ChunkTokens: 100, ChunkBytes: 1 << 20, RequestsPerMinute: 40}, newMemory(), nil, 1)
	for _, c := range []struct {
		rows  int64
		calls report.Calls
		rpm   float64
		want  string
	}{
		{8000, report.Calls{}, 40, "2m0s"},
		{8000, report.Calls{Made: 10, Tokens: 500}, 40, "4m0s"}, // half full so far
		{0, report.Calls{}, 40, "0s"},
		{-5, report.Calls{}, 40, "0s"},
		{100, report.Calls{}, 0, "0s"},
	} {
		if got := p.left(c.rows, c.calls, c.rpm, "pace"); got != c.want {
			t.Errorf("%d rows at %g a minute after %+v: got %s, want %s", c.rows, c.rpm, c.calls, got, c.want)
		}
	}
	if got := p.left(8000, report.Calls{}, 40, "calls in doubt"); got != "not known while it waits" {
		t.Errorf("while it waits: got %s", got)
	}
}

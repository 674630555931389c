package migrate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// ofShard is the run of one shard of several, with 100 rows of which 60 are
// imported, 10 pending and 30 not reached.
func ofShard(id int64, shard, shards int, change ...func(*checkpoint.Run)) checkpoint.Run {
	counts := fmt.Sprintf(`{"shards":%d,"read":70,"imported":60,"pending":10,"remaining":{"rows":30,"estimated":false},
		"connectors":[{"connector":"a","environment":"production","read":70,"imported":60,"pending":10}],
		"calls":{"made":6,"tokens":60,"allowed":7,"full":5,"wasted":1}}`, shards)
	return runOf(id, counts, append([]func(*checkpoint.Run){func(r *checkpoint.Run) { r.Shard = shard }}, change...)...)
}

func dead(r *checkpoint.Run) { r.Alive = false }

// statusOf returns the report of a migration in so many shards.
func statusOf(t *testing.T, shards int, runs ...checkpoint.Run) *report.Report {
	t.Helper()
	r, err := StatusReport(checkpoint.Migration{Name: "acme", Shards: shards}, runs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// states returns the shards' states: "0 ended, 1 died".
func states(r *report.Report) string {
	var list []string
	for _, s := range r.Runs {
		list = append(list, fmt.Sprint(s.Shard, " ", s.State))
	}
	return strings.Join(list, ", ")
}

// A migration of which shards were never started is never told as a whole one.
func TestStatusReport_TellsMissingShards(t *testing.T) {
	t.Parallel()
	r := statusOf(t, 4, ofShard(7, 0, 4, finished(0, time.Minute)), ofShard(8, 3, 4, finished(0, time.Hour)))
	if got, want := states(r), "0 ended, 1 missing, 2 missing, 3 ended"; got != want || r.Shards != 4 {
		t.Errorf("got %s of %d, want %s of 4", got, r.Shards, want)
	}
	if r.FinishedAt != nil || r.ExitCode != nil || r.StoppedBy != "error" || !strings.Contains(r.Error, "shards 1 and 2 of 4 were never started") {
		t.Errorf("got an end at %v with %v, stopped by %q: %q; want none, and what is missing", r.FinishedAt, r.ExitCode, r.StoppedBy, r.Error)
	}
	if want := (report.Remaining{Rows: 260, Estimated: true}); r.Remaining != want {
		t.Errorf("got %+v, want %+v: 30 of each that was started, and 100 of each that was not", r.Remaining, want)
	}
	if v := r.Verdict(); v.Level != report.Bad || !strings.Contains(v.Sentence, "120 of about 400 rows done") {
		t.Errorf("got %+v", v)
	}
	if r.Counts.Imported != 120 || r.Calls.Allowed != 14 || r.Calls.Full != 10 || r.Calls.Wasted != 2 {
		t.Errorf("got %+v and %+v, want the sums", r.Counts, r.Calls)
	}
	var done, left int64
	for _, s := range r.Runs {
		done, left = done+s.Done, left+s.Left
	}
	if c := r.Counts; done != c.Read-c.Pending || left != c.Pending+r.Remaining.Rows {
		t.Errorf("the shards have %d done and %d left, the migration counts %+v and %+v", done, left, c, r.Remaining)
	}
}

// One that died, or ended early, does not end the migration while others go on.
func TestStatusReport_GoesOnWhileAShardDoes(t *testing.T) {
	t.Parallel()
	evicted := ofShard(9, 2, 4, finished(75, time.Minute), func(r *checkpoint.Run) {
		r.Counts = []byte(strings.Replace(string(r.Counts), "{", `{"stoppedBy":"signal",`, 1))
		r.LastError = "stopped with work left"
	})
	r := statusOf(t, 4, ofShard(7, 0, 4), ofShard(8, 1, 4, dead), evicted)
	if r.FinishedAt != nil || r.ExitCode != nil || r.StoppedBy != "" || r.Error != "" {
		t.Errorf("got an end at %v with %v, stopped by %q: %q; want none", r.FinishedAt, r.ExitCode, r.StoppedBy, r.Error)
	}
	want := []string{"Under way", "shard 1 died", "shard 3 of 4 was never started", "shard 2 ended with exit code 75"}
	v := r.Verdict()
	for _, part := range want {
		if !strings.Contains(v.Sentence, part) {
			t.Errorf("got %q, want %q in it", v.Sentence, part)
		}
	}
	if v.Level != report.Mind {
		t.Errorf("got the level %s, want %s", v.Level, report.Mind)
	}
}

// The exit code that speaks comes with the words of its own shard.
func TestStatusReport_TheWorstShardSpeaks(t *testing.T) {
	t.Parallel()
	failed := func(words, stopped string) func(*checkpoint.Run) {
		return func(r *checkpoint.Run) {
			r.LastError = words
			r.Counts = []byte(strings.Replace(string(r.Counts), "{", fmt.Sprintf(`{"stoppedBy":%q,`, stopped), 1))
		}
	}
	r := statusOf(t, 3,
		ofShard(1, 0, 3, finished(5, time.Minute), failed("the database is away", "error")),
		ofShard(2, 1, 3, finished(75, 2*time.Minute), failed("stopped with work left", "signal")),
		ofShard(3, 2, 3, finished(3, time.Hour), failed("not every token is imported", "")))
	if r.ExitCode == nil || *r.ExitCode != 75 || r.StoppedBy != "signal" || r.Error != "shard 1: stopped with work left" {
		t.Errorf("got %v, stopped by %q: %q; want what shard 1 ended with", r.ExitCode, r.StoppedBy, r.Error)
	}
	if r.FinishedAt == nil || !r.FinishedAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("got the end %v, want the last one", r.FinishedAt)
	}
	r = statusOf(t, 2, ofShard(1, 0, 2, finished(0, time.Minute)), ofShard(2, 1, 2, finished(0, time.Minute), failed("", "limit")))
	if *r.ExitCode != 0 || r.StoppedBy != "limit" {
		t.Errorf("got %d, stopped by %q; want 0 by the limit", *r.ExitCode, r.StoppedBy)
	}
	if r = statusOf(t, 1, ofShard(1, 0, 1, finished(42, time.Minute))); *r.ExitCode != 42 {
		t.Errorf("got exit code %d, want 42 as it was", *r.ExitCode)
	}
}

// A shard that looks for changes does not hide that another is in its first walk.
func TestStatusReport_WalksOfShards(t *testing.T) {
	t.Parallel()
	walk := func(text string) func(*checkpoint.Run) {
		return func(r *checkpoint.Run) {
			r.Counts = []byte(strings.Replace(string(r.Counts), "{", `{"walk":`+text+",", 1))
		}
	}
	second := walk(`{"number":2,"open":3}`)
	for _, c := range []struct {
		name string
		runs []checkpoint.Run
		want string
	}{
		{"one in the first", []checkpoint.Run{ofShard(1, 0, 2), ofShard(2, 1, 2, second)}, "<nil>"},
		{"all in a later one", []checkpoint.Run{ofShard(1, 0, 2, walk(`{"number":3,"open":1}`)), ofShard(2, 1, 2, second)}, "&{3 4}"},
		{"one has ended", []checkpoint.Run{ofShard(1, 0, 2), ofShard(2, 1, 2, second, finished(0, 0))}, "<nil>"},
		{"all have ended", []checkpoint.Run{ofShard(1, 0, 2, finished(0, 0)), ofShard(2, 1, 2, second, finished(0, 0))}, "&{2 3}"},
	} {
		if got := fmt.Sprint(statusOf(t, 2, c.runs...).Walk); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

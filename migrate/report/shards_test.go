package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sharded is a migration in four shards: one is at work, one died, one was never
// started and one has ended.
func sharded() *Report {
	r := New("acme", "run")
	r.StartedAt = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	r.Shards = 4
	var t Tally
	*t.At(Place{"slack/acme", "production"}) = Counts{Read: 250, Imported: 240, Pending: 10}
	t.Fill(r)
	r.Remaining = Remaining{150, true}
	r.Pace = Pace{RequestsPerMinute: 40, Current: 40, Waiting: "pace"}
	r.Runs = []RunState{
		{Run: 7, Shard: 0, State: Ended, StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt, FinishedAt: new(r.StartedAt.Add(time.Minute)), ExitCode: new(0), Done: 100},
		{Run: 8, Shard: 1, State: Died, StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt.Add(time.Second), Done: 80, Left: 20},
		{Shard: 2, State: Missing, Left: 100},
		{Run: 9, Shard: 3, State: Running, StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt.Add(time.Hour), Done: 60, Left: 40, Waiting: "pace"},
	}
	return r
}

// faces writes the report as text, as a status, and as a page.
func faces(t *testing.T, r *Report) (text, status, page string) {
	t.Helper()
	var b [3]bytes.Buffer
	if err := r.WriteText(&b[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteStatus(&b[1], StatusOptions{Now: r.StartedAt.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteHTML(&b[2], HTMLOptions{}); err != nil {
		t.Fatal(err)
	}
	return b[0].String(), b[1].String(), b[2].String()
}

func mustContain(t *testing.T, name, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: %q is missing in\n%s", name, part, text)
		}
	}
}

// A shard that was never started is seen in every face, and the shards add up to
// the migration.
func TestReport_TellsShardsApart(t *testing.T) {
	t.Parallel()
	r := sharded()
	text, status, page := faces(t, r)
	const trouble = "but the worker of shard 1 died without a word (killed, or its machine failed); the same command goes on from there; shard 2 of 4 was never started, so that its rows are missing here."
	if v := r.Verdict(); v.Level != Mind || !strings.HasSuffix(v.Sentence, trouble) || !strings.HasPrefix(v.Sentence, "Under way, 240 of about 400 rows done") {
		t.Errorf("got %+v", v)
	}
	lines := []string{
		"shard  run  done  left  state",
		"0        7   100     0  ended with 0",
		"1        8    80    20  died without a word",
		"2        -     0   100  never started",
		"3        9    60    40  running",
		"all          240   160",
	}
	mustContain(t, "text", text, append(lines, "Run of migration acme in 4 shards: Under way")...)
	mustContain(t, "status", status, append(lines, "Migration acme in 4 shards: Under way", "never")...)
	mustContain(t, "page", page, "never started", "died", ">240<", ">160<", "of migration <b>acme</b> in 4 shards", "shard 2 of 4 was never started")
	if err := validate(compiled(t), jsonOf(t, r)); err != nil {
		t.Errorf("the JSON does not fit its schema: %v", err)
	}
	if json := string(jsonOf(t, r)); strings.Contains(json, "0001-01-01") || !strings.Contains(json, `"state": "missing"`) || !strings.Contains(json, `"shards": 4`) {
		t.Errorf("got JSON with a time that never was, or without the missing shard:\n%s", json)
	}
}

// The report of one worker is not taken for that of the migration.
func TestReport_OfOneShard(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"run": "Done: 250 imported now, 0 before, none missing. This is shard 2/4 alone.", "dry-run": "Nothing is left to do: nothing would be sent; 0 of 250 rows are imported already. This is shard 2/4 alone."} {
		r := New("acme", mode)
		r.Shards, r.Shard = 4, new(2)
		var tally Tally
		*tally.At(Place{"slack/acme", "production"}) = Counts{Read: 250, Imported: 250}
		tally.Fill(r)
		r.FinishedAt, r.ExitCode = new(r.StartedAt.Add(time.Minute)), new(0)
		if got := r.Sentence(); got != want {
			t.Errorf("%s: got %q, want %q", mode, got, want)
		}
		text, _, page := faces(t, r)
		mustContain(t, mode, text, " of shard 2/4 of migration acme: ")
		mustContain(t, mode, page, " of shard 2/4 of migration <b>acme</b>", "<title>"+r.title()+" of shard 2/4 of acme</title>")
	}
}

// Whatever a verdict ends with, what follows begins a sentence.
func TestReport_OfOneShardEndsTheSentenceBefore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stoppedBy, problem, want string }{
		{"error", "see `failures`", "Stopped by an error: see `failures`. This is shard 2/4 alone."},
		{"error", "see `failures`.", "Stopped by an error: see `failures`. This is shard 2/4 alone."},
		{"", "", "may the role see its rows? This is shard 2/4 alone."},
	} {
		r := New("acme", "run")
		r.Shards, r.Shard, r.FinishedAt, r.StoppedBy, r.Error = 4, new(2), new(r.StartedAt), c.stoppedBy, c.problem
		if got := r.Sentence(); !strings.HasSuffix(got, c.want) {
			t.Errorf("got %q, want %q at its end", got, c.want)
		}
	}
}

// Where the screen has no room for all shards, those that need somebody stand
// first.
func TestReport_WriteStatus_ShowsShardsThatNeedSomebody(t *testing.T) {
	t.Parallel()
	r := sharded()
	var b bytes.Buffer
	if err := r.WriteStatus(&b, StatusOptions{Now: r.StartedAt, Most: 2}); err != nil {
		t.Fatal(err)
	}
	mustContain(t, "status", b.String(), "died without a word", "never started", "and 2 shards more", "all          240   160")
	if strings.Contains(b.String(), "ended with 0") {
		t.Errorf("a shard that needs nobody is shown:\n%s", b.String())
	}
}

func TestShardTrouble(t *testing.T) {
	t.Parallel()
	missing := func(shards ...int) []RunState {
		var list []RunState
		for _, n := range shards {
			list = append(list, RunState{Shard: n, State: Missing})
		}
		return list
	}
	for _, c := range []struct {
		name string
		r    Report
		want string
	}{
		{"none", Report{Runs: []RunState{{State: Running}}}, ""},
		{"the only one died", Report{Runs: []RunState{{State: Died}}}, "the worker died without a word (killed, or its machine failed); the same command goes on from here"},
		{"two died", Report{Shards: 2, Runs: []RunState{{State: Died}, {Shard: 1, State: Died}}}, "the workers of shards 0 and 1 died without a word (killed, or its machine failed); the same command goes on from there"},
		{"all but one missing", Report{Shards: 9, Runs: append(missing(0, 1, 2, 3, 4, 5, 6, 7), RunState{Shard: 8, State: Ended, ExitCode: new(3)})}, "shards 0, 1, 2, 3, 4 and 3 others of 9 were never started, so that their rows are missing here"},
		{"one ended badly while another goes on", Report{Shards: 2, Runs: []RunState{{State: Running}, {Shard: 1, State: Ended, ExitCode: new(5)}}}, "shard 1 ended with exit code 5"},
	} {
		if got := c.r.ShardTrouble(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	var many []RunState
	for n := range 50 {
		many = append(many, RunState{Shard: n, State: Ended, ExitCode: new(5)})
	}
	r := Report{Shards: 51, Runs: append(many, RunState{Shard: 50, State: Running})}
	if got := r.ShardTrouble(); len(got) > 200 || !strings.HasSuffix(got, "and more, see the shards") {
		t.Errorf("many: got %q", got)
	}
}

// How the budget was spent stands in text and page, where it was counted.
func TestReport_TellsHowTheBudgetWasSpent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calls Calls
		want  string
	}{
		{Calls{Made: 371, Allowed: 373, Full: 366, Wasted: 15}, "366 of 373 allowed calls (98.1%) carried a full chunk, and 15 (4.0%) brought no outcome"},
		{Calls{Made: 400, Allowed: 400, Full: 400}, "400 of 400 allowed calls (100%) carried a full chunk, and none was wasted"},
		{Calls{Made: 1, Allowed: 1}, "0 of 1 allowed call (0%) carried a full chunk, and none was wasted"},
		{Calls{Made: 10, Full: 5, Wasted: 1}, "5 of 10 allowed calls (50.0%) carried a full chunk, and 1 (10.0%) brought no outcome"},
		{Calls{Made: 10}, ""},
		{Calls{}, ""},
	} {
		r := example()
		r.Calls = c.calls
		text, _, page := faces(t, r)
		if got := strings.Contains(text, "carried a full chunk") || strings.Contains(page, "carried a full chunk"); got != (c.want != "") {
			t.Errorf("%+v: the budget is told: %t", c.calls, got)
		}
		mustContain(t, fmt.Sprintf("%+v", c.calls), text, c.want)
		mustContain(t, fmt.Sprintf("%+v", c.calls), page, c.want)
	}
	sum := Calls{Allowed: 1, Full: 2, Wasted: 3}
	sum.Add(Calls{Allowed: 10, Full: 20, Wasted: 30})
	if sum.Allowed != 11 || sum.Full != 22 || sum.Wasted != 33 {
		t.Errorf("got the sum %+v", sum)
	}
}

// What the number of tokens a call does to the time is said as it is.
func TestReport_SaysWhatChunkSizeDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		pending int64
		p       Projection
		want    []string
		not     string
	}{
		{"larger ones help", 20_000, Projection{100, 200, 300, []ProjectionChunkTokens{{50, 400, 600}, {100, 200, 300}, {500, 40, 60}}},
			[]string{"Chunk size is what decides the time", "With send.chunk_tokens at 500 it would be about 1m0s"}, "A call would carry"},
		{"bytes come first", 18_950, Projection{100, 254, 127, []ProjectionChunkTokens{{50, 380, 190}, {100, 254, 127}, {500, 254, 127}}},
			[]string{"A call would carry about 74 tokens and not 100: send.chunk_bytes fills it first", "A larger send.chunk_tokens would change nothing."}, "With send.chunk_tokens"},
	} {
		r := dryExample()
		r.Counts.Pending, r.Counts.Read, r.Projection = c.pending, c.pending+325, c.p
		text, _, page := faces(t, r)
		mustContain(t, c.name, text, c.want...)
		mustContain(t, c.name, page, c.want...)
		if strings.Contains(text, c.not) {
			t.Errorf("%s: %q stands in\n%s", c.name, c.not, text)
		}
	}
}

// Of failures beyond those that a report lists it tells how many there are.
func TestReport_CountsTheFailuresThatItDoesNotList(t *testing.T) {
	t.Parallel()
	r := bigDryRun()
	text, _, _ := faces(t, r)
	mustContain(t, "text", text, "and 34,785 others; --report FILE.json lists up to 1,000")
	r.Reasons = map[string]int64{}
	text, _, _ = faces(t, r)
	mustContain(t, "text", text, "and 990 or more others")
}

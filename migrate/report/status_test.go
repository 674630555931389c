package report

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReport_WriteStatusOfARunThatBegins(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	r := New("acme", "run")
	r.Runs = []RunState{{Run: 1, State: Running, StartedAt: now, HeartbeatAt: now}}
	var b strings.Builder
	if err := r.WriteStatus(&b, StatusOptions{Now: now}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{": Under way; nothing was read yet.\n", "done        nothing was read yet\n", "left        not known yet\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestReport_WriteStatus(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	r := New("acme", "run")
	r.StartedAt = now.Add(-time.Hour)
	r.Counts = Counts{Read: 70, Imported: 40, Failed: 10, Pending: 20}
	r.Reasons["refused"] = 10
	r.Remaining = Remaining{Rows: 30, Estimated: true}
	r.Pace = Pace{RequestsPerMinute: 40, Current: 20, Waiting: "throttled until 12:00:30"}
	r.Calls = Calls{Made: 7, Tokens: 21, Throttled: 2}
	for n := range 20 {
		r.Connectors = append(r.Connectors, Connector{fmt.Sprintf("slack/%02d", n), "production", Counts{Read: int64(n), Imported: int64(n)}})
		r.Runs = append(r.Runs, RunState{Run: int64(n), Shard: n, State: Ended, StartedAt: r.StartedAt, HeartbeatAt: now, FinishedAt: &now, ExitCode: new(0)})
	}
	r.Runs[17] = RunState{Run: 17, Shard: 17, State: Died, StartedAt: r.StartedAt, HeartbeatAt: now.Add(-time.Minute), LastError: "it\x1b[2Jbroke"}
	r.Runs[18] = RunState{Run: 18, Shard: 18, State: Running, StartedAt: r.StartedAt, HeartbeatAt: now.Add(-3 * time.Second), Done: 1234, Left: 5, Waiting: "pace"}
	var b strings.Builder
	if err := r.WriteStatus(&b, StatusOptions{Now: now, Most: 5}); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"done        50 of about 100 rows [##########----------] 50%\n",
		"left        about 50 rows; how long that takes is not known while it waits\n",
		"pace        40 calls a minute, now 20; 7 calls made, 2 throttled\n",
		"waiting for throttled until 12:00:30\n",
		`last error  shard 17: it\x1b[2Jbroke` + "\n",
		"and 15 connectors with fewer rows\n", "slack/19", "not imported: 10 refused\n",
		"died without a word  2026-10-01 11:00:00  1m0s ago\n", "1,234", "3s ago    pace\n", "and 15 shards more\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "slack/03") || strings.Contains(got, "\x1b") || t.Failed() {
		t.Errorf("got\n%s", got)
	}
	b.Reset()
	r.Pace.Waiting, r.InDoubt = "pace", &InDoubt{Calls: 1, Tokens: 100}
	if err := r.WriteStatus(&b, StatusOptions{Now: now}); err != nil || !strings.Contains(b.String(), "left        about 50 rows, about 50s\n") {
		t.Errorf("with nothing in its way: got %v\n%s", err, b.String())
	}
	const doubt = "1 call with 100 tokens has no answer on record"
	if !strings.Contains(b.String(), "in doubt    "+doubt+"\n") || strings.Contains(got, "in doubt") {
		t.Errorf("calls in doubt: got\n%s", b.String())
	}
	b.Reset()
	if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), "warning: "+doubt+", and") || !strings.Contains(b.String(), "a run of their shard goes by policy.in_doubt\n") {
		t.Errorf("the report on calls in doubt: got %v\n%s", err, b.String())
	}
	b.Reset()
	one := New("acme", "run")
	one.InDoubt, one.Paused = &InDoubt{Calls: 2, Tokens: 1001}, true
	if err := one.WriteText(&b); err != nil || !strings.Contains(b.String(), "warning: 2 calls with 1,001 tokens have no") || !strings.Contains(b.String(), "over, a run goes by") ||
		!strings.Contains(b.String(), "warning: the migration is paused by an operator: no calls are made until `tokenmigrate resume`\n") {
		t.Errorf("the report on several calls in doubt, and a pause: got %v\n%s", err, b.String())
	}
	b.Reset()
	if err := one.WriteStatus(&b, StatusOptions{Now: now}); err != nil || !strings.Contains(b.String(), "paused      by an operator: no calls are made until `tokenmigrate resume`\n") {
		t.Errorf("the status of what is paused: got %v\n%s", err, b.String())
	}
	b.Reset()
	if err := r.WriteStatus(&b, StatusOptions{Now: now}); err != nil || !strings.Contains(b.String(), "slack/03") || strings.Contains(b.String(), " shards more") {
		t.Errorf("without a bound: got %v\n%s", err, b.String())
	}
}

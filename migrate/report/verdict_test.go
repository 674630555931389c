package report

import (
	"testing"
	"time"
)

func TestReport_Verdict(t *testing.T) {
	t.Parallel()
	at := new(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC))
	three, four := new(3), new(4)
	dry := func(c Counts, change func(*Report)) Report {
		r := Report{Mode: "dry-run", FinishedAt: at, Counts: c, Projection: Projection{Calls: 2, Seconds: 90}, Reasons: map[string]int64{"expired": c.Skipped, "duplicate": c.Invalid, "refused": c.Failed}}
		if change != nil {
			change(&r)
		}
		return r
	}
	for _, c := range []struct {
		name  string
		r     Report
		level Level
		want  string
	}{
		{"under way", Report{Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500}}, Busy, "Under way, 1,400 of 2,000 rows done."},
		{"under way, time left", Report{Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500, Estimated: true}, Pace: Pace{RequestsPerMinute: 40, Current: 6, Waiting: "pace"},
			Calls: Calls{Made: 14, Tokens: 1400}}, Busy, "Under way, 1,400 of about 2,000 rows done, about 1m0s left."},
		{"under way, held up", Report{Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500, Estimated: true}, Pace: Pace{RequestsPerMinute: 40, Current: 6, Waiting: "throttled until 12:00:00"},
			Calls: Calls{Made: 14, Tokens: 1400}}, Busy, "Under way, 1,400 of about 2,000 rows done; waiting: throttled until 12:00:00."},
		{"under way again, most of it unchanged", Report{Counts: Counts{Read: 90_000, Unchanged: 89_900, Imported: 100}, Remaining: Remaining{Rows: 4000}, Pace: Pace{RequestsPerMinute: 40},
			Calls: Calls{Made: 1, Tokens: 100}, Progress: []ProgressPoint{{}, {Seconds: 1, Done: 90_000}}}, Busy, "Under way, 90,000 of 94,000 rows done, about 1m0s left."},
		{"died", Report{StoppedBy: "error", Error: "the worker died", Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500}}, Bad, "1,400 of about 2,000 rows done; the worker died."},
		{"error", Report{FinishedAt: at, StoppedBy: "error", Error: "it broke"}, Bad, "Stopped by an error: it broke"},
		{"signal", Report{FinishedAt: at, StoppedBy: "signal", Counts: Counts{Read: 9, Imported: 3, Pending: 6}}, Mind, "Stopped by a signal with work left, 3 imported; the same command goes on from here."},
		{"no rows", Report{FinishedAt: at}, Bad, "The source has no rows. Is this the right query, and may the role see its rows?"},
		{"limit", Report{FinishedAt: at, StoppedBy: "limit", Counts: Counts{Read: 9, Imported: 3, Pending: 6}}, Good, "Reached its --limit: 3 imported, 6 left; run it without --limit for the rest."},
		{"limit, and more beyond", Report{FinishedAt: at, StoppedBy: "limit", Counts: Counts{Read: 9, Imported: 3, Pending: 6}, Remaining: Remaining{Rows: 1000, Estimated: true}}, Good, "Reached its --limit: 3 imported, about 1,006 left; run it without --limit for the rest."},
		{"limit, and failures", Report{FinishedAt: at, StoppedBy: "limit", Counts: Counts{Read: 9, Imported: 3, Failed: 2, Pending: 4}, Reasons: map[string]int64{"refused": 2}}, Mind, "Reached its --limit: 3 imported, 4 left; 2 rows are not imported (2 refused); see why, before you run it without --limit for the rest."},
		{"limit, and a refusing connector", Report{FinishedAt: at, StoppedBy: "limit", Counts: Counts{Read: 9, Imported: 3, Pending: 6}, Warnings: []string{refusal("github/acme")}}, Mind, "Reached its --limit: 3 imported, 6 left; connector github/acme refuses calls; see why, before you run it without --limit for the rest."},
		{"refused by the endpoint", Report{FinishedAt: at, ExitCode: four, Error: "the endpoint refuses", Counts: Counts{Read: 9, Imported: 3, Pending: 6}}, Bad, "Ended with exit code 4 (the endpoint refuses): 3 imported now, 0 before."},
		{"not all, as allowed", Report{FinishedAt: at, Counts: Counts{Read: 9, Imported: 3, Unchanged: 2, Failed: 1, Invalid: 1, Unknown: 1, Pending: 1}}, Mind, "Finished, and 4 rows are not imported (see the reasons, 1 pending): 3 imported now, 2 before."},
		{"one, more than allowed", Report{FinishedAt: at, ExitCode: three, Counts: Counts{Read: 6, Imported: 3, Unchanged: 2, Failed: 1}, Reasons: map[string]int64{"refused": 1}}, Bad, "Finished, but 1 row is not imported (1 refused), more than policy.max_failed allows: 3 imported now, 2 before."},
		{"all", Report{FinishedAt: at, Counts: Counts{Read: 5, Imported: 3, Unchanged: 1, Skipped: 1}}, Good, "Done: 3 imported now, 1 before, none missing."},

		{"dry, under way", dry(Counts{Read: 10}, func(r *Report) { r.FinishedAt, r.Remaining.Rows = nil, 90 }), Busy, "The dry run is under way, 10 of about 100 rows judged."},
		{"dry, good", dry(Counts{Read: 5, Pending: 5}, nil), Good, "Go ahead: 5 of 5 rows would be sent in 2 calls, taking about 1m30s; nothing stands in the way."},
		{"dry, nothing to send", dry(Counts{Read: 5, Unchanged: 5}, nil), Good, "Nothing is left to do: nothing would be sent; 5 of 5 rows are imported already."},
		{"dry, nothing to send but trouble", dry(Counts{Read: 5, Unchanged: 4, Invalid: 1}, nil), Mind, "Nothing is left to do but 1 row that cannot be imported (1 duplicate): nothing would be sent; 4 of 5 rows are imported already."},
		{"dry, trouble", dry(Counts{Read: 5, Pending: 2, Invalid: 2, Skipped: 1}, nil), Mind, "Go ahead, knowing that 2 rows cannot be imported (2 duplicate): 2 of 5 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, too much trouble", dry(Counts{Read: 5, Pending: 3, Invalid: 1, Failed: 1}, func(r *Report) { r.ExitCode = three }), Bad, "Not yet: 2 rows cannot be imported (1 duplicate, 1 refused), more than policy.max_failed allows; 3 of 5 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, many reasons", dry(Counts{Read: 20, Pending: 10, Invalid: 10}, func(r *Report) {
			r.Reasons = map[string]int64{"duplicate": 4, "missing_expiry": 3, "too_large": 2, "invalid_expiry": 1}
		}), Mind, "Go ahead, knowing that 10 rows cannot be imported (4 duplicate, 3 missing_expiry, 2 too_large, 1 more): 10 of 20 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, dying", dry(Counts{Read: 5, Pending: 5}, func(r *Report) { r.Expiry = []Expiry{{"expired", 1, 0}, {"run", 3, 1}} }), Mind, "Go ahead, but soon, since 1 token may die before being sent: 5 of 5 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, trouble and dying", dry(Counts{Read: 5, Pending: 4, Invalid: 1}, func(r *Report) { r.Expiry = []Expiry{{"run", 3, 2}} }), Mind, "Go ahead, knowing that 1 row cannot be imported (1 duplicate) and that 2 tokens may die before being sent: 4 of 5 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, limit", dry(Counts{Read: 5, Pending: 5}, func(r *Report) { r.StoppedBy = "limit" }), Good, "Go ahead: 5 of 5 rows would be sent in 2 calls, taking about 1m30s, as --limit asks; nothing stands in the way."},
		{"dry, too much trouble, and some may die", dry(Counts{Read: 5, Pending: 3, Invalid: 1, Failed: 1}, func(r *Report) {
			r.ExitCode, r.Expiry = three, []Expiry{{"run", 0, 1}}
		}), Bad, "Not yet: 2 rows cannot be imported (1 duplicate, 1 refused), more than policy.max_failed allows, and 1 token may die before being sent; 3 of 5 rows would be sent in 2 calls, taking about 1m30s."},
		{"dry, another end", dry(Counts{Read: 5, Pending: 5}, func(r *Report) { r.ExitCode = four }), Bad, "Not yet: a run would end with exit code 4."},
		{"dry, no rows", dry(Counts{}, nil), Bad, "Not yet: the source has no rows. Is this the right query, and may the role see its rows?"},
		{"dry, error", dry(Counts{Read: 1}, func(r *Report) { r.StoppedBy, r.Error = "error", "it broke" }), Bad, "Not yet: the dry run was stopped by an error: it broke"},
		{"dry, signal", dry(Counts{Read: 1}, func(r *Report) { r.StoppedBy = "signal" }), Bad, "Not known yet: the dry run was stopped by a signal after 1 row; run it again."},
	} {
		if got := c.r.Verdict(); got != (Verdict{c.level, c.want}) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", c.name, got.Level, got.Sentence, c.level, c.want)
		}
	}
}

// refusal is the warning of a connector that takes no calls.
func refusal(connector string) string {
	return "connector " + connector + " refuses, no more calls were made to it and 6 of its tokens stay pending: HTTP 404"
}

func TestReport_NamesWhatRefuses(t *testing.T) {
	t.Parallel()
	for want, warnings := range map[string][]string{
		"":                            {"the source has no rows", "a connector refuses, or so"},
		"connector a":                 {"the source has no rows", refusal("a"), refusal("a")},
		"connector a (and one other)": {refusal("a"), refusal("b")},
		"connector a (and 2 others)":  {refusal("a"), refusal("b"), refusal("c")},
	} {
		if got := (&Report{Warnings: warnings}).refusingWords(); got != want {
			t.Errorf("%q: got %q, want %q", warnings, got, want)
		}
	}
}

func TestReport_ExplainsEveryReason(t *testing.T) {
	t.Parallel()
	outcome := map[string]string{
		"refused": "failed", "rejected": "failed", "unavailable": "failed",
		"expired": "skipped", "changed": "skipped", "excluded": "skipped", "in_doubt": "unknown", "unmatched": "unknown",
	}
	codes := []string{
		"refused", "rejected", "unavailable", "missing_access_token", "missing_subject", "missing_expiry", "invalid_expiry", "invalid_environment",
		"unknown_provider", "invalid_field", "decrypt_failed", "too_large", "duplicate", "expired", "changed", "excluded", "in_doubt", "unmatched",
	}
	for _, code := range codes {
		want := outcome[code]
		if want == "" {
			want = "invalid"
		}
		if got := Explain(code); got.What == "" || got.Remedy == "" || got.Outcome != want || got.Code != code {
			t.Errorf("reason %s: got %+v, want it explained, and to end as %s", code, got, want)
		}
	}
	if got := len(Reasons()); got != len(codes) {
		t.Errorf("got %d reasons that every migration may have, want %d", got, len(codes))
	}
	if got := Explain("a_stores_own"); got.Outcome != "skipped" || got.What == "" || got.Remedy == "" {
		t.Errorf("a store's own reason: got %+v, want it explained as skipped", got)
	}
}

func TestReport_SamplesEachReasonInTurn(t *testing.T) {
	t.Parallel()
	var r Report
	for n := range 20 {
		r.Failures = append(r.Failures, Failure{Key: string(rune('a' + n)), Reason: "many"})
	}
	r.Failures = append(r.Failures, Failure{Key: "x", Reason: "few"}, Failure{Key: "y", Reason: "few"})
	var got string
	for _, f := range r.samples(6) {
		got += f.Key
	}
	if got != "abcdxy" {
		t.Errorf("got the samples %q, want abcd of the one reason and xy of the other", got)
	}
	if got := len(r.samples(100)); got != 22 {
		t.Errorf("got %d samples of 22 failures where 100 may stand", got)
	}
}

package main

import (
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// What becomes of a call whose answer never came, by policy.
func TestRun_PolicyInDoubt(t *testing.T) {
	t.Parallel()
	// The first call loses its answer: keys 1 to 100, of which the even ones have
	// an access token that has expired.
	cases := []struct {
		policy string
		code   int
		resent int64
		first  report.Counts
	}{
		{"send", 0, 100, report.Counts{Imported: 300}},
		{"fresh", 3, 50, report.Counts{Imported: 250, Unknown: 50}},
		{"hold", 3, 0, report.Counts{Imported: 200, Unknown: 100}},
	}
	for _, c := range cases {
		o := sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.ResetAfterImport, Subject: "user-1", Times: 1}}}
		r := newRig(t, o).fill(300).with("policy.in_doubt", c.policy)
		r.exec(`UPDATE accounts SET expires = now() - interval '1 minute' WHERE id % 2 = 0`)
		p := r.must(c.code, "run")
		p.checkCounts(c.first)
		if got := p.readReport().Calls.ResentTokens; got != c.resent {
			t.Errorf("%s: tokens sent again: got %d, want %d", c.policy, got, c.resent)
		}
		for key, n := range sends(r.endpoint.Audit()) {
			var number int
			fmt.Sscan(key, &number)
			want := 1
			if number <= 100 && (c.policy == "send" || c.policy == "fresh" && number%2 == 1) {
				want = 2
			}
			if n != want {
				t.Errorf("%s: key %s was sent %d times, want %d", c.policy, key, n, want)
			}
		}
		// A run again changes nothing, unless the policy or the row does.
		if again := r.must(c.code, "run").readReport(); again.Calls.Made != 0 || again.Counts.Unknown != c.first.Unknown {
			t.Errorf("%s: a run again: got %d calls, %d unknown; want 0, %d", c.policy, again.Calls.Made, again.Counts.Unknown, c.first.Unknown)
		}
		r.exec(`UPDATE accounts SET access = 'renewed-' || access, expires = now() + interval '1 hour' WHERE id = 2`)
		r.must(c.code, "run")
		if got := r.tokens()["2"].Outcome; got != "imported" {
			t.Errorf("%s: a token in doubt whose row changed: got %q, want imported", c.policy, got)
		}
		r.with("policy.in_doubt", "send")
		r.must(0, "run")
		r.checkArrived(all)
	}
}

// Rows that changed since their import.
func TestRun_PolicyChanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy, reason string
		want           report.Counts
		sent           int64
	}{
		{"send", "", report.Counts{Imported: 10, Unchanged: 190}, 10},
		{"skip", "skipped changed", report.Counts{Skipped: 10, Unchanged: 190}, 0},
	} {
		r := newRig(t, sandbox.Options{}).fill(200).with("policy.changed", c.policy)
		r.must(0, "run")
		r.exec(`UPDATE accounts SET refresh = 'rotated-' || refresh WHERE id <= 10`)
		p := r.must(0, "run")
		p.checkCounts(c.want)
		if got := p.readReport().Calls.Tokens; got != c.sent {
			t.Errorf("%s: tokens sent: got %d, want %d", c.policy, got, c.sent)
		}
		if c.policy == "send" {
			r.checkArrived(all)
		}
		if got := r.tokens()["7"]; c.reason != "" && got.Outcome+" "+got.Reason != c.reason {
			t.Errorf("%s: got %s %s, want %s", c.policy, got.Outcome, got.Reason, c.reason)
		}
		// Back as it was: what was imported is what is there.
		if c.policy == "skip" {
			r.exec(`UPDATE accounts SET refresh = substr(refresh, 9) WHERE id <= 10`)
			r.must(0, "run").checkCounts(report.Counts{Unchanged: 200})
			r.checkArrived(all)
		}
	}
}

// Two rows for one identity.
func TestRun_PolicyDuplicates(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(200)
	r.exec(`UPDATE accounts SET subject = 'user-5' WHERE id IN (50, 150)`)
	p := r.must(3, "run")
	duplicate := func(a account) string {
		if a.Key == "50" || a.Key == "150" {
			return "invalid duplicate"
		}
		return ""
	}
	r.checkArrived(duplicate)
	p.checkCounts(report.Counts{Imported: 198, Invalid: 2})
	for _, f := range p.readReport().Failures {
		if !strings.Contains(f.Detail, "key "+f.Key) || !strings.Contains(f.Detail, "key 5,") {
			t.Errorf("the detail of key %s: got %q, want it to name both keys", f.Key, f.Detail)
		}
	}
	// The owner goes: the next one takes its place, and only that.
	r.exec(`DELETE FROM accounts WHERE id = 5`)
	r.must(3, "run")
	if got := r.tokens(); got["50"].Outcome != "imported" || got["150"].Reason != "duplicate" {
		t.Errorf("once the owner is gone: got key 50 %s, key 150 %s %s; want imported, invalid duplicate",
			got["50"].Outcome, got["150"].Outcome, got["150"].Reason)
	}
	// With the other policy all are sent, in calls of their own.
	r = newRig(t, sandbox.Options{}).fill(200).with("policy.duplicates", "send")
	r.exec(`UPDATE accounts SET subject = 'user-5' WHERE id IN (50, 150)`)
	r.must(0, "run").checkCounts(report.Counts{Imported: 200})
	for _, call := range r.endpoint.Audit().Calls {
		seen := map[sandbox.Identity]bool{}
		for _, token := range call.Tokens {
			if seen[token.Identity] {
				t.Errorf("call %d carries %v twice", call.Number, token.Identity)
			}
			seen[token.Identity] = true
		}
	}
}

// Expired access tokens without a way to renew them.
func TestRun_PolicyExpired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy string
		want   report.Counts
	}{
		{"skip", report.Counts{Imported: 190, Skipped: 10}},
		{"send", report.Counts{Imported: 200}},
	} {
		r := newRig(t, sandbox.Options{}).fill(200).with("policy.expired", c.policy)
		r.exec(`UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id <= 10`)
		r.exec(`UPDATE accounts SET expires = now() - interval '1 day' WHERE id BETWEEN 11 AND 20`) // these can be renewed
		r.must(0, "run").checkCounts(c.want)
	}
}

// How many tokens may fail without a word from the exit code.
func TestRun_PolicyMaxFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-1", "user-2", "user-3"}}).fill(300)
	for _, c := range []struct {
		value string
		code  int
	}{{"2", 3}, {"3", 0}, {"0.9%", 3}, {"1%", 0}, {"0", 3}} {
		r.with("policy.max_failed", c.value)
		p := r.must(c.code, "run")
		if rep := p.readReport(); rep.Counts.Failed != 3 || *rep.ExitCode != c.code {
			t.Errorf("max_failed %s: got %d failed, exit code %d in the report; want 3, %d", c.value, rep.Counts.Failed, *rep.ExitCode, c.code)
		}
	}
	if got := r.endpoint.Summary().Calls; got != 3 {
		t.Errorf("calls of five runs: got %d, want 3: refused tokens are not sent again by themselves", got)
	}
}

// Refused tokens are sent again when that is asked for, or when they change.
func TestRun_RetriesFailed(t *testing.T) {
	t.Parallel()
	refuse := true // read by the endpoint while no run is under way but the ones that it is set for
	r := newRig(t, sandbox.Options{Refuse: func(token sandbox.Token) bool {
		return refuse && (token.Subject.ID == "user-1" || token.Subject.ID == "user-2")
	}}).fill(100)
	r.must(3, "run")
	r.exec(`UPDATE accounts SET access = 'other-' || access WHERE id = 1`)
	refuse = false
	if p := r.must(3, "run"); p.readReport().Calls.Tokens != 1 || r.tokens()["1"].Outcome != "imported" {
		t.Errorf("a refused token that changed: got %d tokens sent, outcome %q; want 1, imported", p.readReport().Calls.Tokens, r.tokens()["1"].Outcome)
	}
	if p := r.must(0, "run", "--retry-failed"); p.readReport().Calls.Tokens != 1 {
		t.Errorf("--retry-failed: got %d tokens sent, want 1", p.readReport().Calls.Tokens)
	}
	r.checkArrived(all)
}

// A checkpoint made with another configuration is refused, naming what changed;
// accepted, rows go to their new place.
func TestRun_ConfigurationChanges(t *testing.T) {
	t.Parallel()
	const canary = "xyzzyCanary"
	cases := []struct {
		name   string
		conf   []string
		says   string
		resent bool
	}{
		{"connector", []string{"destination.connector", "slack/other"}, "connectors", true},
		{"environment", []string{"destination.environment", "preview"}, "environment", true},
		{"team", []string{"destination.team_id", "team_other"}, "destination", true},
		{"query", []string{"source.query", `"` + storeQuery + ` WHERE '` + canary + `' <> ''"`}, "query", false},
		{"where", []string{"source.where", `"'` + canary + `' <> ''"`}, "where", false},
	}
	atOnce(t, 3, cases, func(c struct {
		name   string
		conf   []string
		says   string
		resent bool
	}) string {
		return c.name
	}, func(t *testing.T, c struct {
		name   string
		conf   []string
		says   string
		resent bool
	}) {
		r := newRig(t, sandbox.Options{}).fill(100)
		r.must(0, "run")
		calls := r.endpoint.Summary().Calls
		r.with(c.conf...)
		for _, command := range []string{"run", "dry-run"} {
			p := r.must(78, command)
			if said := p.stderr.String(); !strings.Contains(said, c.says) || !strings.Contains(said, "--accept-config-change") || strings.Contains(said, canary) {
				t.Errorf("%s: want it to name %s and the flag, and not what the query says\n%s", command, c.says, p.said())
			}
		}
		if got := r.endpoint.Summary().Calls; got != calls {
			t.Errorf("calls of what was refused: got %d, want none", got-calls)
		}
		want := report.Counts{Unchanged: 100}
		if c.resent {
			want = report.Counts{Imported: 100}
		}
		r.must(0, "run", "--accept-config-change").checkCounts(want)
		r.must(0, "run").checkCounts(report.Counts{Unchanged: 100}) // accepted once is enough
		if !c.resent {
			r.checkArrived(all)
		}
	})
}

// A run that sent nothing binds the migration to nothing: what was wrong in the
// configuration may be mended without a word.
func TestRun_ConfigurationMendedBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.with("source.query", `"`+storeQuery+` WHERE false"`)
	r.must(0, "run")
	r.with("source.query", `"`+storeQuery+`"`)
	r.must(0, "dry-run").checkCounts(report.Counts{Pending: 3})
	r.must(0, "run").checkCounts(report.Counts{Imported: 3})
	r.with("source.where", `"key < 2"`)
	if p := r.must(78, "run"); !strings.Contains(p.stderr.String(), "another source.where; if the same tokens are meant, --accept-config-change sends those that now differ") ||
		!strings.Contains(p.stderr.String(), "another migration name sends all 3 imported tokens again") {
		t.Errorf("want it to say what becomes of the tokens\n%s", p.said())
	}
}

// A store is not read from another table once tokens of it were sent, though the
// configuration is the same.
func TestRun_StoreInAnotherTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(authjsTable, "accounts"))
	r.exec(addAuthjs("accounts", 1, "google", "'ya29.first-access'", authjsSoon))
	made := r.plainly(nil, "init")
	file := r.keep(r.fillIn(made.stdout))
	if p := r.plainly(nil, "run", "-c", file); p.code != 0 {
		t.Fatalf("run: exit code: got %d, want 0\n%s", p.code, p.stderr)
	}
	r.exec(`CREATE SCHEMA archive; ALTER TABLE accounts SET SCHEMA archive`)
	const want = `another table of the source (was "public.accounts", is "archive.accounts")`
	for _, command := range []string{"run", "check"} {
		if p := r.plainly(nil, command, "-c", file); p.code != 78 || !strings.Contains(strings.ReplaceAll(p.stdout+p.stderr, `\"`, `"`), want) {
			t.Errorf("%s: got exit code %d, want 78 and %s\n%s%s", command, p.code, want, p.stdout, p.stderr)
		}
	}
	if p := r.plainly(nil, "run", "-c", file, "--accept-config-change"); p.code != 0 {
		t.Errorf("accepted: got exit code %d, want 0\n%s", p.code, p.stderr)
	}
}

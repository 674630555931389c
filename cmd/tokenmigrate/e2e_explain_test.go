package main

import (
	"encoding/json"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// explain returns what explain says of a key, and checks that neither face has a
// credential, or a subject id.
func (r *rig) explain(key string) (e report.Explanation, text string) {
	r.Helper()
	p := r.must(0, "explain", key, "--json")
	if err := json.Unmarshal([]byte(p.stdout.String()), &e); err != nil {
		r.Fatalf("%v\n%s", err, p.said())
	}
	text = r.must(0, "explain", key).stdout.String()
	for _, a := range r.accounts() {
		for _, secret := range []string{a.Access, a.Refresh, a.Subject} {
			if len(secret) > 3 && (strings.Contains(p.stdout.String()+text+p.stderr.String(), secret)) {
				r.Errorf("explain %s tells %s", key, secret)
			}
		}
	}
	return e, text
}

func TestExplain_TellsWhatBecameOfARow(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-7"}}).fill(20).with("policy.max_failed", "10")
	r.exec(`UPDATE accounts SET expires = NULL WHERE id = 2`)
	r.exec(`UPDATE accounts SET subject = 'user-4' WHERE id = 5`)

	e, text := r.explain("3")
	if e.Recorded != nil || e.Next == nil || !e.Next.Sends || e.Next.Why != "it was not sent yet" || e.Source.State != report.Found {
		t.Errorf("before the first run: got %s", text)
	}
	r.must(0, "run")

	type want struct {
		outcome, reason string
		attempts        int
		sends           bool
		next, why, says string
		asImported      string // true, false, or empty
	}
	check := func(name, key string, w want) {
		t.Helper()
		e, text := r.explain(key)
		if e.Recorded == nil || e.Next == nil {
			t.Fatalf("%s: got %s", name, text)
		}
		asImported := ""
		if e.Source.AsImported != nil {
			asImported = map[bool]string{true: "true", false: "false"}[*e.Source.AsImported]
		}
		got := want{e.Recorded.Outcome, e.Recorded.Reason, e.Recorded.Attempts, e.Next.Sends, strings.TrimSpace(e.Next.Outcome + " " + e.Next.Reason), e.Next.Why, w.says, asImported}
		if got != w || !strings.Contains(text, w.says) {
			t.Errorf("%s:\n got %+v\nwant %+v\n%s", name, got, w, text)
		}
		if (e.Recorded.ImportedAt != nil) != (asImported != "") {
			t.Errorf("%s: imported at %v, compared: %q", name, e.Recorded.ImportedAt, asImported)
		}
	}
	check("imported", "3", want{"imported", "", 1, false, "unchanged", "it was imported, and is unchanged since", "this is what was imported last", "true"})
	check("refused", "7", want{"failed", "refused", 1, false, "failed refused", "the endpoint answered succeeded: false", "succeeded: false", ""})
	check("invalid", "2", want{"invalid", "missing_expiry", 0, false, "invalid missing_expiry", "it has no known expiry", "source.missing_expiry", ""})
	check("duplicate", "5", want{"invalid", "duplicate", 0, false, "invalid duplicate", "another row is for the same subject and goes first", "duplicate of           key 4", ""})
	if e, _ := r.explain("5"); e.Next.DuplicateOf != "4" {
		t.Errorf("duplicate: got the owner %q, want 4", e.Next.DuplicateOf)
	}

	r.exec(`UPDATE accounts SET access = 'other-' || access WHERE id IN (3, 7)`)
	r.exec(`UPDATE accounts SET expires = now() + interval '1 hour' WHERE id = 2`)
	check("changed", "3", want{"imported", "", 1, true, "pending", "its content differs from what was imported", "this differs from what was imported last", "false"})
	check("changed after it was refused", "7", want{"failed", "refused", 1, true, "pending", "its content differs from what was sent when it ended as refused", "differs from what was sent", ""})
	check("mended", "2", want{"invalid", "missing_expiry", 0, true, "pending", "what kept it from being sent is over (it was invalid, missing_expiry)", "it is sent", ""})
	r.must(0, "run")
	for _, key := range []string{"3", "2"} {
		if got := r.tokens()[key]; got.Outcome != "imported" {
			t.Errorf("key %s: explain said it is sent, the run made it %s", key, got.Outcome)
		}
	}

	// The row's going, and the source's.
	r.exec(`DELETE FROM accounts WHERE id = 3`)
	e, text = r.explain("3")
	if e.Source.State != report.Gone || e.Recorded == nil || e.Recorded.Attempts != 2 || e.Next != nil || !strings.Contains(text, "its row is gone") {
		t.Errorf("a row that is gone: got %s", text)
	}
	said := r.must(78, "explain", "4711").stderr.String()
	if !strings.Contains(said, "no such key") || strings.Contains(said, "%!") {
		t.Errorf("an unknown key: got %q", said)
	}
	r.must(78, "explain")
	r.must(78, "explain", "no-number")
	source := r.env["SOURCE_DATABASE_URL"]
	r.env["SOURCE_DATABASE_URL"] = "postgres://nobody:hushhush@127.0.0.1:1/none"
	e, text = r.explain("7")
	if e.Source.State != report.Away || e.Recorded == nil || e.Next != nil || e.Source.Error == "" || strings.Contains(text, "hushhush") {
		t.Errorf("the source is away: got %s", text)
	}
	r.must(5, "explain", "4711")
	r.env["SOURCE_DATABASE_URL"] = source

	p := r.must(0, "explain", "7", "--show-subjects")
	if said := p.stdout.String(); !strings.Contains(said, "user-7") || strings.Contains(said, "access-7") {
		t.Errorf("--show-subjects: got %s", said)
	}
}

// While a call's answer is awaited its intent is told, and what comes of it.
func TestExplain_TellsOfIntents(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Hang, Imports: true}}}).fill(10).with("send.timeout", "30s")
	p := r.start(nil, "run")
	r.untilCalls(1)
	if s := r.status(); s.InDoubt != nil {
		t.Errorf("under way: got %+v in doubt, want none", s.InDoubt)
	}
	p.kill()
	if s := r.status(); s.InDoubt == nil || *s.InDoubt != (report.InDoubt{Calls: 1, Tokens: 10}) {
		t.Errorf("killed: got %+v in doubt, want the call with its tokens", s.InDoubt)
	}
	e, text := r.explain("1")
	if e.Recorded != nil || len(e.Standing) != 1 || e.Standing[0].Over || !e.Next.Sends || !strings.Contains(text, "call without answer") {
		t.Errorf("in doubt: got %s", text)
	}
	r.with("policy.in_doubt", "hold")
	if e, text := r.explain("1"); e.Next.Sends || e.Next.Outcome != "unknown" || e.Next.Reason != "in_doubt" {
		t.Errorf("in doubt, and held: got %s", text)
	}
}

// A query that puts a credential into another column does not make explain tell it.
func TestExplain_NeverTellsACredential(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.with("source.query", `"SELECT id AS key, access AS access_token, refresh AS refresh_token, expires AS expires_at, subject AS subject_id, ARRAY[access] AS scopes, refresh AS subject_issuer, jsonb_build_object('secret', 'deep-'||access) AS data FROM accounts"`)
	e, text := r.explain("2")
	hidden := map[string]int{}
	for _, f := range e.Source.Fields {
		if f.Hidden == "credential" {
			hidden[f.Name] = f.Bytes
		}
	}
	a := r.accounts()["2"]
	if hidden["accessToken"] != len(a.Access) || hidden["refreshToken"] != len(a.Refresh) || hidden["data"] == 0 || !strings.Contains(text, "[redacted]") {
		t.Errorf("got the lengths %v of %d and %d\n%s", hidden, len(a.Access), len(a.Refresh), text)
	}
}

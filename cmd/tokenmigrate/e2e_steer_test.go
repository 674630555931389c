package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
)

// quiet reports whether the endpoint sees no call for so long.
func (r *rig) quiet(d time.Duration) bool {
	r.Helper()
	before := r.endpoint.Summary().Calls
	<-time.After(d) // what must not happen has no event to wait for
	return r.endpoint.Summary().Calls == before
}

// Operators steer a running worker from another process, within five seconds.
func TestSteering_ReachesARunningWorker(t *testing.T) {
	t.Parallel()
	const steered = 5 * time.Second
	r := newRig(t, sandbox.Options{}).fill(800).with("send.chunk_tokens", "1", "send.requests_per_minute", "1200")
	p := r.start(nil, "run", "--log-format", "json")
	r.untilCalls(3)

	if said := r.must(0, "pause").stdout.String(); !strings.Contains(said, "acme") {
		t.Errorf("pause says %q, want the migration's name", said)
	}
	r.untilFor(steered, "it is paused", func() bool { return strings.Contains(p.stderr.String(), `"paused":true`) })
	if !r.quiet(1500 * time.Millisecond) {
		t.Error("a paused worker made calls")
	}
	r.until("status tells of the pause", func() bool { return strings.Contains(r.must(0, "status").stdout.String(), "paused by an operator") })

	r.must(0, "resume")
	calls := r.endpoint.Summary().Calls
	r.untilFor(steered, "it goes on", func() bool { return r.endpoint.Summary().Calls > calls })

	r.must(0, "pace", "6")
	r.untilFor(steered, "it goes slowly", func() bool { return strings.Contains(p.stderr.String(), `"requests_per_minute":6,`) })
	calls = r.endpoint.Summary().Calls
	if r.quiet(2 * time.Second); r.endpoint.Summary().Calls > calls+1 {
		t.Errorf("calls within 2 s at 6 a minute: got %d, want at most 1", r.endpoint.Summary().Calls-calls)
	}

	r.must(0, "pace", "600000")
	if code := p.within(30 * time.Second); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
	r.checkArrived(all)
	r.sentOnce()

	// It outlives the run.
	r.must(0, "pause")
	r.add(801, 810)
	if s, said := r.status(), r.must(0, "dry-run").said(); !s.Paused || !strings.Contains(said, "warning: the migration is paused by an operator") {
		t.Errorf("status (%t) and dry-run do not tell of the pause:\n%s", s.Paused, said)
	} else if !strings.Contains(said, "warning: an operator set the pace to 600000 calls a minute, in place of the 1200") || !strings.Contains(said, "time at 600,000 calls a minute of 1,200") {
		t.Errorf("the dry run does not reckon with the operator's pace:\n%s", said)
	}
	p = r.start(nil, "run")
	if !r.quiet(1500 * time.Millisecond) {
		t.Error("a run of a paused migration made calls")
	}
	r.must(0, "resume")
	if code := p.within(30 * time.Second); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
	for _, args := range [][]string{{"pace", "0"}, {"pace", "-3"}, {"pace", "fast"}, {"pace"}, {"pause", "now"}} {
		r.must(78, args...)
	}
	r.must(0, "pace", "default")
}

// keysOf lists the keys of a JSON value with the keys of what it holds, of
// lists those of the first element. Maps of free keys are left closed.
func keysOf(path string, v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			name := strings.TrimPrefix(path+"."+key, ".")
			out = append(out, name)
			if name != "totals" && name != "reasons" && name != "calls.waitedSeconds" {
				out = append(out, keysOf(name, inner)...)
			}
		}
	case []any:
		if len(v) > 0 {
			return keysOf(path+"[]", v[0])
		}
	}
	slices.Sort(out)
	return out
}

// The report's JSON is a contract: exactly these keys.
const reportKeys = `version migration mode startedAt finishedAt exitCode stoppedBy
counts counts.read counts.imported counts.unchanged counts.failed counts.invalid counts.skipped counts.unknown counts.pending
totals remaining remaining.rows remaining.estimated reasons connectors
connectors[].connector connectors[].environment connectors[].read connectors[].imported connectors[].unchanged connectors[].failed
connectors[].invalid connectors[].skipped connectors[].unknown connectors[].pending
calls calls.made calls.tokens calls.throttled calls.retried calls.split calls.resentTokens calls.waitedSeconds
projection projection.calls projection.seconds projection.byChunkTokens
projection.byChunkTokens[].chunkTokens projection.byChunkTokens[].calls projection.byChunkTokens[].seconds
expiry expiry[].upTo expiry[].withRefresh expiry[].withoutRefresh
store store.name store.encrypted store.plain store.warnings
failures failures[].key failures[].connector failures[].reason failures[].detail`

func TestReport_HasTheKeysOfTheContract(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-1"}}).fill(200).with("policy.max_failed", "5")
	r.exec(`UPDATE accounts SET expires = NULL WHERE id = 2`)
	dry, run := r.must(0, "dry-run"), r.must(0, "run")
	status := r.must(0, "status", "--json")
	stdout := r.must(0, "run", "--report", "-")
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	schema := reportSchema(t)
	all := strings.Fields(reportKeys)
	slices.Sort(all)
	for _, c := range []struct {
		name, text string
		without    []string // lists that are empty there, and so without elements
	}{
		{"of dry-run", read(dry.report), nil},
		{"of run", read(run.report), []string{"projection.byChunkTokens[]", "expiry[]"}},
		{"of status --json", status.stdout.String(), []string{"projection.byChunkTokens[]", "expiry[]", "failures[]"}},
		{"on stdout", stdout.stdout.String(), []string{"projection.byChunkTokens[]", "expiry[]"}},
	} {
		var v any
		if err := json.Unmarshal([]byte(c.text), &v); err != nil {
			t.Errorf("the report %s: %v", c.name, err)
			continue
		}
		want := slices.DeleteFunc(slices.Clone(all), func(key string) bool {
			return slices.ContainsFunc(c.without, func(list string) bool { return strings.HasPrefix(key, list) })
		})
		// Keys may be added; those of the contract stay.
		got := keysOf("", v)
		if missing := slices.DeleteFunc(want, func(key string) bool { return slices.Contains(got, key) }); len(missing) > 0 {
			t.Errorf("the report %s: the keys %v are missing", c.name, missing)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("the report %s does not fit its schema: %v", c.name, err)
		}
		for _, list := range []string{"connectors", "failures", "expiry"} {
			if v.(map[string]any)[list] == nil {
				t.Errorf("the report %s: %s is null, want a list", c.name, list)
			}
		}
	}
}

// Every token that is not imported, for a person and for a program.
func TestFailures_ListsEachOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-1", "user-30"}, RejectSubjects: []string{"user-7"}}).fill(100)
	if p := r.must(78, "failures"); p.stdout.String() != "" {
		t.Errorf("before the first run: got %q on stdout, want nothing", p.stdout.String())
	}
	r.exec(`UPDATE accounts SET expires = NULL WHERE id = 2; `)
	r.exec(`UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id = 3`)
	r.must(3, "run")
	want := map[string]string{"1": "failed refused", "2": "invalid missing_expiry", "3": "skipped expired", "30": "failed refused", "7": "failed rejected"}

	rows, err := csv.NewReader(strings.NewReader(r.must(0, "failures").stdout.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(rows[0], ","), "key,connector,environment,outcome,reason,detail,attempts,updated_at"; got != want {
		t.Errorf("csv: got the heading %s, want %s", got, want)
	}
	got := map[string]string{}
	for _, row := range rows[1:] {
		got[row[0]] = row[3] + " " + row[4]
		if row[5] == "" || row[1] != "slack/acme" {
			t.Errorf("csv: key %s: got detail %q, connector %q; want words, slack/acme", row[0], row[5], row[1])
		}
	}
	if !maps.Equal(got, want) || len(rows)-1 != len(want) {
		t.Errorf("csv: got %v in %d rows, want %v", got, len(rows)-1, want)
	}

	clear(got)
	for line := range strings.Lines(r.must(0, "failures", "--format", "jsonl").stdout.String()) {
		var f struct{ Key, Connector, Environment, Outcome, Reason, Detail string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("jsonl: %q: %v", line, err)
		}
		got[f.Key] = fmt.Sprint(f.Outcome, " ", f.Reason)
	}
	if !maps.Equal(got, want) {
		t.Errorf("jsonl: got %v, want %v", got, want)
	}
	if got := strings.Count(r.must(0, "failures", "--reason", "refused").stdout.String(), "\n"); got != 3 {
		t.Errorf("csv of one reason: got %d lines, want 3", got)
	}
	r.must(78, "failures", "--format", "xml")
	for reason, want := range map[string]string{
		"refuse": "no token has the reason refuse; did you mean refused?", "password_login": "no token has the reason password_login; known: changed, ",
		"decrypt_failed": "", "refused": "",
	} {
		said := r.must(0, "failures", "--reason", reason).stderr.String()
		if told := strings.Contains(said, "no token has the reason"); told != (want != "") || !strings.Contains(said, want) {
			t.Errorf("--reason %s: got %q on stderr, want %q", reason, said, want)
		}
	}
}

// Whoever may only look is told how to find out what else is needed.
func TestPause_WithoutPrivileges(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.must(0, "run")
	role, password := r.onlySelect()
	r.readCheckpoint(role)
	r.env["CHECKPOINT_DATABASE_URL"] = asRole(r.env["CHECKPOINT_DATABASE_URL"], role, password)
	if said := r.must(78, "pause").said(); !strings.Contains(said, "permission denied for table migrations") || !strings.Contains(said, "tokenmigrate check -c ") {
		t.Errorf("got %s, want the table and the command that tells more", said)
	}
	r.must(0, "status")
}

// A dry run goes on where its role may not read what an operator asked for.
func TestDryRun_WithoutPrivilegesOnThePace(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.must(0, "run")
	r.must(0, "pace", "6")
	role, password := r.onlySelect()
	r.readCheckpoint(role)
	r.env["CHECKPOINT_DATABASE_URL"] = asRole(r.env["CHECKPOINT_DATABASE_URL"], role, password)
	if said := r.must(0, "dry-run").said(); !strings.Contains(said, "an operator set the pace to 6 calls a minute") {
		t.Errorf("with SELECT: got %s, want the operator's pace", said)
	}
	mustExec(t, r.cp, `REVOKE SELECT ON tokenmigrate.paces FROM `+role)
	if said := r.must(0, "dry-run").said(); !strings.Contains(said, "whether an operator set another pace is not known") {
		t.Errorf("without: got %s, want that it is not known", said)
	}
}

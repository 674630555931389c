package main

import (
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// hostile is an endpoint that misbehaves in most ways at once.
func hostile(t *testing.T) []sandbox.Fault {
	t.Helper()
	var faults []sandbox.Fault
	for _, text := range []string{"500=4%", "504=3.5%", "504+import=3.5%", "reset-after-import=3%", "cut-body=3%",
		"shuffled=50%", "missing-results=3%", "silent-limit:120"} {
		f, err := sandbox.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	return faults
}

// One command brings every row over that the endpoint takes, and names exactly
// the others, however the endpoint misbehaves.
func TestRun_OutlastsAHostileEndpoint(t *testing.T) {
	t.Parallel()
	type hostileCase struct {
		chunk  int
		refuse float64
		seed   int64
	}
	cases := []hostileCase{{100, 0.01, 1}, {200, 0.01, 2}, {100, 0, 3}, {200, 0, 4}}
	name := func(c hostileCase) string { return fmt.Sprintf("chunks of %d, %.0f%% refused", c.chunk, c.refuse*100) }
	atOnce(t, 4, cases, name, func(t *testing.T, c hostileCase) {
		const rows = 6000
		o := sandbox.Options{Faults: hostile(t), RefuseShare: c.refuse, Seed: c.seed}
		r := newRig(t, o).fill(rows).with("send.chunk_tokens", fmt.Sprint(c.chunk), "send.concurrency", "8")
		code := 0
		if c.refuse > 0 {
			code = 3
		}
		p := r.must(code, "run")
		refused := map[string]bool{}
		for _, call := range r.endpoint.Audit().Calls {
			for _, token := range call.Tokens {
				if token.Answered == sandbox.No {
					refused[keyOf(token.Identity)] = true
				}
			}
		}
		if (len(refused) > 0) != (c.refuse > 0) {
			t.Fatalf("the endpoint refused %d tokens; the case tells nothing", len(refused))
		}
		r.checkArrived(func(a account) string {
			if refused[a.Key] {
				return "failed refused"
			}
			return ""
		})
		n := int64(len(refused))
		p.checkCounts(report.Counts{Imported: rows - n, Failed: n})
		if rep := p.readReport(); rep.Calls.Retried == 0 || rep.Calls.ResentTokens == 0 || int64(len(rep.Failures)) != n {
			t.Errorf("the report: got %d calls repeated, %d tokens sent again, %d failures; want some, some, %d",
				rep.Calls.Retried, rep.Calls.ResentTokens, len(rep.Failures), n)
		}
		before := r.endpoint.Summary().Calls
		r.must(code, "run").checkCounts(report.Counts{Unchanged: rows - n, Failed: n})
		if got := r.endpoint.Summary().Calls - before; got != 0 {
			t.Errorf("calls of a run again: got %d, want none", got)
		}
	})
}

// Tokens that make their whole call fail are found by halving, in so few calls,
// and everything else of their chunk arrives.
func TestRun_IsolatesRejectedTokens(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 422} {
		const rows, chunk = 1000, 128
		bad := []string{"3", "4", "500", "999"}
		var subjects []string
		for _, key := range bad {
			subjects = append(subjects, "user-"+key)
		}
		r := newRig(t, sandbox.Options{RejectSubjects: subjects, RejectStatus: status}).fill(rows).with("send.chunk_tokens", fmt.Sprint(chunk))
		p := r.must(3, "run")
		r.checkArrived(func(a account) string {
			if slices.Contains(bad, a.Key) {
				return "failed rejected"
			}
			return ""
		})
		p.checkCounts(report.Counts{Imported: rows - 4, Failed: 4})
		calls := r.endpoint.Summary().Calls
		chunks := (rows + chunk - 1) / chunk
		if most := chunks + len(bad)*2*bits.Len(chunk-1); calls > most {
			t.Errorf("%d: calls: got %d, want at most %d", status, calls, most)
		}
		for id, im := range r.endpoint.Imported() {
			if im.Times != 1 {
				t.Errorf("%d: %v was imported %d times, want once", status, id, im.Times)
			}
		}
		for _, f := range p.readReport().Failures {
			if !strings.Contains(f.Detail, "is not accepted by this connector") || !strings.Contains(f.Detail, fmt.Sprint(status)) {
				t.Errorf("%d: key %s: got detail %q, want what the endpoint said", status, f.Key, f.Detail)
			}
		}
		// Again: nothing; when it is asked for: these four, alone or in chunks.
		if again := r.must(3, "run").readReport(); again.Calls.Made != 0 {
			t.Errorf("%d: calls of a run again: got %d, want none", status, again.Calls.Made)
		}
		if retried := r.must(3, "run", "--retry-failed").readReport(); retried.Counts.Failed != 4 || retried.Calls.Made == 0 {
			t.Errorf("%d: with --retry-failed: got %d failed after %d calls, want 4 after some", status, retried.Counts.Failed, retried.Calls.Made)
		}
	}
}

// A 413 lowers the size of chunks for good.
func TestRun_KeepsTheCeilingOfChunks(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{MaxTokens: 30}).fill(500)
	r.must(0, "run")
	r.checkArrived(all)
	if got := one[int](t, r.cp, `SELECT chunk_ceiling FROM tokenmigrate.migrations`); got != 25 {
		t.Errorf("the ceiling in the checkpoint: got %d, want 25", got)
	}
	r.add(501, 700)
	foreseen := r.must(0, "dry-run").readReport().Projection.Calls
	before := len(r.endpoint.Audit().Calls)
	r.must(0, "run")
	calls := r.endpoint.Audit().Calls[before:]
	for _, c := range calls {
		if c.Status != 200 || len(c.Tokens) > 25 {
			t.Errorf("call %d of the later run: got status %d with %d tokens, want 200 with at most 25", c.Number, c.Status, len(c.Tokens))
		}
	}
	if len(calls) != 8 || foreseen != 8 {
		t.Errorf("calls of the later run: got %d, foreseen %d, want 8", len(calls), foreseen)
	}
	r.checkArrived(all)
}

// A connector that refuses stops alone; where all do there is no point in going on.
func TestRun_RefusingConnectors(t *testing.T) {
	t.Parallel()
	type refusing struct {
		name     string
		o        sandbox.Options
		bad      []string
		code     int
		sentence string
	}
	cases := []refusing{
		{"one is forbidden", sandbox.Options{Forbidden: []string{"github/acme"}}, []string{"github/acme"}, 3, "permission"},
		{"one is not there", sandbox.Options{Connectors: []string{"slack/acme"}}, []string{"github/acme"}, 3, "not found"},
		{"one is gone", sandbox.Options{Gone: []string{"github/acme"}}, []string{"github/acme"}, 3, "gone"},
		{"both are forbidden", sandbox.Options{Forbidden: []string{"github/acme", "slack/acme"}}, []string{"github/acme", "slack/acme"}, 4, "every connector"},
	}
	atOnce(t, 2, cases, func(c refusing) string { return c.name }, func(t *testing.T, c refusing) {
		r := newRig(t, c.o).fill(1000).with("send.chunk_tokens", "10", "send.concurrency", "2")
		r.exec(`UPDATE accounts SET connector = 'github/acme' WHERE id % 2 = 0`)
		p := r.must(c.code, "run")
		if !strings.Contains(p.stderr.String(), c.sentence) {
			t.Errorf("stderr does not say %q\n%s", c.sentence, p.said())
		}
		refused, waiting := 0, int64(0)
		for _, call := range r.endpoint.Audit().Calls {
			if call.Status != 200 {
				refused++
			}
		}
		if most := 2 * len(c.bad); refused < len(c.bad) || refused > most {
			t.Errorf("calls that were refused: got %d, want %d to %d", refused, len(c.bad), most)
		}
		for key, token := range r.tokens() {
			if slices.Contains(c.bad, token.Connector) {
				t.Errorf("key %s: got outcome %q of a connector that refuses, want it pending", key, token.Outcome)
			}
		}
		for _, place := range p.readReport().Connectors {
			if slices.Contains(c.bad, place.Connector) {
				waiting += place.Pending
			} else if place.Imported != 500 {
				t.Errorf("%s: got %d imported, want 500", place.Connector, place.Imported)
			}
		}
		if want := int64(500 * len(c.bad)); c.code == 3 && waiting != want {
			t.Errorf("pending: got %d, want %d", waiting, want)
		}
		// The report says so, the run's own and the one that is made again.
		for name, text := range map[string]string{"run": p.stdout.String(), "report": r.start(nil, "report").saying()} {
			for _, connector := range c.bad {
				if want := "connector " + connector + " refuses, no more calls were made to it and 500 of its tokens stay pending: "; c.code == 3 && !strings.Contains(text, want) {
					t.Errorf("%s: does not say %q\n%s", name, want, text)
				}
			}
		}
		if c.code == 3 && !strings.Contains(p.stderr.String(), "refused by github/acme: ") {
			t.Errorf("the last words do not name who refused\n%s", p.said())
		}
		r.noIntents()
	})
}

// saying waits for the process and returns its stdout.
func (p *process) saying() string {
	p.wait()
	return p.stdout.String()
}

// Answers that end the run, with a sentence that says what the endpoint said.
func TestRun_AnswersThatStop(t *testing.T) {
	t.Parallel()
	type stopping struct {
		answer string // as ParseFault reads it
		code   int
		says   string
	}
	cases := []stopping{
		{"402", 4, "payment_required"}, {"405", 4, "method_not_allowed"}, {"409", 4, "conflict"}, {"418", 4, "418"},
		{"301", 78, "redirect"}, {"302", 78, "redirect"}, {"307", 78, "redirect"}, {"308", 78, "redirect"},
		{"no-results", 4, "named none"}, {"without-subject", 4, "named none"},
		{"401", 4, "credential"},
	}
	atOnce(t, 4, cases, func(c stopping) string { return c.answer }, func(t *testing.T, c stopping) {
		f, err := sandbox.ParseFault(c.answer)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, sandbox.Options{Faults: []sandbox.Fault{f}}).fill(2000).with("send.concurrency", "2")
		p := r.must(c.code, "run")
		if !strings.Contains(p.stderr.String(), c.says) {
			t.Errorf("stderr does not say %q\n%s", c.says, p.said())
		}
		audit := r.endpoint.Audit()
		if len(audit.Calls) > 2 {
			t.Errorf("calls: got %d, want at most 2", len(audit.Calls))
		}
		for _, call := range audit.Calls {
			if !strings.HasSuffix(call.URI, "/import?teamId=team_acme") || strings.HasPrefix(call.URI, "/redirected") {
				t.Errorf("a call to %s: a redirect was followed", call.URI)
			}
		}
		r.noIntents()
		for key, token := range r.tokens() {
			if token.Outcome == "imported" {
				t.Fatalf("key %s is recorded as imported", key)
			}
		}
		if rep := p.readReport(); rep.StoppedBy != "error" || *rep.ExitCode != c.code {
			t.Errorf("the report: got stopped by %q, exit code %d; want error, %d", rep.StoppedBy, *rep.ExitCode, c.code)
		}
		// Once the endpoint is mended the same command finishes.
		if err := r.endpoint.SetFaults(nil); err != nil {
			t.Fatal(err)
		}
		r.must(0, "run")
		r.checkArrived(all)
	})
}

// Too much refused at once is a sign that all is wrong: stop before it is tried on
// everybody.
func TestRun_StopsAfterTooManyFailures(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseShare: 0.5}).fill(5000).with("send.chunk_tokens", "50", "send.concurrency", "1")
	p := r.must(4, "run")
	if got := r.endpoint.Summary().Calls; got > 3 {
		t.Errorf("calls: got %d, want at most 3", got)
	}
	if !regexp.MustCompile(`refused \d+ of its last \d+ tokens, and \d+% end the run \(policy.stop_after_failures\)`).MatchString(p.stderr.String()) {
		t.Errorf("stderr does not name the policy\n%s", p.said())
	}
	// A share that allows it lets it go on.
	r.with("policy.stop_after_failures", "60%", "policy.max_failed", "60%")
	r.must(0, "run")
}

// A credential that is refused: the end, or, in a file of its own, a wait for
// another one.
func TestRun_WaitsForARotatedCredential(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1000)
	r.with("destination.token", "${file:"+r.credentialFile("vca_old")+"}")
	p := r.start(nil, "run")
	p.untilSays("waiting for another one in its file")
	r.credentialFile(credential)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code: got %d, want 0\n%s", code, p.said())
	}
	p.checkCounts(report.Counts{Imported: 1000})
	r.checkArrived(all)
	for id, im := range r.endpoint.Imported() {
		if im.Times != 1 {
			t.Fatalf("%v was imported %d times, want once", id, im.Times)
		}
	}
}

// An endpoint that is away is no token's fault: the run ends with 5, and the
// same command finishes once it is back.
func TestRun_EndpointDown(t *testing.T) {
	t.Parallel()
	type down struct {
		name    string
		fault   string // empty: nobody listens
		pending bool   // the calls were certainly not made
	}
	cases := []down{
		{"nobody listens", "", true},
		{"it says nothing", "hang", false},
		{"it says nothing but imports", "hang+import", false},
		{"it resets", "reset-before-body", false},
		{"500 to all", "500", false},
	}
	atOnce(t, 5, cases, func(c down) string { return c.name }, func(t *testing.T, c down) {
		o := sandbox.Options{}
		if c.fault != "" {
			f, err := sandbox.ParseFault(c.fault)
			if err != nil {
				t.Fatal(err)
			}
			o.Faults = []sandbox.Fault{f}
		}
		r := newRig(t, o).fill(500).with("send.timeout", "1s", "send.outage_wait", "2s")
		url := r.conf["destination.url"]
		if c.fault == "" {
			dead := sandbox.New(sandbox.Options{})
			gone, err := dead.Start("")
			if err != nil {
				t.Fatal(err)
			}
			dead.Close()
			r.with("destination.url", gone)
		}
		p := r.start(nil, "run")
		if code := p.within(25 * time.Second); code != 5 {
			t.Fatalf("exit code: got %d, want 5\n%s", code, p.said())
		}
		r.noIntents()
		counts := p.readReport().Counts
		if counts.Imported != 0 || c.pending != (counts.Unknown == 0) {
			t.Errorf("counts: got %+v, want none imported, unknown: %v", counts, !c.pending)
		}
		if c.fault == "" {
			r.with("destination.url", url)
			r.must(0, "run", "--accept-config-change") // another port is another destination
		} else {
			if err := r.endpoint.SetFaults(nil); err != nil {
				t.Fatal(err)
			}
			r.must(0, "run")
		}
		r.checkArrived(all)
	})
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// reportSchema compiles the schema that reports are promised to fit.
func reportSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// path returns a file's path in the rig's folder.
func (r *rig) path(name string) string { return filepath.Join(r.folder, name) }

// read returns a file that must be there.
func (r *rig) read(path string) string {
	r.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// reportAgain makes the report from the checkpoint.
func (r *rig) reportAgain() *report.Report {
	r.Helper()
	p := r.must(0, "report", "--report", "-")
	var v any
	var out report.Report
	if err := json.Unmarshal([]byte(p.stdout.String()), &v); err != nil {
		r.Fatalf("%v\n%s", err, p.said())
	}
	if err := reportSchema(r.T).Validate(v); err != nil {
		r.Errorf("the report from the checkpoint does not fit its schema: %v", err)
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &out); err != nil {
		r.Fatal(err)
	}
	return &out
}

// The report from the checkpoint is the one that the run wrote, and needs
// neither the source nor a credential.
func TestReport_IsTheSameFromTheCheckpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-7"}}).fill(500).with("send.chunk_tokens", "50", "policy.max_failed", "5")
	r.exec(`UPDATE accounts SET expires = NULL WHERE id = 2`)
	run := r.must(0, "run", "--report", r.path("run.html"), "--report", r.path("run.txt"))
	want := run.readReport()
	if len(want.Progress) == 0 || want.Pace.RequestsPerMinute != 1_000_000 {
		t.Errorf("the run's report: got progress %v and pace %+v", want.Progress, want.Pace)
	}
	delete(r.env, "SOURCE_DATABASE_URL")
	delete(r.env, "VERCEL_TOKEN")
	got := r.reportAgain()
	if len(got.Runs) != 1 || got.Runs[0].State != report.Ended || got.Runs[0].Done != 500 || got.Runs[0].Left != 0 {
		t.Errorf("runs: got %+v, want one that ended with 500 done", got.Runs)
	}
	if got.StartedAt.Sub(want.StartedAt).Abs() > 10*time.Second || got.FinishedAt.Sub(*want.FinishedAt).Abs() > 10*time.Second {
		t.Errorf("from %v to %v, want %v to %v", got.StartedAt, got.FinishedAt, want.StartedAt, want.FinishedAt)
	}
	got.Runs, got.StartedAt, got.FinishedAt = want.Runs, want.StartedAt, want.FinishedAt // the database's clock
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the report from the checkpoint:\n got %+v\nwant %+v", got, want)
	}

	// Each face, from the checkpoint and from the JSON.
	r.must(0, "report", "--report", r.path("again.html"), "--report", r.path("again.txt"), "--report", r.path("again.json"))
	text := r.must(0, "report").stdout.String()
	if was := r.read(r.path("run.txt")); text != was || text != r.read(r.path("again.txt")) {
		t.Errorf("text:\n got %s\nwant %s", text, was)
	}
	from := r.bare(0, nil, "report", "--from", r.path("again.json"), "--report", r.path("from.html"))
	if from.stdout.String() != text {
		t.Errorf("text from the JSON:\n got %s\nwant %s", from.stdout.String(), text)
	}
	page := r.read(r.path("from.html"))
	if again := r.read(r.path("again.html")); page != again || !strings.HasPrefix(strings.ToLower(page), "<!doctype html>") {
		t.Errorf("the page from the JSON has %d bytes, the one from the checkpoint %d; want the same", len(page), len(again))
	}
	if !strings.Contains(r.read(r.path("run.html")), "missing_expiry") {
		t.Error("the page of the run does not tell of missing_expiry")
	}
}

// A container's log has the JSON among its lines, also those of stderr.
func TestReport_IsFoundInALog(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(200)
	dry := r.must(0, "dry-run", "--report", "-")
	log := dry.stderr.String() + dry.stdout.String() + "{\"level\":\"info\",\"message\":\"bye\"}\n"
	page := r.path("page.html")
	got := r.bare(0, strings.NewReader(log), "report", "--from", "-", "--report", page, "--report", "-")
	if got.stdout.String() != dry.stdout.String() {
		t.Errorf("got %s\nwant %s", got.stdout.String(), dry.stdout.String())
	}
	if !strings.Contains(r.read(page), "200 rows would be sent") {
		t.Error("the page does not say what would be sent")
	}
	for name, text := range map[string]string{"nothing": "", "a log": dry.stderr.String(), "another version": strings.Replace(log, `"version": 1`, `"version": 99`, 1)} {
		if said := r.bare(78, strings.NewReader(text), "report", "--from", "-").stderr.String(); !strings.Contains(said, "--from -") {
			t.Errorf("%s: got %q, want it to name --from", name, said)
		}
	}
	r.bare(78, nil, "report", "--from", r.path("missing.json"))
	r.bare(78, nil, "report")
	r.must(78, "report", "--from", "x.json") // beside -c
	r.must(78, "report", "--show-subjects")
	r.must(78, "report", "--report", "x.pdf")
	r.must(78, "report") // nothing was run yet
}

// A run that was killed left its report, as far as it came; so does one that was
// stopped.
func TestReport_OfARunThatWasCutShort(t *testing.T) {
	t.Parallel()
	atOnce(t, 2, []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}, syscall.Signal.String, func(t *testing.T, s syscall.Signal) {
		r := newRig(t, sandbox.Options{Latency: 300 * time.Millisecond}).fill(1000).with("send.chunk_tokens", "20")
		p := r.start(nil, "run", "--report", r.path("run.html"))
		r.untilCalls(14)
		p.signal(s)
		p.wait()
		got := r.reportAgain()
		recorded := int64(len(r.tokens()))
		if got.Counts.Imported != recorded || got.Totals["imported"] != recorded || recorded == 0 || recorded == 1000 {
			t.Errorf("imported: got %d, in all %v, want the %d that are recorded, some of 1000", got.Counts.Imported, got.Totals, recorded)
		}
		if got.Counts.Read-got.Counts.Pending != got.Runs[0].Done || len(got.Progress) < 2 {
			t.Errorf("got %+v and progress %v, want as many done, and two points or more", got.Runs[0], got.Progress)
		}
		state, stopped := report.Died, "error"
		if s == syscall.SIGTERM {
			state, stopped = report.Ended, "signal"
			if page := r.read(r.path("run.html")); !strings.Contains(page, "Stopped by a signal") {
				t.Error("the page of the run that was stopped does not say so")
			}
		}
		if got.Runs[0].State != state || got.StoppedBy != stopped {
			t.Errorf("got state %s, stopped by %q; want %s, %q", got.Runs[0].State, got.StoppedBy, state, stopped)
		}
	})
}

// A run that ends by an error writes its report, too.
func TestReport_OfARunThatEndsByAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Status, Status: 402}}}).fill(300)
	p := r.must(4, "run", "--report", r.path("run.html"))
	if got := p.readReport(); got.StoppedBy != "error" || *got.ExitCode != 4 || got.Error == "" || got.Counts.Pending == 0 {
		t.Errorf("got stopped by %q with %v, %q, counts %+v; want an error, 4, and pending rows", got.StoppedBy, got.ExitCode, got.Error, got.Counts)
	}
	if page := r.read(r.path("run.html")); !strings.Contains(page, "402") {
		t.Error("the page does not tell the error")
	}
	if got := r.reportAgain(); got.Error == "" || *got.ExitCode != 4 {
		t.Errorf("from the checkpoint: got %q with %v, want the error and 4", got.Error, got.ExitCode)
	}
}

// Subject ids stand in a report only where they were asked for.
func TestReport_ShowsSubjectsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{RefuseSubjects: []string{"user-7"}}).fill(100).with("policy.max_failed", "5")
	r.exec(`UPDATE accounts SET expires = NULL WHERE id = 2`)
	subjects := func(p *process) map[string]string {
		out := map[string]string{}
		for _, f := range p.readReport().Failures {
			out[f.Key] = f.Subject
		}
		return out
	}
	if got := subjects(r.must(0, "dry-run", "--show-subjects")); !reflect.DeepEqual(got, map[string]string{"2": "user-2"}) {
		t.Errorf("dry-run: got %v, want the subject of key 2", got)
	}
	run := r.must(0, "run", "--show-subjects")
	if got := subjects(run); !reflect.DeepEqual(got, map[string]string{"2": "user-2", "7": "user-7"}) {
		t.Errorf("run: got %v, want the subjects of 2 and 7", got)
	}
	for _, args := range [][]string{{"run", "--report", "-"}, {"dry-run", "--report", "-"}, {"report", "--report", "-"}, {"status", "--json"}, {"failures"}} {
		if said := r.must(0, args...).stdout.String(); strings.Contains(said, "user-") {
			t.Errorf("%v tells a subject id without being asked:\n%s", args, said)
		}
	}
	if said := r.bare(0, nil, "report", "--from", run.report).stdout.String(); strings.Contains(said, "user-") {
		t.Errorf("report --from tells a subject id without being asked:\n%s", said)
	}
	if said := r.bare(0, nil, "report", "--from", run.report, "--show-subjects").stdout.String(); !strings.Contains(said, "user-7") {
		t.Errorf("report --from --show-subjects does not tell the subject:\n%s", said)
	}
}

// What is wrong with --report is told before anything is done.
func TestReport_PathsAreCheckedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1)
	for path, want := range map[string]string{
		"x.pdf": "the ending must be .html, .json or .txt", r.path("nowhere/x.html"): "its folder does not exist",
		"/proc/x.json": "cannot be written to", r.folder + ".json": "its folder",
	} {
		if path == r.folder+".json" {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(path) })
			want = "it is a folder"
		}
		if said := r.must(78, "run", "--report", path).stderr.String(); !strings.Contains(said, want) {
			t.Errorf("--report %s: got %q, want %q", path, said, want)
		}
	}
	if r.hasCheckpoint() {
		t.Error("a run with a bad --report began")
	}
}

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// readEnding reads the summary that a process left, which must be one short line.
func (r *rig) readEnding(path string) ending {
	r.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	if strings.Count(string(text), "\n") != 1 || !strings.HasSuffix(string(text), "\n") || len(text) >= terminationMost {
		r.Errorf("the summary: got %d bytes, %q; want one line of less than %d", len(text), text, terminationMost)
	}
	var e ending
	if err := json.Unmarshal(text, &e); err != nil {
		r.Fatalf("the summary %q: %v", text, err)
	}
	return e
}

// However a command ends, its last words say how.
func TestEnding_IsTold(t *testing.T) {
	t.Parallel()
	const rows = 60
	for _, c := range []struct {
		name    string
		args    []string
		conf    []string
		options sandbox.Options
		stop    bool
		code    int
		counts  *report.Counts
		outcome string
		problem string
	}{
		{name: "done", args: []string{"run"}, counts: &report.Counts{Read: rows, Imported: rows}, outcome: "Done: 60 imported now"},
		{name: "rehearsed", args: []string{"dry-run"}, counts: &report.Counts{Read: rows, Pending: rows}, outcome: "Go ahead: 60 of 60 rows"},
		{name: "refused", args: []string{"run"}, options: sandbox.Options{RefuseSubjects: []string{"user-3"}}, code: 3,
			counts: &report.Counts{Read: rows, Imported: rows - 1, Failed: 1}, outcome: "1 row is not imported", problem: "not every token is imported"},
		{name: "stopped", args: []string{"run"}, options: sandbox.Options{Latency: 300 * time.Millisecond}, stop: true, code: 75, outcome: "Stopped by a signal", problem: "stopped with work left"},
		{name: "another credential", args: []string{"run"}, options: sandbox.Options{Credential: "another"}, code: 4, outcome: "refuses the credential", problem: "the endpoint refuses the credential"},
		{name: "no configuration", args: []string{"run"}, conf: []string{"destination.url", "ftp://x"}, code: 78, outcome: "ended before any work began", problem: "destination.url"},
		{name: "no such flag", args: []string{"run", "--nonsense"}, code: 78, outcome: "ended before any work began", problem: "nonsense"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.options).fill(rows).with("send.chunk_tokens", "5", "send.concurrency", "1").with(c.conf...)
			path := filepath.Join(r.folder, "termination-log")
			if err := os.WriteFile(path, []byte("what was there before, which is longer than anything that is written now\n"+strings.Repeat("x", 9000)), 0o600); err != nil {
				t.Fatal(err)
			}
			r.env[terminationVar] = path
			p := r.start(nil, c.args...)
			if c.stop {
				r.untilCalls(2)
				p.signal(syscall.SIGTERM)
			}
			if code := p.wait(); code != c.code {
				t.Fatalf("exit code: got %d, want %d\n%s", code, c.code, p.said())
			}
			e := r.readEnding(path)
			if e.ExitCode != c.code || !strings.Contains(e.Outcome, c.outcome) || !strings.Contains(e.Error, c.problem) || (e.Error == "") != (c.problem == "") {
				t.Errorf("got %+v, want exit code %d, an outcome with %q, an error with %q", e, c.code, c.outcome, c.problem)
			}
			if c.counts != nil && (e.Counts == nil || *e.Counts != *c.counts) {
				t.Errorf("counts: got %+v, want %+v", e.Counts, c.counts)
			}
			if c.stop && (e.Counts == nil || e.Counts.Imported == 0 || e.Counts.Read != e.Counts.Sum()) {
				t.Errorf("counts: got %+v, want some imported", e.Counts)
			}
		})
	}
}

// A place that does not exist is not made.
func TestEnding_MakesNoFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1)
	path := filepath.Join(r.folder, "nowhere")
	r.env[terminationVar] = path
	if said := r.must(0, "run").stderr.String(); strings.Contains(said, "summary") {
		t.Errorf("got %q, want no word of it", said)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// The line stays short and scrubbed whatever happened.
func TestEndingLine_IsShortAndScrubbed(t *testing.T) {
	t.Parallel()
	redact := func(s string) string { return strings.ReplaceAll(s, "secret", "***") }
	for name, text := range map[string]string{
		"long": strings.Repeat("a word and another ", 1000), "escaped": strings.Repeat("\x01<&>\u2028", 3000), "several lines": "first secret\nsecond",
		"runes": strings.Repeat("ü", 5000), "secret": "the secret is out",
	} {
		r := report.New(strings.Repeat("m", 63), "run")
		r.StoppedBy, r.Error = "error", text
		line := endingLine(r, errors.New(text), redact)
		var e ending
		if err := json.Unmarshal(line, &e); err != nil || len(line) >= terminationMost || e.ExitCode != 1 || e.Error == "" {
			t.Errorf("%s: got %d bytes, %v: %.200s", name, len(line), err, line)
		}
		if strings.Contains(string(line), "secret") || strings.Contains(e.Error, "second") {
			t.Errorf("%s: got %q", name, line)
		}
	}
}

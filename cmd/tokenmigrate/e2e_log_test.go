package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// logLine is one line of the log, by key.
type logLine map[string]any

// logLines parses what a process wrote to stderr; every line must be one of the
// log, but what is said of a wrong command line or configuration.
func (p *process) logLines() []logLine {
	p.rig.Helper()
	var lines []logLine
	for text := range strings.Lines(p.stderr.String()) {
		if strings.HasPrefix(text, "tokenmigrate: ") {
			continue
		}
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			p.rig.Errorf("not a line of the log: %q", text)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// The log has a line a token at trace, a chunk at debug, a page at info with
// totals, and a warning with its cause for each retry and pause; its keys are
// these, on which others rely.
func TestLog_TellsWhatHappens(t *testing.T) {
	t.Parallel()
	const rows = 200
	keys := map[string][]string{
		"page":                              {"rows", "read", "total", "estimated", "imported", "unchanged", "failed", "invalid", "skipped", "unknown", "pending", "calls", "walk"},
		"import call":                       {"connector", "tokens", "call", "answer", "said", "took"},
		"row":                               {"key", "outcome", "reason"},
		"a call told nothing of its tokens": {"connector", "tokens", "answer", "said"},
		"the endpoint asks to wait":         {"connector", "waiting", "pause", "requests_per_minute", "said"},
		"rows of the source":                {"total", "estimated"},
	}
	var faults []sandbox.Fault
	for _, text := range []string{"500=#2", "429=#5"} {
		f, err := sandbox.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	r := newRig(t, sandbox.Options{Faults: faults, RefuseSubjects: []string{"user-9"}}).fill(rows).with("send.chunk_tokens", "20", "send.concurrency", "1", "source.page_size", "100")
	p := r.must(3, "run", "--log-level", "trace")
	by := make(map[string][]logLine)
	for _, line := range p.logLines() {
		message, _ := line["message"].(string)
		message, _, _ = strings.Cut(message, ";")
		by[message] = append(by[message], line)
		for _, key := range keys[message] {
			if _, ok := line[key]; !ok {
				t.Errorf("a line %q has no %s: %v", message, key, line)
			}
		}
		for key := range line {
			if known := append(keys[message], "level", "time", "message"); keys[message] != nil && !slices.Contains(known, key) {
				t.Errorf("a line %q has a new key %s", message, key)
			}
		}
		want := map[string]string{"page": "info", "import call": "debug", "row": "trace", "a call told nothing of its tokens": "warn", "the endpoint asks to wait": "warn"}[message]
		if level := line["level"]; want != "" && level != want {
			t.Errorf("a line %q has level %v, want %s", message, level, want)
		}
	}
	calls := r.endpoint.Summary().Calls
	if got := len(by["import call"]); got != calls {
		t.Errorf("got %d lines of %d calls", got, calls)
	}
	if len(by["a call told nothing of its tokens"]) != 1 || len(by["the endpoint asks to wait"]) != 1 {
		t.Errorf("got %d and %d warnings of the lost answer and the pause, want one each", len(by["a call told nothing of its tokens"]), len(by["the endpoint asks to wait"]))
	}
	read := []string{}
	for _, line := range by["page"] {
		read = append(read, fmt.Sprint(line["walk"], ":", line["read"], "/", line["total"]))
	}
	// The end of the source is known with the last full page, or by an empty one.
	if got := slices.DeleteFunc(slices.Compact(read), func(s string) bool { return !strings.HasSuffix(s, ":100/200") && !strings.HasSuffix(s, ":200/200") }); !slices.Equal(got, []string{"1:100/200", "1:200/200", "2:100/200", "2:200/200"}) {
		t.Errorf("pages: got %q", read)
	}
	seen := make(map[string]bool)
	for _, line := range by["row"] {
		seen[fmt.Sprint(line["key"], " ", line["outcome"], " ", line["reason"])] = true
	}
	for n := 1; n <= rows; n++ {
		want := strconv.Itoa(n) + " imported "
		if n == 9 {
			want = "9 failed refused"
		}
		if !seen[want] {
			t.Errorf("no line tells %q", want)
		}
	}
	var last []logLine
	for _, line := range p.logLines() {
		if line["level"] == "error" {
			last = append(last, line)
		}
	}
	if len(last) != 1 || last[0]["exit_code"] != 3.0 || !strings.HasPrefix(fmt.Sprint(last[0]["message"]), "not every token is imported") {
		t.Errorf("errors in the log: got %v, want the one that it ended with", last)
	}
	if said := p.stderr.String(); strings.Count(said, "not every token is imported") != 1 {
		t.Errorf("the error is told %d times, want once\n%s", strings.Count(said, "not every token is imported"), tail(said))
	}
}

// A dry run's log tells of every row at trace, too; at info no key stands in it.
func TestLog_OfADryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(50)
	rows := 0
	for _, line := range r.must(0, "dry-run", "--log-level", "trace").logLines() {
		if line["message"] == "row" && line["outcome"] == "pending" {
			rows++
		}
	}
	if rows != 50 {
		t.Errorf("got %d lines of 50 rows", rows)
	}
	pages := 0
	for _, line := range r.must(0, "dry-run").logLines() {
		if line["key"] != nil || line["level"] == "debug" || line["level"] == "trace" {
			t.Errorf("at info: got %v", line)
		}
		if line["message"] == "page" {
			pages++
		}
	}
	if pages == 0 {
		t.Error("no page is told at info")
	}
}

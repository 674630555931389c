package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func dryExample() *Report {
	r := example()
	r.Mode, r.ExitCode = "dry-run", new(3)
	r.Counts, r.Connectors = Counts{Read: 12_353, Unchanged: 300, Invalid: 18, Skipped: 7, Pending: 12_028}, []Connector{{Connector: "slack/acme", Environment: "production", Counts: Counts{Read: 12_353, Unchanged: 300, Invalid: 18, Skipped: 7, Pending: 12_028}}}
	r.Reasons = map[string]int64{"duplicate": 15, "unknown_provider": 3, "expired": 7}
	r.Failures = r.Failures[:2]
	r.Expiry = []Expiry{{"expired", 11_000, 0}, {"1h", 500, 20}, {"later", 508, 0}}
	r.Projection = Projection{Calls: 121, Seconds: 180, ByChunkTokens: []ProjectionChunkTokens{{25, 482, 721.5}, {100, 121, 180}}}
	return r
}

func TestReport_WriteTextGolden(t *testing.T) {
	t.Parallel()
	many := example()
	for len(many.Failures) < MaxFailures {
		many.Failures = append(many.Failures, many.Failures[1])
	}
	many.Remaining = Remaining{Rows: 1_000_000, Estimated: true}
	many.StoppedBy = "signal"
	many.Warnings = []string{"a warning of the run"}
	empty := New("acme", "run")
	empty.FinishedAt = new(empty.StartedAt)
	for name, r := range map[string]*Report{"run": example(), "stopped": many, "dry-run": dryExample(), "empty": empty} {
		var got bytes.Buffer
		if err := r.WriteText(&got); err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(got.String(), "\n") {
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: line %d ends in space: %q", name, n+1, line)
			}
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant (%s; -update writes it anew)\n%s", name, got.String(), file, want)
		}
	}
}

func TestReport_Sentence(t *testing.T) {
	t.Parallel()
	at := new(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		name string
		r    Report
		want string
	}{
		{"under way", Report{Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500}}, "under way, 1,400 of 2,000 rows done."},
		{"died", Report{StoppedBy: "error", Error: "the worker died", Counts: Counts{Read: 1500, Imported: 1400, Pending: 100}, Remaining: Remaining{Rows: 500}}, "1,400 of about 2,000 rows done; the worker died."},
		{"error", Report{FinishedAt: at, StoppedBy: "error", Error: "it broke"}, "stopped by an error: it broke"},
		{"signal", Report{FinishedAt: at, StoppedBy: "signal", Counts: Counts{Read: 9, Imported: 3, Pending: 6}}, "stopped by a signal with work left, 3 imported; the same command goes on from here."},
		{"no rows", Report{FinishedAt: at}, "the source has no rows."},
		{"limit", Report{FinishedAt: at, StoppedBy: "limit", Counts: Counts{Read: 9, Imported: 3, Pending: 6}}, "reached its --limit: 3 imported, 6 not sent"},
		{"not all", Report{FinishedAt: at, Counts: Counts{Read: 9, Imported: 3, Unchanged: 2, Failed: 1, Invalid: 1, Unknown: 1, Pending: 1}}, "finished: 3 imported now, 2 before; 4 not imported"},
		{"all", Report{FinishedAt: at, Counts: Counts{Read: 5, Imported: 3, Unchanged: 1, Skipped: 1}}, "finished: 3 imported now, 1 before, none missing."},
		{"dry, nothing to send", Report{Mode: "dry-run", FinishedAt: at, Counts: Counts{Read: 5, Unchanged: 4, Invalid: 1}}, "nothing would be sent; 4 of 5 rows are imported already and 1 cannot be."},
		{"dry, good", Report{Mode: "dry-run", FinishedAt: at, Counts: Counts{Read: 5, Pending: 5}, Projection: Projection{Calls: 1}}, "good to go: 5 of 5 rows would be sent in 1 call, taking about 0s."},
		{"dry, trouble", Report{Mode: "dry-run", FinishedAt: at, Counts: Counts{Read: 5, Pending: 3, Invalid: 2}, Projection: Projection{Calls: 2, Seconds: 90}}, "3 of 5 rows would be sent in 2 calls, taking about 1m30s; 2 stand in the way"},
	} {
		if got := c.r.Sentence(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want it to begin with %q", c.name, got, c.want)
		}
	}
}

func TestReport_ExplainsEveryReason(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"refused", "rejected", "unavailable", "missing_access_token", "missing_subject", "missing_expiry", "invalid_expiry", "invalid_environment",
		"unknown_provider", "invalid_field", "decrypt_failed", "too_large", "duplicate", "expired", "changed", "excluded", "in_doubt", "unmatched",
	} {
		if reasonWords[code] == "" {
			t.Errorf("reason %s is not explained", code)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", 12_345: "12,345", 123_456: "123,456", 1_234_567: "1,234,567",
		-1: "-1", -999: "-999", -1000: "-1,000", -123_456: "-123,456", 1<<63 - 1: "9,223,372,036,854,775,807", -1 << 63: "-9,223,372,036,854,775,808",
	} {
		if got := number(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 calls", 1: "1 call", 2: "2 calls", 1234: "1,234 calls"} {
		if got := count(n, "call"); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for s, want := range map[float64]string{
		0: "0s", 0.4: "0s", 12: "12s", 59.6: "1m0s", 200: "3m20s", 3599: "59m59s", 3600: "1h0m", 18_780: "5h13m", 18_809: "5h13m", 18_811: "5h14m", 360_000: "100h0m",
	} {
		if got := duration(s); got != want {
			t.Errorf("%g s: got %q, want %q", s, got, want)
		}
	}
}

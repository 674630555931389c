package report

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func dryExample() *Report {
	r := example()
	r.Mode, r.ExitCode = "dry-run", new(3)
	r.Counts, r.Connectors = Counts{Read: 12_353, Unchanged: 300, Invalid: 18, Skipped: 7, Pending: 12_028}, []Connector{{Connector: "slack/acme", Environment: "production", Counts: Counts{Read: 12_353, Unchanged: 300, Invalid: 18, Skipped: 7, Pending: 12_028}}}
	r.Reasons = map[string]int64{"duplicate": 15, "unknown_provider": 3, "expired": 7}
	r.Failures = r.Failures[:2]
	r.Expiry = []Expiry{{"expired", 11_000, 0}, {"run", 120, 4}, {"1h", 380, 16}, {"24h", 0, 0}, {"7d", 0, 0}, {"30d", 0, 0}, {"later", 508, 0}}
	r.Duplicates = Duplicates{"hashes", 200_704}
	r.Pace = Pace{RequestsPerMinute: 40}
	r.Projection = Projection{ChunkTokens: 100, Calls: 121, Seconds: 180, ByChunkTokens: []ProjectionChunkTokens{{25, 482, 721.5}, {100, 121, 180}}}
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
		checkGolden(t, name+".txt", got.Bytes())
	}
}

func TestReport_WriteJSONGolden(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Report{"run": example(), "dry-run": dryExample()} {
		checkGolden(t, name+".json", jsonOf(t, r))
	}
}

// checkGolden compares with a file of testdata, or writes it with -update.
func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant (-update writes it anew)\n%s", file, got, want)
	}
}

// TestReport_WriteTextCutsWhatWidensAllRows lets one key be long, and one detail.
func TestReport_WriteTextCutsWhatWidensAllRows(t *testing.T) {
	t.Parallel()
	r := example()
	r.Failures[0].Key, r.Failures[1].Detail = strings.Repeat("ü", 3000), strings.Repeat("d", 200)
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, strings.Repeat("ü", maxWidth-1)+"…  (none)") || !strings.Contains(got, strings.Repeat("d", 200)+"\n") {
		t.Errorf("got\n%s\nwant the key cut, and the detail, which stands last, whole", got)
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)); n > 350 {
			t.Errorf("got a line of %d characters", n)
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
		0: "0s", 0.4: "1s", 12: "12s", 59.6: "1m0s", 200: "3m20s", 3599: "59m59s", 3600: "1h0m", 18_780: "5h13m", 18_809: "5h13m", 18_811: "5h14m", 359_990: "100h0m", 360_000: "4d4h", 1e7: "115d18h", 1e30: "for ever",
	} {
		if got := duration(s); got != want {
			t.Errorf("%g s: got %q, want %q", s, got, want)
		}
	}
}

// TestReport_WriteTerminalIsTheSameTextInColours compares after taking the
// colours out; what stands in a report must not bring any of its own.
func TestReport_WriteTerminalIsTheSameTextInColours(t *testing.T) {
	t.Parallel()
	sequence := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for i, r := range exampleReports() {
		var plain, colored bytes.Buffer
		if err := errors.Join(r.WriteText(&plain), r.WriteTerminal(&colored)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(plain.String(), "\x1b") || strings.ContainsFunc(plain.String(), func(c rune) bool { return c < ' ' && c != '\n' }) {
			t.Errorf("report %d: the plain text has control characters: %q", i, plain.String())
		}
		first, _, _ := strings.Cut(colored.String(), "\n")
		if !strings.Contains(first, "\x1b["+levelColors[r.Verdict().Level]+"m") {
			t.Errorf("report %d: got %q, want the verdict in the colour of %s", i, first, r.Verdict().Level)
		}
		if got := sequence.ReplaceAllString(colored.String(), ""); got != plain.String() {
			t.Errorf("report %d: without its colours it is\n%s\nand plain it is\n%s", i, got, plain.String())
		}
	}
}

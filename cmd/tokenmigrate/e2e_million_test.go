package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
)

// A dry run keeps within 64 MiB of memory over a million rows, all its
// duplicates found, and its page below 1 MiB.
func TestDryRun_AMillionRows(t *testing.T) {
	if testing.Short() || os.Getenv(raceVar) != "" || runtime.GOOS != "linux" {
		t.Skip("it takes a minute, and memory means nothing with the race detector")
	}
	const million, most = 1_000_000, 64 << 20
	r := newRig(t, sandbox.Options{}).with("send.requests_per_minute", "40", "source.missing_expiry", "reject")
	r.fill(million)
	r.exec(`UPDATE accounts SET subject = 'user-' || (id - 500000) WHERE id > 500000 AND id % 100 = 0`)
	r.exec(`UPDATE accounts SET expires = NULL WHERE id % 1000 = 1`)
	r.exec(`UPDATE accounts SET expires = now() + interval '1 hour', refresh = NULL WHERE id % 1000 = 2`)
	p := r.start(nil, "dry-run", "--report", r.path("report.html"))
	memory := watchMemory(t, p.cmd.Process.Pid)
	if code := p.within(5 * time.Minute); code != 3 {
		t.Fatalf("exit code: got %d, want 3: not all are imported\n%s", code, p.said())
	}
	got := p.readReport()
	if got.Counts.Read != million || got.Reasons["duplicate"] != 5_000 || got.Reasons["missing_expiry"] != 1_000 {
		t.Errorf("got %d rows with the reasons %v, want 1,000,000, 5,000 of them duplicates and 1,000 without expiry", got.Counts.Read, got.Reasons)
	}
	// 10,000 calls at 40 a minute take more than four hours.
	for _, e := range got.Expiry {
		if want := map[string]int64{"run": 1_000}[e.UpTo]; e.WithoutRefresh != want {
			t.Errorf("without refresh token, %s: got %d, want %d", e.UpTo, e.WithoutRefresh, want)
		}
	}
	if d := got.Duplicates; d.Method != "hashes" || d.Bytes < 8*got.Counts.Pending || d.Bytes > 16*got.Counts.Pending {
		t.Errorf("got %+v for %d tokens, want 8 to 16 bytes each", d, got.Counts.Pending)
	}
	if page := r.read(r.path("report.html")); len(page) >= 1<<20 || !strings.Contains(page, "1,000,000 rows read") {
		t.Errorf("the page has %d bytes, want less than 1 MiB, and the number of rows in it", len(page))
	}
	took := memory()
	t.Logf("%d KiB of memory at most, in %s", took>>10, got.FinishedAt.Sub(got.StartedAt).Round(time.Second))
	if took == 0 || took > most {
		t.Errorf("it took %d KiB of memory, want at most %d", took>>10, most>>10)
	}
}

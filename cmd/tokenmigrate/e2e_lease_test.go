package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// A second worker waits while the first is at it, and then finds nothing to do.
func TestRun_WaitsForTheOtherWorker(t *testing.T) {
	t.Parallel()
	const rows = 300
	r := newRig(t, sandbox.Options{Latency: 200 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "2")
	first := r.start(nil, "run")
	r.untilCalls(2)
	second := r.start(nil, "run")
	second.untilSays("another worker holds this shard; waiting for it to end. See `status`")
	if code := first.wait(); code != 0 {
		t.Fatalf("the first: exit code: got %d, want 0\n%s", code, first.said())
	}
	calls := r.endpoint.Summary().Calls
	if code := second.within(10 * time.Second); code != 0 {
		t.Errorf("the second: exit code: got %d, want 0\n%s", code, second.said())
	}
	first.checkCounts(report.Counts{Imported: rows})
	second.checkCounts(report.Counts{Unchanged: rows})
	if got := r.endpoint.Summary().Calls; got != calls || calls != rows/10 {
		t.Errorf("calls: got %d of the first and %d of the second, want %d and none", calls, got-calls, rows/10)
	}
	r.checkArrived(all)
	r.sentOnce()
}

// The lease of a killed worker of this machine is taken over at once.
func TestRun_TakesOverFromTheDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Latency: 50 * time.Millisecond}).fill(300).with("send.chunk_tokens", "10", "send.timeout", "1s")
	first := r.start(nil, "run")
	r.untilCalls(5)
	first.kill()
	r.settled()
	if left := one[float64](t, r.cp, `SELECT extract(epoch FROM expires_at - now())::float8 FROM tokenmigrate.leases`); left < 20 {
		t.Fatalf("the dead worker's lease lasts %.0f s more; too little to tell anything", left)
	}
	if said := r.must(0, "status").stdout.String(); !strings.Contains(said, "running") && !strings.Contains(said, "died without a word") {
		t.Errorf("status after the kill: got %q", said)
	}
	second := r.start(nil, "run")
	// Calls in doubt settle 6 s after their start; 30 s would be the lease.
	if code := second.within(15 * time.Second); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, second.said())
	}
	r.checkArrived(all)
}

// A worker that was frozen past its lease makes no further call once it wakes,
// and ends with 6, while another has finished its work.
func TestRun_AFrozenWorkerStops(t *testing.T) {
	t.Parallel()
	const rows, workers = 300, 2
	r := newRig(t, sandbox.Options{Latency: 700 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "2", "send.timeout", "2s")
	first := r.start(nil, "run")
	// All its senders wait for answers when it freezes.
	r.until("its calls are under way", func() bool {
		s := r.endpoint.Summary()
		return s.Calls >= 3*workers && s.Statuses["none"] == workers
	})
	first.signal(syscall.SIGSTOP)
	defer first.signal(syscall.SIGCONT)
	frozen := r.intents()
	calls := r.endpoint.Summary().Calls
	if os.Getenv(crashRunsVar) != "" {
		// The real thing: until the lease has lapsed by itself.
		r.untilFor(45*time.Second, "the lease has lapsed", func() bool {
			return one[bool](t, r.cp, `SELECT expires_at < now() FROM tokenmigrate.leases`)
		})
	} else {
		mustExec(t, r.cp, `UPDATE tokenmigrate.leases SET expires_at = now() - interval '1 second'`)
	}
	second := r.start(nil, "run")
	r.until("the second is at it", func() bool { return r.endpoint.Summary().Calls > calls+2 })
	first.signal(syscall.SIGCONT)
	if code := first.within(20 * time.Second); code != 6 {
		t.Errorf("the first: exit code: got %d, want 6\n%s", code, first.said())
	}
	if code := second.wait(); code != 0 {
		t.Errorf("the second: exit code: got %d, want 0\n%s", code, second.said())
	}
	r.checkArrived(all)
	covered := map[string]bool{}
	for _, keys := range frozen {
		for _, key := range keys {
			covered[key] = true
		}
	}
	var bad problems
	for key, n := range sends(r.endpoint.Audit()) {
		if n > 1 && (!covered[key] || n > 2) {
			bad.add("key %s was sent %d times; it stood in an intent when the worker froze: %v", key, n, covered[key])
		}
	}
	bad.tell(t)
	// Every call is of one of the two, as their reports count them.
	if a, b, seen := first.readReport().Calls.Made, second.readReport().Calls.Made, r.endpoint.Summary().Calls; int(a+b) != seen {
		t.Errorf("calls: the reports tell of %d and %d, the endpoint saw %d", a, b, seen)
	}
	if made := first.readReport().Calls.Made; int(made) > calls {
		t.Errorf("calls of the worker that was frozen: got %d, %d of them after it woke", made, int(made)-calls)
	}
}

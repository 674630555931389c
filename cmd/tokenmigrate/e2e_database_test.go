package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// ownServer starts a Postgres that the test may kill, with an empty database.
func ownServer(t *testing.T) (server *localpg.Server, url string) {
	t.Helper()
	server, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateDatabase(t.Context(), "store"); err != nil {
		t.Fatal(err)
	}
	return server, server.URL("store")
}

// sentOnce fails where a token was carried by more than one call.
func (r *rig) sentOnce() {
	r.Helper()
	var bad problems
	for key, n := range sends(r.endpoint.Audit()) {
		if n != 1 {
			bad.add("key %s was sent %d times, want once", key, n)
		}
	}
	bad.tell(r.T)
}

// Both databases die in the middle of a run and come back: what the endpoint
// answered meanwhile is not forgotten, so that nothing is even sent twice.
func TestRun_OutlivesItsDatabases(t *testing.T) {
	t.Parallel()
	const rows = 1500
	server, url := ownServer(t)
	r := newRigOn(t, sandbox.Options{Latency: 60 * time.Millisecond}, url, "").fill(rows).with("send.chunk_tokens", "10", "source.page_size", "100")
	p := r.start(nil, "run")
	for i, calls := range []int{20, 70} {
		r.untilCalls(calls)
		if err := server.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.until("it tells that a database is away", func() bool { return strings.Count(p.stderr.String(), "database is away") > i })
		before := r.endpoint.Summary().Calls
		if err := server.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.endpoint.Summary().Calls - before; got > 4 {
			t.Errorf("calls without a database: got %d, want at most the 4 that could be under way", got)
		}
	}
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code: got %d, want 0\n%s", code, p.said())
	}
	r.db = r.dial(url)
	r.cp = r.db
	p.checkCounts(report.Counts{Imported: rows})
	r.checkArrived(all)
	r.sentOnce()
}

// An administrator who ends all sessions, again and again, stops nothing.
func TestRun_OutlivesItsSessions(t *testing.T) {
	t.Parallel()
	const rows = 600
	r := newRig(t, sandbox.Options{Latency: 20 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "source.page_size", "50")
	p := r.start(nil, "run")
	r.untilCalls(1) // at its start a run would rather end with 5
	ended := 0
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		ended += one[int](t, r.cp, `SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
			WHERE application_name = 'tokenmigrate' AND datname = current_database()`)
		select {
		case <-tick.C:
		case <-p.ended:
			over = true
		}
		if ended > 40 { // enough; let it go on
			over = true
		}
	}
	if code := p.wait(); code != 0 || ended < 5 {
		t.Fatalf("exit code: got %d after %d ended sessions, want 0 after some\n%s", code, ended, p.said())
	}
	r.checkArrived(all)
	r.sentOnce()
}

// A checkpoint that is locked: nobody is called while outcomes cannot be recorded.
func TestRun_MakesNoCallItCannotRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1000)
	r.must(0, "run", "--limit", "100")
	lock := r.dial(r.env["CHECKPOINT_DATABASE_URL"])
	mustExec(t, lock, `BEGIN`)
	mustExec(t, lock, `LOCK TABLE tokenmigrate.calls IN EXCLUSIVE MODE`)
	p := r.start(nil, "run")
	r.until("the run waits for the lock", func() bool {
		return one[bool](t, r.db, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
	})
	if got := r.endpoint.Summary().Calls; got != 1 {
		t.Errorf("calls while intents cannot be written: got %d, want none", got-1)
	}
	mustExec(t, lock, `ROLLBACK`)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code: got %d, want 0\n%s", code, p.said())
	}
	r.checkArrived(all)
	r.sentOnce()
}

// The database goes while the run drains: 75, and the outcomes are safe or in
// doubt, never wrong.
func TestRun_DrainsWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	if os.Getenv(crashRunsVar) == "" {
		t.Skip("takes the drain time; part of the long suite: " + crashRunsVar)
	}
	server, url := ownServer(t)
	r := newRigOn(t, sandbox.Options{Latency: 100 * time.Millisecond}, url, "").fill(500).with("send.chunk_tokens", "10", "send.timeout", "1s")
	p := r.start(nil, "run")
	r.untilCalls(10)
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	if code := p.within(20 * time.Second); code != 75 {
		t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
	}
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.db = r.dial(url)
	r.cp = r.db
	r.checkRecorded()
	r.must(0, "run")
	r.checkArrived(all)
}

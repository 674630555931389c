package main

import (
	"strings"
	"syscall"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// A run in which a goroutine hangs for ever ends with 1, says where it hangs and no
// secret, and the same command finishes the rest.
func TestRun_AStallEndsIt(t *testing.T) {
	t.Parallel()
	const rows = 60
	r := newRig(t, sandbox.Options{}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "1", "send.timeout", "1s")
	p := r.start([]string{"TOKENMIGRATE_CRASH_AT=after_call:3", "TOKENMIGRATE_CRASH_STALL=2s"}, "run")
	if code := p.wait(); code != 1 {
		t.Errorf("exit code: got %d, want 1\n%s", code, p.said())
	}
	said := p.stderr.String()
	for _, want := range []string{"the run stalled", "goroutine ", "migrate.(*pass).call", "the same command goes on from here"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q\n%s", want, p.said())
		}
	}
	for _, secret := range []string{credential, "access-1-", "refresh-1-"} {
		if strings.Contains(said, secret) {
			t.Errorf("the log has a secret: %s...", secret[:8])
		}
	}
	r.settled()
	r.must(0, "run")
	r.checkArrived(all)
}

// A signal that comes while a stalled run is being ended makes it stopped: nothing but
// 75 tells Kubernetes to try again without counting it.
func TestRun_AStallThatIsStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(60).with("send.chunk_tokens", "10", "send.concurrency", "1", "send.timeout", "1s")
	p := r.start([]string{"TOKENMIGRATE_CRASH_AT=after_call:3", "TOKENMIGRATE_CRASH_STALL=3s"}, "run")
	p.untilSays("the run stalled")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 75 {
		t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
	}
}

// Waiting is no stall: an operator's pause, or a slow pace.
func TestRun_WaitingIsNoStall(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(30).with("send.chunk_tokens", "10", "send.requests_per_minute", "20")
	p := r.start([]string{"TOKENMIGRATE_CRASH_STALL=1s"}, "run") // calls are three seconds apart
	if code := p.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
	r.checkArrived(all)
}

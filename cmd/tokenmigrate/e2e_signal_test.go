package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// A signal in the middle lets the calls in flight finish and records them; the
// next run finds nothing in doubt and sends only the rest.
func TestRun_DrainsOnASignal(t *testing.T) {
	t.Parallel()
	atOnce(t, 2, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, syscall.Signal.String, func(t *testing.T, s syscall.Signal) {
		const rows = 1000
		r := newRig(t, sandbox.Options{Latency: 400 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "20")
		p := r.start(nil, "run")
		r.untilCalls(10) // of 50; four are in flight at any time
		p.signal(s)
		if code := p.within(10 * time.Second); code != 75 {
			t.Fatalf("exit code: got %d, want 75\n%s", code, p.said())
		}
		r.noIntents()
		audit, tokens := r.endpoint.Audit(), r.tokens()
		sent := sends(audit)
		if len(sent) == 0 || len(sent) == rows {
			t.Fatalf("%d of %d tokens were sent; the signal came too early or too late to tell anything", len(sent), rows)
		}
		var bad problems
		for key := range sent {
			if tokens[key].Outcome != "imported" {
				bad.add("key %s was sent, and is recorded as %q, want imported", key, tokens[key].Outcome)
			}
		}
		bad.tell(t)
		if len(tokens) != len(sent) {
			t.Errorf("tokens recorded: got %d, want the %d that were sent", len(tokens), len(sent))
		}
		rep := p.readReport()
		if rep.StoppedBy != "signal" || *rep.ExitCode != 75 || rep.Counts.Imported != int64(len(sent)) {
			t.Errorf("the report: got stopped by %q, exit code %d, %d imported; want signal, 75, %d", rep.StoppedBy, *rep.ExitCode, rep.Counts.Imported, len(sent))
		}

		began := time.Now()
		last := r.must(0, "run")
		if took := time.Since(began); took > 15*time.Second { // 20 s would be a wait for calls in doubt
			t.Errorf("the run after a drain took %s", took)
		}
		last.checkCounts(report.Counts{Imported: int64(rows - len(sent)), Unchanged: int64(len(sent))})
		r.checkArrived(all)
		for id, im := range r.endpoint.Imported() {
			if im.Times != 1 {
				t.Fatalf("%v was imported %d times, want once", id, im.Times)
			}
		}
	})
}

// A second signal does not wait for calls in flight.
func TestRun_ASecondSignalCutsShort(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Hang, Imports: true}}}).fill(300).with("send.timeout", "60s")
	p := r.start(nil, "run")
	r.untilCalls(3)
	p.signal(syscall.SIGTERM)
	// Nothing tells that it drains; it must still be there after a good while.
	select {
	case <-p.ended:
		t.Fatalf("after one signal it did not wait for its calls: exit code %d\n%s", p.code, p.said())
	case <-time.After(time.Second):
	}
	p.signal(syscall.SIGTERM)
	if code := p.within(5 * time.Second); code != 75 {
		t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
	}
	// What was sent is not forgotten: in doubt, or recorded as unknown.
	doubt := slices.Concat(slices.Collect(maps.Values(r.intents()))...)
	for key, row := range r.tokens() {
		if row.Outcome == "unknown" {
			doubt = append(doubt, key)
		} else {
			t.Errorf("key %s: got outcome %q of a call that was not answered", key, row.Outcome)
		}
	}
	if got, want := len(doubt), len(sends(r.endpoint.Audit())); got != want {
		t.Errorf("tokens in doubt: got %d, want the %d that were sent", got, want)
	}
}

// Whatever a run waits for, a signal ends the wait.
func TestRun_ASignalEndsEveryWait(t *testing.T) {
	t.Parallel()
	type wait struct {
		name    string
		o       sandbox.Options
		conf    []string
		arrange func(*testing.T, *rig)
		ready   func(*rig, *process) // returns when the run waits
	}
	cases := []wait{
		{name: "for a lease", arrange: func(t *testing.T, r *rig) {
			r.must(0, "run", "--limit", "1")
			mustExec(t, r.cp, `UPDATE tokenmigrate.leases SET holder = 'elsewhere pid 1', expires_at = now() + interval '1 hour'`)
		}, ready: func(_ *rig, p *process) { p.untilSays(`"waiting":"lease"`) }},
		{name: "for the throttling to end", o: sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Status, Status: 429, RetryAfter: "600"}}},
			ready: func(_ *rig, p *process) { p.untilSays("all senders pause") }},
		{name: "for its pace", conf: []string{"send.requests_per_minute", "1"},
			ready: func(r *rig, _ *process) {
				r.until("the first call is recorded", func() bool { return len(r.tokens()) == 100 })
			}},
		{name: "for an operator", arrange: func(_ *testing.T, r *rig) {
			r.must(0, "run", "--limit", "1")
			r.must(0, "pause")
		}, ready: func(r *rig, p *process) {
			r.until("it is seen running", func() bool {
				return one[int](r.T, r.cp, `SELECT count(*)::int FROM tokenmigrate.runs WHERE finished_at IS NULL`) == 1
			})
		}},
		{name: "for the endpoint", o: sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Status, Status: 500}}},
			ready: func(r *rig, _ *process) { r.untilCalls(3) }},
		{name: "for another credential", o: sandbox.Options{Credential: "another"}, conf: []string{"destination.token", "${file:CREDENTIAL}"},
			ready: func(_ *rig, p *process) { p.untilSays("waiting for another one in its file") }},
		{name: "for calls in doubt", arrange: func(t *testing.T, r *rig) {
			r.with("send.timeout", "10m", "send.concurrency", "1")
			r.start([]string{"TOKENMIGRATE_CRASH_AT=after_call:1"}, "run").wait()
			r.settled()
		}, ready: func(r *rig, _ *process) {
			r.until("all others are recorded", func() bool { return len(r.tokens()) == 200 })
		}},
		{name: "for a lock in the source", arrange: func(t *testing.T, r *rig) { lockTable(t, r) },
			ready: func(r *rig, _ *process) {
				r.until("it is blocked", func() bool {
					return one[bool](r.T, r.db, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
				})
			}},
	}
	atOnce(t, 4, cases, func(c wait) string { return c.name }, func(t *testing.T, c wait) {
		r := newRig(t, c.o).fill(300).with(c.conf...)
		if r.conf["destination.token"] == "${file:CREDENTIAL}" {
			r.with("destination.token", "${file:"+r.credentialFile("vca_wrong")+"}")
		}
		if c.arrange != nil {
			c.arrange(t, r)
		}
		p := r.start(nil, "run", "--log-format", "json")
		c.ready(r, p)
		p.signal(syscall.SIGTERM)
		if code := p.within(8 * time.Second); code != 75 {
			t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
		}
	})
}

// lockTable keeps everybody else from reading the store until the test ends.
func lockTable(t *testing.T, r *rig) {
	t.Helper()
	conn := r.dial(r.env["SOURCE_DATABASE_URL"])
	mustExec(t, conn, `BEGIN`)
	mustExec(t, conn, `LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE`)
}

// A database that takes connections and says nothing.
func TestRun_ASignalEndsTheConnecting(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.env["SOURCE_DATABASE_URL"] = fmt.Sprintf("postgres://u:p@%s/db", l.Addr())
	p := r.start(nil, "run")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.signal(syscall.SIGTERM)
	if code := p.within(5 * time.Second); code != 75 {
		t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
	}
}

// A signal at any moment: 0 only where everything is done, else 75 (or death by
// the signal itself, before the program knows better), and the next run finishes.
func TestRun_ExitsZeroOnlyWhenFinished(t *testing.T) {
	t.Parallel()
	var moments []time.Duration
	for ms := range 12 {
		moments = append(moments, time.Duration(ms)*45*time.Millisecond)
	}
	atOnce(t, 4, moments, time.Duration.String, func(t *testing.T, after time.Duration) {
		const rows = 300
		r := newRig(t, sandbox.Options{Latency: 10 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "2")
		p := r.start(nil, "run")
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ended:
		}
		p.signal(syscall.SIGTERM)
		code := p.within(10 * time.Second)
		imported := len(r.tokens())
		r.noIntents()
		switch {
		case p.killed: // before it listened for signals
			if imported > 0 {
				t.Errorf("killed by the signal with %d tokens imported", imported)
			}
		case code == 0 && imported < rows:
			t.Errorf("exit code: got 0 with %d of %d imported\n%s", imported, rows, p.said())
		case code != 0 && code != 75:
			t.Errorf("exit code: got %d, want 0 or 75\n%s", code, p.said())
		}
		r.must(0, "run").checkCounts(report.Counts{Imported: int64(rows - imported), Unchanged: int64(imported)})
		r.checkArrived(all)
	})
}

// A dry run is stopped like a run.
func TestDryRun_StopsOnASignal(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(100)
	lockTable(t, r)
	p := r.start(nil, "dry-run")
	r.until("it is blocked", func() bool {
		return one[bool](r.T, r.db, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
	})
	p.signal(syscall.SIGTERM)
	if code := p.within(5 * time.Second); code != 75 {
		t.Errorf("exit code: got %d, want 75\n%s", code, p.said())
	}
}

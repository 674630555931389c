package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// status reads status --json.
func (r *rig) status() *report.Report {
	r.Helper()
	var out report.Report
	if err := json.Unmarshal([]byte(r.must(0, "status", "--json").stdout.String()), &out); err != nil {
		r.Fatal(err)
	}
	return &out
}

// One screen tells what is done and left, how fast, what it waits for, the last
// error, and each connector and shard; whatever the run did, status exits with 0.
func TestStatus_IsOneScreen(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1000).with("send.requests_per_minute", "60", "send.chunk_tokens", "100")
	r.exec(`UPDATE accounts SET connector = 'github/acme' WHERE id > 500`)
	p := r.start(nil, "run")
	r.untilCalls(3)
	r.until("status knows of progress", func() bool { return len(r.status().Progress) >= 3 && r.status().Counts.Imported > 0 })
	said := r.must(0, "status").stdout.String()
	for _, want := range []string{"Migration acme: Under way", "done        ", " of 1,000 rows [", "left        ", "pace        60 calls a minute", "waiting for pace",
		"slack/acme", "github/acme", "shard  run  done", "running", "heard of"} {
		if !strings.Contains(said, want) {
			t.Errorf("while it runs: %q is missing in\n%s", want, said)
		}
	}
	if n := strings.Count(said, "\n"); n > 24 {
		t.Errorf("got %d lines, want one screen\n%s", n, said)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	said = r.must(0, "status").stdout.String()
	for _, want := range []string{"Stopped by a signal with work left", "ended with 75", "last error  stopped with work left"} {
		if !strings.Contains(said, want) {
			t.Errorf("after it was stopped: %q is missing in\n%s", want, said)
		}
	}
	if s := r.status(); len(s.Runs) != 1 || s.Runs[0].Done != s.Counts.Imported || s.Runs[0].Left != 1000-s.Counts.Imported && !s.Remaining.Estimated {
		t.Errorf("got runs %+v of %+v", s.Runs, s.Counts)
	}
	r.must(78, "status", "--watch", "--interval", "0s")
}

// A watch goes on while its database is away, and Ctrl-C ends it well.
func TestStatus_WatchOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	server, url := ownServer(t)
	r := newRigOn(t, sandbox.Options{Latency: 100 * time.Millisecond}, url, "").fill(400).with("send.chunk_tokens", "10", "send.concurrency", "1")
	run := r.start(nil, "run")
	r.untilCalls(3)
	watch := r.start(nil, "status", "--watch", "--interval", "100ms")
	lines := r.start(nil, "status", "--watch", "--interval", "100ms", "--json")
	watch.untilSays("Under way")
	lines.untilSays(`"state":"running"`)
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	watch.untilSays("the checkpoint database is away since")
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := run.wait(); code != 0 {
		t.Fatalf("run: exit code: got %d\n%s", code, run.said())
	}
	watch.untilSays("Done: 400 imported now")
	lines.untilSays(`"exitCode":0`)
	for _, p := range []*process{watch, lines} {
		p.signal(syscall.SIGINT)
		if code := p.within(5 * time.Second); code != 0 {
			t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
		}
	}
	if said := watch.stdout.String(); strings.Contains(said, "\x1b") || strings.Count(said, "Migration acme: ") < 3 {
		t.Errorf("not on a terminal: got %s", tail(said))
	}
	in := bufio.NewScanner(strings.NewReader(lines.stdout.String()))
	in.Buffer(nil, 1<<20)
	n := 0
	for ; in.Scan(); n++ {
		var rep report.Report
		if err := json.Unmarshal(in.Bytes(), &rep); err != nil || rep.Migration != "acme" {
			t.Fatalf("line %d is no report: %v\n%s", n+1, err, in.Text())
		}
	}
	if n < 3 || in.Err() != nil {
		t.Errorf("got %d reports, %v", n, in.Err())
	}
}

// On a terminal a watch shows each status in the place of the last, and gives the
// terminal back.
func TestStatus_WatchesInPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(10)
	r.must(0, "run")
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.CommandContext(t.Context(), built.path(t), "status", "--watch", "--interval", "100ms", "-c", r.file())
	cmd.Env = append(bareEnvironment(), "TERM=xterm", "CHECKPOINT_DATABASE_URL="+r.env["CHECKPOINT_DATABASE_URL"])
	var trouble output
	cmd.Stdout, cmd.Stderr = tty, &trouble
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	var all strings.Builder
	asked := false
	for buffer := make([]byte, 64<<10); ; {
		n, err := terminal.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			break
		}
		if !asked && strings.Count(all.String(), "\x1b[H") >= 3 {
			asked = true
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	_ = cmd.Wait() // the state tells
	said := all.String()
	if code := cmd.ProcessState.ExitCode(); code != 0 || trouble.String() != "" {
		t.Errorf("exit code: got %d, want 0; stderr: %s", code, trouble.String())
	}
	const open, end = "\x1b[?1049h\x1b[?7l\x1b[?25l", "\x1b[?25h\x1b[?7h\x1b[?1049l"
	if !strings.HasPrefix(said, open) || strings.Count(said, end) != 1 {
		t.Errorf("got %q, want the alternate screen, and back from it", said)
	}
	if _, left, _ := strings.Cut(said, end); !strings.Contains(left, "Done: 10 imported now") || strings.Contains(left, "\x1b[H") {
		t.Errorf("got %q left on the terminal, want the last status", left)
	}
}

// Hundreds of thousands of failures are listed in flat memory, also few among many imported.
func TestFailures_TakesNoMemory(t *testing.T) {
	if testing.Short() || os.Getenv(raceVar) != "" || runtime.GOOS != "linux" {
		t.Skip("it takes a while, and memory means nothing with the race detector")
	}
	const rows, most = 200_000, 64 << 20
	r := newRig(t, sandbox.Options{}).fill(1)
	r.must(0, "run")
	r.exec(fmt.Sprintf(`INSERT INTO tokenmigrate.tokens (migration_id, key, connector, environment, outcome, reason, detail, attempts, updated_at)
		SELECT 1, md5(n::text), CASE WHEN n %% 1000 = 0 THEN 'rare/one' ELSE 'slack/acme' END, 'production', 'failed', 'refused', repeat('x', 100), 1, now() FROM generate_series(1, %d) n`, rows))
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"failures"}, rows + 1}, {[]string{"failures", "--format", "jsonl", "--connector", "rare/one"}, rows / 1000}} {
		cmd := exec.CommandContext(t.Context(), built.path(t), append(c.args, "-c", r.file())...)
		cmd.Env = append(bareEnvironment(), "CHECKPOINT_DATABASE_URL="+r.env["CHECKPOINT_DATABASE_URL"])
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		memory := watchMemory(t, cmd.Process.Pid)
		began, lines, last := time.Now(), 0, ""
		for in := bufio.NewScanner(out); in.Scan(); lines++ {
			if c.args[0] == "failures" && len(c.args) == 1 && lines > 1 && in.Text() <= last {
				t.Fatalf("%q comes after %q", in.Text(), last)
			}
			last = in.Text()
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		took := memory()
		t.Logf("%v: %d lines in %s with %d KiB", c.args, lines, time.Since(began).Round(time.Millisecond), took>>10)
		if lines != c.want || took == 0 || took > most {
			t.Errorf("%v: got %d lines with %d KiB, want %d with at most %d", c.args, lines, took>>10, c.want, most>>10)
		}
	}
}

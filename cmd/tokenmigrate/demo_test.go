package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tokenmigrate/migrate/connect/sandbox"
)

// TestDemo runs the built program, whole and interrupted. It needs a Postgres.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	program := filepath.Join(t.TempDir(), "tokenmigrate")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		p := startDemo(t, program)
		stdout, err := io.ReadAll(p.stdout)
		if err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 0 {
			t.Fatalf("exit code: got %d, want 0\n%s\n%s", code, stdout, p.stderr.String())
		}
		checkNarration(t, string(stdout))
		p.checkNothingLeft(t)
	})
	for _, c := range []struct {
		name, at string
		signal   syscall.Signal // 0: stdout is closed instead
	}{
		{"while the database starts", "A whole migration", syscall.SIGINT},
		{"in the run that is to be killed", "$ tokenmigrate run", syscall.SIGINT},
		{"in the resumed run", "--report resumed.json", syscall.SIGTERM},
		{"its terminal is closed", "2. A run", syscall.SIGHUP},
		{"nobody reads on", "1. A dry run", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startDemo(t, program)
			if !p.readUntil(c.at) {
				t.Fatalf("it never said %q, and ended with exit code %d; stderr: %s", c.at, p.wait(), p.stderr.String())
			}
			if c.signal == 0 {
				_ = p.stdout.Close()
			} else {
				if err := p.cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, p.stdout)
			}
			if code := p.wait(); code != 75 {
				t.Errorf("exit code: got %d, want 75; stderr: %s", code, p.stderr.String())
			}
			p.checkNothingLeft(t)
		})
	}
}

// checkNarration looks for what a newcomer must be told.
func checkNarration(t *testing.T, text string) {
	t.Helper()
	at := 0
	for _, want := range []string{
		demoConfigName, "migration: demo", "1. A dry run", "4,895 of 5,000 rows would be sent",
		"2. A run that is killed halfway", "(killed)", "died without a word",
		"3. The same command again", "an earlier run ended before it recorded the answers", "failed,rejected",
		"4. And once more", "it made no call",
		"5. What the endpoint saw", "each of the 5000 rows has the one outcome it must have", "All as promised",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Errorf("the narration does not say %q (any more, where it should)", want)
			continue
		}
		at += i
	}
	own := 0
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "    ") {
			own++
		}
	}
	if own > 60 {
		t.Errorf("lines of its own: got %d, want at most 60", own)
	}
	for _, never := range []string{"NOT SO", "\x1b", "xoxe", "gho_", "ya29", "postgres://"} {
		if strings.Contains(text, never) {
			t.Errorf("the narration contains %q", never)
		}
	}
}

// demoProcess is a running demo whose temporary files go to a folder of its own.
type demoProcess struct {
	cmd    *exec.Cmd
	temp   string
	stdout io.ReadCloser
	lines  *bufio.Reader
	stderr *bytes.Buffer
}

func startDemo(t *testing.T, program string) *demoProcess {
	t.Helper()
	// Not t.TempDir, which an account that Postgres may run as cannot enter.
	temp, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &demoProcess{temp: temp, stderr: new(bytes.Buffer)}
	p.cmd = exec.CommandContext(t.Context(), program, "demo")
	// What the user has set for the commands is none of the demo's business.
	p.cmd.Env = append(os.Environ(), "TMPDIR="+temp, "TOKENMIGRATE_LIMIT=1", "PGOPTIONS=-c statement_timeout=1")
	p.cmd.Stderr = p.stderr
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(p.stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); p.wait() }) // of a test that gave up on it
	return p
}

// readUntil reads stdout up to a line that contains text.
func (p *demoProcess) readUntil(text string) bool {
	for {
		line, err := p.lines.ReadString('\n')
		if strings.Contains(line, text) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// wait returns the exit code; stderr may be read afterwards.
func (p *demoProcess) wait() int {
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// checkNothingLeft looks for files in the demo's folder for temporary ones, and
// for processes at work there.
func (p *demoProcess) checkNothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(p.temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
	processes, _ := filepath.Glob("/proc/[0-9]*") // none where there is no /proc
	for _, process := range processes {
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		folder, _ := os.Readlink(filepath.Join(process, "cwd"))
		if strings.Contains(string(command)+folder, p.temp) {
			t.Errorf("left running: %s, %q in %s", process, command, folder)
		}
	}
}

func TestDemoAccounts(t *testing.T) {
	for _, n := range []int{demoLeast, demoRows, 12345} {
		accounts := demoAccounts(n, time.Now())
		count := map[int]int{}
		owners := map[string]int{}
		secrets := map[string]bool{}
		for i, a := range accounts {
			count[a.kind]++
			if a.id != i+1 {
				t.Fatalf("%d accounts: number %d has the id %d", n, i+1, a.id)
			}
			secrets[a.access] = true
			if a.importable() {
				owners[a.provider()+a.subject()] = i
			}
			if _, owned := owners[a.provider()+a.subject()]; a.kind == demoDuplicate && !owned {
				t.Errorf("%d accounts: the duplicate %d comes before what it repeats", n, a.id)
			}
			if a.kind == demoRejected && i < n/2 {
				t.Errorf("%d accounts: the one that is rejected is number %d, in the first half", n, i)
			}
		}
		for kind, k := range demoKinds {
			want := max(1, k.of5000*n/5000)
			if kind != demoSlack && count[kind] != want {
				t.Errorf("%d accounts: %s: got %d, want %d", n, k.name, count[kind], want)
			}
		}
		if got, want := len(secrets), n-count[demoNoAccess]+1; got != want {
			t.Errorf("%d accounts: different access tokens: got %d, want %d", n, got, want)
		}
	}
}

// honestEvidence is that of a migration in which all is well: chunks of 50, one
// of which was interrupted and one of whose answers was lost.
func honestEvidence() *demoEvidence {
	e := &demoEvidence{
		accounts: demoAccounts(demoLeast, time.Now()), ended: map[string]demoEnding{},
		recorded: map[string]bool{}, interrupted: map[string]bool{}, held: map[sandbox.Identity]sandbox.Import{},
	}
	call := func(accounts []*demoAccount, answered bool) {
		c := sandbox.Call{Number: len(e.calls) + 1}
		for _, a := range accounts {
			t := sandbox.SentToken{Identity: a.identity(), AccessTokenSHA256: a.accessHash(), Imported: a.importable()}
			if answered {
				t.Answered = sandbox.No
				if t.Imported {
					t.Answered = sandbox.Yes
				}
			}
			if t.Imported {
				e.held[t.Identity] = sandbox.Import{AccessTokenSHA256: a.accessHash(), RefreshTokenSHA256: a.refreshHash()}
			}
			c.Tokens = append(c.Tokens, t)
		}
		e.calls = append(e.calls, c)
	}
	var sent []*demoAccount
	for i := range e.accounts {
		a := &e.accounts[i]
		e.ended[a.key()] = demoEnding{demoKinds[a.kind].outcome, demoKinds[a.kind].reason}
		if a.importable() || a.kind == demoRefused {
			sent = append(sent, a)
		}
	}
	chunks := slices.Collect(slices.Chunk(sent, 50))
	call(chunks[0], false) // lost
	call(chunks[0], true)
	for _, a := range chunks[0] {
		e.recorded[a.key()] = a.importable()
	}
	call(chunks[1], true) // answered, and the run was killed before it could record that
	e.seenAtKill = len(e.calls)
	for _, a := range chunks[1] {
		e.interrupted[a.key()] = true
	}
	for _, chunk := range chunks[1:] {
		call(chunk, true)
	}
	return e
}

func TestDemoEvidence_Verify(t *testing.T) {
	const endings, held, recorded, repeated = 0, 1, 2, 3
	// One of the accounts whose call was neither interrupted nor lost, and one
	// of the first chunk.
	late := func(e *demoEvidence) *sandbox.SentToken { return &e.calls[len(e.calls)-1].Tokens[0] }
	early := func(e *demoEvidence) *sandbox.SentToken { return &e.calls[1].Tokens[0] }
	accountOf := func(e *demoEvidence, s *sandbox.SentToken) *demoAccount {
		for i := range e.accounts {
			if e.accounts[i].accessHash() == s.AccessTokenSHA256 {
				return &e.accounts[i]
			}
		}
		panic("no such account")
	}
	again := func(e *demoEvidence, s sandbox.SentToken) {
		e.calls = append(e.calls, sandbox.Call{Number: len(e.calls) + 1, Tokens: []sandbox.SentToken{s}})
	}
	for _, c := range []struct {
		name   string
		spoil  func(*demoEvidence)
		broken []int
	}{
		{"all is well", func(*demoEvidence) {}, nil},
		{"a row is lost", func(e *demoEvidence) { delete(e.ended, accountOf(e, late(e)).key()) }, []int{endings, held}},
		{"a row ends otherwise", func(e *demoEvidence) {
			e.ended[accountOf(e, late(e)).key()] = demoEnding{"unknown", "in_doubt"}
		}, []int{endings, held}},
		{"a row too many", func(e *demoEvidence) { e.ended["x"] = demoEnding{"skipped", "expired"} }, []int{endings}},
		{"a call in doubt", func(e *demoEvidence) { e.openCalls = 1 }, []int{endings}},
		{"called imported, and it is not", func(e *demoEvidence) { delete(e.held, late(e).Identity) }, []int{held}},
		{"somebody else's token", func(e *demoEvidence) {
			e.held[late(e).Identity] = sandbox.Import{AccessTokenSHA256: early(e).AccessTokenSHA256}
		}, []int{held}},
		{"without its refresh token", func(e *demoEvidence) {
			for i := range e.accounts {
				if a := &e.accounts[i]; a.kind == demoRefreshable {
					e.held[a.identity()] = sandbox.Import{AccessTokenSHA256: a.accessHash()}
					return
				}
			}
		}, []int{held}},
		{"imported, and nobody should have sent it", func(e *demoEvidence) {
			e.held[sandbox.Identity{Connector: "slack/acme"}] = sandbox.Import{}
		}, []int{held}},
		{"recorded, and sent again", func(e *demoEvidence) {
			s := *early(e)
			s.Imported, s.Answered = false, sandbox.NoVerdict
			again(e, s)
		}, []int{recorded}},
		{"answered after the kill, and sent again", func(e *demoEvidence) {
			s := *late(e)
			s.Imported, s.Answered = false, sandbox.NoVerdict
			again(e, s)
		}, []int{recorded}},
		{"answered, sent and imported again", func(e *demoEvidence) { again(e, *late(e)) }, []int{recorded, repeated}},
		{"a token that is in no row", func(e *demoEvidence) { again(e, sandbox.SentToken{}) }, []int{recorded}},
	} {
		e := honestEvidence()
		c.spoil(e)
		var broken []int
		for i, f := range e.verify() {
			if len(f.problems) > 0 {
				broken = append(broken, i)
			}
		}
		if !slices.Equal(broken, c.broken) {
			t.Errorf("%s: broken promises: got %v, want %v", c.name, broken, c.broken)
		}
	}
}

func TestDemo_JudgeFailsWhereAPromiseIsBroken(t *testing.T) {
	var out bytes.Buffer
	d := &demo{out: &narrator{w: &out}}
	if err := d.judge(demoFinding{promise: "all is well"}); err != nil {
		t.Errorf("kept promises: got %v, want no error", err)
	}
	f := demoFinding{promise: "seven"}
	for i := range 7 {
		f.problem("problem %d", i)
	}
	err := d.judge(demoFinding{promise: "all is well"}, f)
	if code := exitCode(err); code != 1 {
		t.Errorf("a broken promise: got %v, exit code %d, want 1", err, code)
	}
	for _, want := range []string{"  ok  all is well\n", "  NOT SO  seven\n        problem 0\n", "problem 4\n        and 2 more\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want it to contain %q", out.String(), want)
		}
	}
}

func TestDemo_RunChecksTheExitCode(t *testing.T) {
	// An earlier test may have started the server that all share.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var out bytes.Buffer
	d := &demo{out: &narrator{w: &out}, self: "/bin/sh", folder: t.TempDir()}
	script := []string{"-c", `echo "to $NAME"; echo; printf "no end" >&2; exit 3`}
	if err := d.run(t.Context(), []string{"NAME=you"}, 3, script...); err != nil {
		t.Errorf("exit code 3 where 3 is wanted: got %v, want no error", err)
	}
	if want := "    to you\n\n    no end\n  (exit code 3)\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("output: got %q, want it to end with %q", out.String(), want)
	}
	if err := d.run(t.Context(), nil, 0, script...); err == nil || !strings.Contains(err.Error(), "exit code 3, not 0") {
		t.Errorf("exit code 3 where 0 is wanted: got %v, want an error that says so", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.run(ctx, nil, 3, script...); err == nil {
		t.Error("a context that has ended: got no error")
	}
	c, err := d.start(t.Context(), nil, "-c", "exec sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	c.kill()
	if code, err := c.wait(); code != -1 || err != nil {
		t.Errorf("killed: got %d, %v, want -1", code, err)
	}
}

func TestForgetSettings_ClearsWhatChangesTheCommands(t *testing.T) {
	for _, name := range []string{"PGOPTIONS", "TOKENMIGRATE_LIMIT", "POSTGRES_BIN"} {
		t.Setenv(name, "/nowhere")
	}
	forgetSettings()
	for name, want := range map[string]bool{"PGOPTIONS": false, "TOKENMIGRATE_LIMIT": false, "POSTGRES_BIN": true} {
		if _, got := os.LookupEnv(name); got != want {
			t.Errorf("%s is still set: got %v, want %v", name, got, want)
		}
	}
}

func TestNarrator_PaintsOnlyWhereItIsSeen(t *testing.T) {
	for _, c := range []struct {
		colours bool
		want    string
	}{{false, "\nStep\n"}, {true, "\n\x1b[1mStep\x1b[0m\n"}} {
		var out bytes.Buffer
		n := &narrator{w: &out, colours: c.colours}
		n.heading("Step")
		if got := out.String(); got != c.want {
			t.Errorf("colours %v: got %q, want %q", c.colours, got, c.want)
		}
	}
}

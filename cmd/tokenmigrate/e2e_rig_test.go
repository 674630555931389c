package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

// raceVar has the program under test built with the race detector.
const raceVar = "TOKENMIGRATE_E2E_RACE"

// program is the built program, once a test process.
type program struct {
	once   sync.Once
	folder string
	err    error
}

var built program

// path returns the program, built with the steps at which it kills itself.
func (p *program) path(t *testing.T) string {
	t.Helper()
	p.once.Do(func() {
		if p.folder, p.err = os.MkdirTemp("", "tokenmigrate-test-"); p.err != nil {
			return
		}
		args := []string{"build", "-tags", "crashtest", "-o", p.file()}
		if os.Getenv(raceVar) != "" {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			p.err = fmt.Errorf("build the program: %w\n%s", err, out)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.file()
}

func (p *program) file() string { return filepath.Join(p.folder, "tokenmigrate") }

// remove removes the program, if it was built.
func (p *program) remove() error {
	if p.folder == "" {
		return nil
	}
	return os.RemoveAll(p.folder)
}

// rig is one migration from end to end, the test's own: a store, a checkpoint,
// the endpoint, and a configuration file for the built program.
type rig struct {
	*testing.T
	db       *pgx.Conn // the source, as its owner
	cp       *pgx.Conn // the checkpoint, as its owner; db where both are one
	endpoint *sandbox.Server
	folder   string
	// conf are the configuration's keys, "send.timeout", with their values as YAML.
	conf map[string]string
	env  map[string]string // of the program, beside PATH and the like
}

// credential is what the endpoint of a rig wants to see.
const credential = "vca_endpointCredential0123456789"

// storeQuery reads the table that fill makes.
const storeQuery = `SELECT id AS key, connector, access AS access_token, refresh AS refresh_token, expires AS expires_at, subject AS subject_id FROM accounts`

// newRig returns a rig in a database of its own, without rows, whose endpoint
// is played by o. Calls are not paced.
func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	return newRigOn(t, o, localpg.Database(t), "")
}

// newRigOn is newRig with these databases. An empty checkpoint is the source's.
func newRigOn(t *testing.T, o sandbox.Options, source, checkpoint string) *rig {
	t.Helper()
	r := &rig{T: t, folder: t.TempDir(), endpoint: sandbox.New(withCredential(o))}
	r.db = r.dial(source)
	r.cp = r.db
	if checkpoint == "" {
		checkpoint = source
	} else {
		r.cp = r.dial(checkpoint)
	}
	endpoint, err := r.endpoint.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.endpoint.Close)
	r.conf = map[string]string{
		"migration": "acme", "source.url": "${SOURCE_DATABASE_URL}", "source.query": strconv.Quote(storeQuery),
		"destination.url": endpoint, "destination.token": "${VERCEL_TOKEN}", "destination.team_id": "team_acme", "destination.connector": "slack/acme",
		"checkpoint.url":           "${CHECKPOINT_DATABASE_URL}",
		"send.requests_per_minute": "1000000", "send.timeout": "10s",
	}
	r.env = map[string]string{"SOURCE_DATABASE_URL": source, "CHECKPOINT_DATABASE_URL": checkpoint, "VERCEL_TOKEN": credential}
	return r
}

func withCredential(o sandbox.Options) sandbox.Options {
	if o.Credential == "" {
		o.Credential = credential
	}
	return o
}

// dial connects as the test.
func (r *rig) dial(url string) *pgx.Conn {
	r.Helper()
	conn, err := pgx.Connect(r.Context(), url)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// with sets keys of the configuration: with("send.timeout", "1s", ...). An empty
// value removes the key. It returns the rig.
func (r *rig) with(keyValues ...string) *rig {
	for pair := range slices.Chunk(keyValues, 2) {
		if r.conf[pair[0]] = pair[1]; pair[1] == "" {
			delete(r.conf, pair[0])
		}
	}
	return r
}

// exec runs statements on the source.
func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	mustExec(r.T, r.db, sql, args...)
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

// fill makes the store's table with rows of the keys 1 to n: subject user-KEY,
// tokens access-KEY-... and refresh-KEY-..., good for a year, for the connector
// of the configuration.
func (r *rig) fill(n int) *rig {
	r.Helper()
	r.exec(`CREATE TABLE accounts (id bigint PRIMARY KEY, connector text, access text, refresh text, expires timestamptz, subject text)`)
	r.add(1, n)
	r.exec(`ANALYZE accounts`)
	return r
}

// add adds the rows of the keys first to last.
func (r *rig) add(first, last int) {
	r.Helper()
	r.exec(`INSERT INTO accounts SELECT n, NULL, access, refresh, now() + interval '1 year', 'user-' || n
		FROM generate_series($1::bigint, $2) n, LATERAL (SELECT 'access-' || n || '-' || md5('a' || n) AS access, 'refresh-' || n || '-' || md5('r' || n) AS refresh) t`,
		first, last)
}

// file writes the configuration and returns its path.
func (r *rig) file() string {
	r.Helper()
	var text strings.Builder
	section := ""
	keys := slices.SortedFunc(maps.Keys(r.conf), func(a, b string) int { // keys without a section first
		if d := strings.Count(a, ".") - strings.Count(b, "."); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		name := key
		if in, rest, ok := strings.Cut(key, "."); ok {
			if in != section {
				fmt.Fprintf(&text, "%s:\n", in)
			}
			section, name = in, "  "+rest
		}
		fmt.Fprintf(&text, "%s: %s\n", name, r.conf[key])
	}
	// Each process has its own: one may still be starting when the next file is written.
	f, err := os.CreateTemp(r.folder, "migration-*.yaml")
	if err != nil {
		r.Fatal(err)
	}
	if _, err := f.WriteString(text.String()); err != nil {
		r.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.Fatal(err)
	}
	return f.Name()
}

// output collects what a process writes, to be read at any time.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// process is one command of the program.
type process struct {
	rig            *rig
	name           string
	cmd            *exec.Cmd
	report         string // the path of its JSON report, written by run and dry-run
	stdout, stderr output
	ended          chan struct{}
	killed         bool // by a signal; read after ended, as code is
	code           int  // -1 where it was killed
}

// processLimit is how long a command may take.
const processLimit = 90 * time.Second

// start starts a command with the rig's configuration and environment, and
// what env adds ("NAME=value").
func (r *rig) start(env []string, args ...string) *process {
	r.Helper()
	p := &process{rig: r, name: strings.Join(args, " "), ended: make(chan struct{})}
	args = append(args, "-c", r.file())
	if args[0] == "run" || args[0] == "dry-run" {
		p.report = strings.TrimSuffix(args[len(args)-1], "yaml") + "json"
		args = append(args, "--report", p.report)
	}
	for name, value := range r.env {
		env = append(env, name+"="+value)
	}
	return p.launch(env, nil, args)
}

// bare runs a command to its end without the rig's configuration and
// environment, and fails unless it ends with that exit code.
func (r *rig) bare(code int, stdin io.Reader, args ...string) *process {
	r.Helper()
	p := &process{rig: r, name: strings.Join(args, " "), ended: make(chan struct{})}
	if got := p.launch(nil, stdin, args).wait(); got != code {
		r.Fatalf("%s: exit code: got %d, want %d\n%s", p.name, got, code, p.said())
	}
	return p
}

// launch starts the built program.
func (p *process) launch(env []string, stdin io.Reader, args []string) *process {
	p.rig.Helper()
	p.cmd = exec.CommandContext(p.rig.Context(), built.path(p.rig.T), args...)
	p.cmd.Env, p.cmd.Stdin = slices.Concat(bareEnvironment(), env), stdin
	return p.begin()
}

// begin starts p.cmd.
func (p *process) begin() *process {
	r := p.rig
	r.Helper()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the state tells
		p.code = p.cmd.ProcessState.ExitCode()
		p.killed = p.code < 0
	}()
	r.Cleanup(func() { p.kill() }) // of a test that gave up on it
	return p
}

// bareEnvironment is this process's own, without what would change the
// program's doings.
func bareEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "TOKENMIGRATE_") || strings.HasPrefix(name, "PG") || name == "VERCEL_TOKEN"
	})
}

// signal sends a signal. One that comes too late is nothing.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// wait returns the exit code, -1 where a signal ended the process.
func (p *process) wait() int {
	p.rig.Helper()
	return p.within(processLimit)
}

// within is wait for a process that has to end in less than d. One that does not
// fails the test, and says where it hangs.
func (p *process) within(d time.Duration) int {
	p.rig.Helper()
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		p.signal(syscall.SIGQUIT)
		<-p.ended
		p.rig.Fatalf("%s did not end within %s\n%s", p.name, d, p.stdout.String()+p.stderr.String())
	}
	return p.code
}

// said returns what the process wrote, for a failing test.
func (p *process) said() string {
	return fmt.Sprintf("--- stdout of %s\n%s--- stderr\n%s", p.name, tail(p.stdout.String()), tail(p.stderr.String()))
}

// tail cuts all but the end off.
func tail(text string) string {
	const most = 6000
	if len(text) > most {
		return "...\n" + text[len(text)-most:]
	}
	return text
}

// must runs a command to its end and fails unless it ends with that exit code.
func (r *rig) must(code int, args ...string) *process {
	r.Helper()
	p := r.start(nil, args...)
	if got := p.wait(); got != code {
		r.Fatalf("%s: exit code: got %d, want %d\n%s", p.name, got, code, p.said())
	}
	return p
}

// until waits until holds, looking a hundred times a second.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	r.untilFor(30*time.Second, what, holds)
}

// untilFor is until, for at most d.
func (r *rig) untilFor(d time.Duration, what string, holds func() bool) {
	r.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(d)
	defer limit.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			r.Fatalf("waited %s in vain until %s", d, what)
		}
	}
}

// untilSays waits until the process has written a text.
func (p *process) untilSays(text string) {
	p.rig.Helper()
	p.rig.until(p.name+" says "+text, func() bool {
		select {
		case <-p.ended:
			if !strings.Contains(p.stderr.String()+p.stdout.String(), text) {
				p.rig.Fatalf("%s ended with %d and never said %q\n%s", p.name, p.code, text, p.said())
			}
		default:
		}
		return strings.Contains(p.stderr.String()+p.stdout.String(), text)
	})
}

// untilCalls waits until the endpoint has seen n calls.
func (r *rig) untilCalls(n int) {
	r.Helper()
	r.until(fmt.Sprintf("the endpoint has seen %d calls", n), func() bool { return r.endpoint.Summary().Calls >= n })
}

// credentialFile writes a credential to a file and returns its path.
func (r *rig) credentialFile(text string) string {
	r.Helper()
	path := filepath.Join(r.folder, "credential")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

// asRole returns a URL with another role and password.
func asRole(base, role, password string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" {
		// Of a keyword that is given twice, the last one counts.
		return fmt.Sprintf("%s user='%s' password='%s'", base, role, password)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// atOnce runs the cases as subtests, width of them beside each other: they wait
// more than they work, so that t.Parallel, which goes by the number of cores,
// would take far longer.
func atOnce[C any](t *testing.T, width int, cases []C, name func(C) string, run func(*testing.T, C)) {
	t.Helper()
	free := make(chan struct{}, width)
	var all sync.WaitGroup
	for _, c := range cases {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			t.Run(name(c), func(t *testing.T) { run(t, c) })
		})
	}
	all.Wait()
}

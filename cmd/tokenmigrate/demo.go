package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

//go:embed demo_config.yaml
var demoConfig string

const (
	demoStore      = "app"       // the database of the team's application
	demoCheckpoint = "migration" // the database of the checkpoint
	demoConfigName = "demo.yaml"

	demoRows            = 5000
	demoLeast, demoMost = 500, 200_000

	// The stand-in takes its time, so that calls are under way when the run is
	// killed.
	demoLatency = 120 * time.Millisecond
	demoJitter  = 60 * time.Millisecond
)

// demoFaultWords says what the faults of demoFaults are.
var demoFaultWords = map[string]string{
	"500":                "a 500",
	"429:1":              "a 429",
	"reset-in-body":      "a reset connection",
	"reset-after-import": "a lost answer",
	"cut-body":           "an answer cut short",
}

// demoFaults spreads faults over the calls of a migration, some on either side
// of the kill.
func demoFaults(calls int) []sandbox.Fault {
	at := func(percent int) []int { return []int{max(1, calls*percent/100)} }
	return []sandbox.Fault{
		{Kind: sandbox.Status, Status: 500, Calls: at(12)},
		{Kind: sandbox.ResetAfterImport, Calls: at(22)},
		{Kind: sandbox.ResetInBody, Calls: at(34)},
		{Kind: sandbox.Status, Status: 429, RetryAfter: "1", Calls: at(65)},
		{Kind: sandbox.CutBody, Calls: at(80)},
	}
}

func (a *app) demoCommand() *cobra.Command {
	rows, keep := demoRows, false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a whole migration, on a throwaway Postgres and a stand-in of the endpoint",
		Long: `Starts a throwaway Postgres with a store of a few thousand accounts and all the
trouble that real stores have, and a stand-in of the import endpoint that
misbehaves. It then runs the real commands and tells what they show: a dry run, a
run that is killed halfway, the run that resumes it, and one that finds nothing
left to do. At the end it compares the checkpoint with what the endpoint saw, and
fails where they do not agree.

It takes less than half a minute, needs Postgres to be installed, calls nothing
outside of this machine, and leaves nothing behind.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rows < demoLeast || rows > demoMost {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--rows %d: use %d to %d", rows, demoLeast, demoMost)}
			}
			_, plain := a.getenv("NO_COLOR")
			d := &demo{out: &narrator{w: a.stdout, colours: terminal(a.stdout) && !plain}, rows: rows, keep: keep}
			return d.main(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&rows, "rows", demoRows, fmt.Sprintf("accounts in the store, %d to %d", demoLeast, demoMost))
	cmd.Flags().BoolVar(&keep, "keep", false, "at the end keep everything running, to look around, until Ctrl-C")
	return cmd
}

// demo is one performance. Its folder, its Postgres and its endpoint are taken
// down by main, whatever happens.
type demo struct {
	out  *narrator
	rows int
	keep bool

	self     string // this program
	folder   string // of the configuration file and the reports
	postgres *localpg.Server
	endpoint *sandbox.Server

	source     string   // connection URL, of a role that may only read
	checkpoint string   // connection URL
	databases  []string // environment of the commands, without the API credential
	credential string   // environment of those that call the endpoint
	storeHash  string   // of the whole store, before anything was done
	evidence   demoEvidence
	foreseen   *report.Report // the dry run's
}

// main performs the demo and takes everything down. Where something does not
// agree with what is promised the error says how much.
func (d *demo) main(ctx context.Context) (err error) {
	// A closed terminal, or a reader of our output that left (as head does),
	// would end this process on the spot, and what it made would stay.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	forgetSettings()
	runtime.LockOSThread() // see dieWithParent
	defer runtime.UnlockOSThread()
	defer func() {
		if down := d.takeDown(); down != nil {
			err = errors.Join(err, fmt.Errorf("take the demo down: %w", down))
		}
	}()
	err = d.perform(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("demo: %w, and everything is taken down", migrate.ErrStopped)
	}
	if d.keep && d.credential != "" { // else there is nothing to look at
		d.showAround(err)
		<-ctx.Done()
	}
	return err
}

// perform plays the steps.
func (d *demo) perform(ctx context.Context) error {
	start := time.Now()
	if err := d.setUp(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	steps := []struct {
		name string
		play func(context.Context) error
	}{
		{"1. A dry run", d.dryRun},
		{"2. A run that is killed halfway", d.killedRun},
		{"3. The same command again", d.resumedRun},
		{"4. And once more", d.idleRun},
		{"5. What the endpoint saw, against what the checkpoint says", d.compare},
	}
	for _, step := range steps {
		d.out.heading(step.name)
		if err := step.play(ctx); err != nil {
			return fmt.Errorf("demo, step %s: %w", step.name[:1], err)
		}
	}
	d.out.say("\nAll as promised, in %.0f seconds.", time.Since(start).Seconds())
	return nil
}

// setUp makes the store, the endpoint and the configuration file.
func (d *demo) setUp(ctx context.Context) (err error) {
	if d.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	d.out.say("A whole migration, on a throwaway Postgres and a stand-in of the import endpoint.")
	d.out.say("Nothing leaves this machine, and nothing stays on it.")
	if d.folder, err = os.MkdirTemp("", "tokenmigrate-demo-"); err != nil {
		return err
	}
	if d.postgres, err = localpg.Start(ctx, localpg.Options{}); err != nil {
		return err
	}
	for _, name := range []string{demoStore, demoCheckpoint} {
		if err := d.postgres.CreateDatabase(ctx, name); err != nil {
			return err
		}
	}
	d.evidence.accounts = demoAccounts(d.rows, time.Now())
	password := rand.Text()
	if err := createDemoStore(ctx, d.postgres.URL(demoStore), password, d.evidence.accounts); err != nil {
		return err
	}
	reader, err := url.Parse(d.postgres.URL(demoStore))
	if err != nil {
		return errors.New("the throwaway server has no URL")
	}
	reader.User = url.UserPassword("reader", password)
	d.source, d.checkpoint = reader.String(), d.postgres.URL(demoCheckpoint)
	d.out.say("\nThe store holds %d accounts as Auth.js keeps them, with the trouble that stores have:\n", d.rows)
	d.out.quote(describeDemoStore(d.evidence.accounts))
	return d.setUpEndpoint()
}

// setUpEndpoint starts the stand-in and writes the configuration that leads to
// it.
func (d *demo) setUpEndpoint() error {
	credential := rand.Text()
	d.endpoint = sandbox.New(sandbox.Options{
		Credential:     credential,
		Connectors:     []string{demoConnectors["slack"], demoConnectors["github"]},
		Latency:        demoLatency,
		Jitter:         demoJitter,
		RefuseSubjects: demoSubjects(d.evidence.accounts, demoRefused),
		RejectSubjects: demoSubjects(d.evidence.accounts, demoRejected),
		Seed:           1,
	})
	at, err := d.endpoint.Start("")
	if err != nil {
		return err
	}
	d.databases = []string{
		"SOURCE_DATABASE_URL=" + d.source, "CHECKPOINT_DATABASE_URL=" + d.checkpoint,
		"TOKENMIGRATE_LOG_FORMAT=console", // as on a terminal
	}
	d.credential = "VERCEL_TOKEN=" + credential
	config := strings.Replace(demoConfig, "ENDPOINT", at, 1)
	if err := os.WriteFile(filepath.Join(d.folder, demoConfigName), []byte(config), 0o600); err != nil {
		return err
	}
	d.out.say("\nAll that the program has to be told stands in %s:\n", filepath.Join(d.folder, demoConfigName))
	d.out.quote(config)
	return nil
}

// takeDown ends and removes all that the demo made.
func (d *demo) takeDown() error {
	if d.endpoint != nil {
		d.endpoint.Close()
	}
	err := d.postgres.Stop()
	if d.folder != "" {
		err = errors.Join(err, os.RemoveAll(d.folder))
	}
	return err
}

// dryRun shows that a rehearsal foresees everything and changes nothing.
func (d *demo) dryRun(ctx context.Context) (err error) {
	d.out.say("It reads, maps and judges every row as a run would. It has no API credential, and its")
	d.out.say("database role may only read. It ends with the exit code that the run would end with.")
	if d.storeHash, err = d.hashStore(ctx); err != nil {
		return err
	}
	if err := d.run(ctx, d.databases, 3, "dry-run", "-c", demoConfigName, "--report", "dry-run.json"); err != nil {
		return err
	}
	if d.foreseen, err = d.readReport("dry-run.json"); err != nil {
		return err
	}
	f := demoFinding{promise: "it made no call, and left the store and the checkpoint's database as they were"}
	if n := d.endpoint.Summary().Calls; n != 0 {
		f.problem("the endpoint saw %d calls", n)
	}
	f.problems = append(f.problems, d.storeChanges(ctx)...)
	err = d.withCheckpoint(ctx, func(conn *pgx.Conn) error {
		var made bool
		err := conn.QueryRow(ctx, `SELECT to_regnamespace('tokenmigrate') IS NOT NULL`).Scan(&made)
		if made {
			f.problem("the checkpoint's schema is there")
		}
		return pgerr.Wrap("look for the checkpoint", err)
	})
	if err != nil {
		return err
	}
	return d.judge(f)
}

// killedRun shows that a run can be killed at any moment.
func (d *demo) killedRun(ctx context.Context) error {
	half := max(int(d.foreseen.Projection.Calls)/2, 2)
	if err := d.endpoint.SetFaults(demoFaults(2 * half)); err != nil {
		return err
	}
	d.out.say("From here on the endpoint misbehaves now and then. What has no answer is written down")
	d.out.say("as unknown, and sent again. After %d calls the run is killed with SIGKILL, as an evicted", half)
	d.out.say("pod may be: it can neither finish nor save anything.")
	c, err := d.start(ctx, append(d.databases, d.credential), "run", "-c", demoConfigName)
	if err != nil {
		return err
	}
	if err := d.killAt(ctx, c, half); err != nil {
		return err
	}
	calls := 0
	err = d.withCheckpoint(ctx, func(conn *pgx.Conn) (err error) {
		if err = awaitLastCommit(ctx, conn); err != nil {
			return err
		}
		calls, err = d.evidence.readKilled(ctx, conn)
		return err
	})
	if err != nil {
		return err
	}
	d.evidence.seenAtKill = d.endpoint.Summary().Calls
	d.out.say("  (killed)\n")
	d.out.say("The checkpoint has the answers to %d imports. %d more tokens were on their way in %d calls,", len(d.evidence.recorded), len(d.evidence.interrupted), calls)
	d.out.say("which it knows too, since a call is written down before it is made:")
	return d.run(ctx, d.databases, 0, "status", "-c", demoConfigName)
}

// killAt kills a run when the endpoint has seen so many calls. A run that ends
// before is an error.
func (d *demo) killAt(ctx context.Context, c *demoChild, calls int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for d.endpoint.Summary().Calls < calls {
		select {
		case <-c.over:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			code, err := c.wait()
			return errors.Join(err, fmt.Errorf("the run ended with exit code %d before it could be killed", code))
		case <-tick.C:
		}
	}
	c.kill()
	// What the dead process had sent reaches the endpoint meanwhile.
	settled := time.NewTimer(demoLatency + demoJitter)
	defer settled.Stop()
	select {
	case <-settled.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitLastCommit waits until the server is done with what a killed client sent
// it last.
func awaitLastCommit(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var alive int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&alive)
		if err != nil || alive == 0 {
			return pgerr.Wrap("wait for the killed run's sessions to end", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the killed run's %d sessions do not end: %w", alive, ctx.Err())
		}
	}
}

// resumedRun shows that the same command does the rest, and only that.
func (d *demo) resumedRun(ctx context.Context) error {
	d.out.say("It goes on where the other was cut off. The tokens of the interrupted calls are left alone")
	d.out.say("until those calls must be over (send.timeout and 5 s), and then sent again. One token")
	d.out.say("makes every call it is in fail: its chunk is halved until it stands alone.")
	if err := d.run(ctx, append(d.databases, d.credential), 3, "run", "-c", demoConfigName, "--report", "resumed.json"); err != nil {
		return err
	}
	r, err := d.readReport("resumed.json")
	if err != nil {
		return err
	}
	d.out.say("Exit code 3: finished, and more tokens than policy.max_failed are not imported. Those are")
	d.out.say("for somebody to look at, with the reason for each; this one the endpoint would not have:")
	if err := d.run(ctx, d.databases, 0, "failures", "-c", demoConfigName, "--reason", "rejected"); err != nil {
		return err
	}
	seen := int64(d.endpoint.Summary().Calls - d.evidence.seenAtKill)
	f := demoFinding{promise: fmt.Sprintf("the run says that it made %d calls, and that many arrived", r.Calls.Made)}
	if r.Calls.Made != seen {
		f.problem("the endpoint saw %d", seen)
	}
	all := demoFinding{promise: fmt.Sprintf("its counts add up: %d rows read, each counted once", r.Counts.Read)}
	if r.Counts.Read != int64(d.rows) || r.Counts.Sum() != r.Counts.Read {
		all.problem("the store has %d rows, and the outcomes add up to %d", d.rows, r.Counts.Sum())
	}
	return d.judge(f, all)
}

// idleRun shows that a finished migration is left alone.
func (d *demo) idleRun(ctx context.Context) error {
	d.out.say("A finished migration can be run again at any time, by mistake or to catch late sign-ins:")
	d.out.say("what is imported and unchanged is not sent, nor is what the endpoint refused.")
	before := d.endpoint.Summary().Calls
	if err := d.run(ctx, append(d.databases, d.credential), 3, "run", "-c", demoConfigName); err != nil {
		return err
	}
	f := demoFinding{promise: "it made no call"}
	if n := d.endpoint.Summary().Calls - before; n != 0 {
		f.problem("the endpoint saw %d calls", n)
	}
	return d.judge(f)
}

// compare holds the checkpoint against the endpoint's audit.
func (d *demo) compare(ctx context.Context) error {
	e := &d.evidence
	e.takeAudit(d.endpoint.Audit())
	if err := d.withCheckpoint(ctx, func(conn *pgx.Conn) error { return e.readCheckpoint(ctx, conn) }); err != nil {
		return err
	}
	s := d.endpoint.Summary()
	d.out.say("The endpoint saw %d calls and did badly by some: %s.", s.Calls, faultsPlayed(s))
	d.out.say("It keeps a record of its own of what it imported and answered. Against that:")
	foresight := demoFinding{promise: fmt.Sprintf("the dry run foresaw the %d tokens that were sent", d.foreseen.Counts.Pending)}
	if n := e.sentKeys(); int64(n) != d.foreseen.Counts.Pending {
		foresight.problem("%d were", n)
	}
	untouched := demoFinding{promise: "the store is as it was", problems: d.storeChanges(ctx)}
	return d.judge(append(e.verify(), foresight, untouched)...)
}

// judge prints findings, and fails if one of them does not hold.
func (d *demo) judge(findings ...demoFinding) error {
	d.out.say("")
	wrong := 0
	for _, f := range findings {
		d.out.finding(f)
		if len(f.problems) > 0 {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d checks failed; this should never happen, please report it with the output above", wrong, len(findings))
	}
	return nil
}

// withCheckpoint lends a connection to the checkpoint's database.
func (d *demo) withCheckpoint(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, d.checkpoint)
	if err != nil {
		return pgerr.Wrap("connect to the checkpoint's database", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

// readReport reads a report that a command wrote into the demo's folder.
func (d *demo) readReport(name string) (*report.Report, error) {
	text, err := os.ReadFile(filepath.Join(d.folder, name))
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	r := new(report.Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read the report %s: %w", name, err)
	}
	return r, nil
}

// showAround says how to look at what --keep keeps.
func (d *demo) showAround(err error) {
	if err != nil {
		d.out.say("\n%v", err)
	}
	d.out.heading("Everything keeps running until Ctrl-C, which takes it down")
	d.out.say("To use the commands yourself:\n")
	var b strings.Builder
	fmt.Fprintf(&b, "cd %s\n", d.folder)
	for _, v := range append(d.databases[:2:2], d.credential) {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, value)
	}
	fmt.Fprintf(&b, "%s status -c %s\n", d.self, demoConfigName)
	fmt.Fprintf(&b, "psql \"$SOURCE_DATABASE_URL\" -c 'SELECT * FROM accounts LIMIT 5'\n")
	fmt.Fprintf(&b, "psql \"$CHECKPOINT_DATABASE_URL\" -c 'SELECT * FROM tokenmigrate.tokens LIMIT 5'\n")
	d.out.quote(b.String())
}

package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	batchv1 "k8s.io/api/batch/v1"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return os.RemoveAll(programFolder) }))
}

// programFolder is where the program is, once it is built.
var programFolder string

// buildProgram builds the program of the module above, once.
var buildProgram = sync.OnceValues(func() (program string, err error) {
	programFolder, err = os.MkdirTemp("", "tokenmigrate")
	if err != nil {
		return "", err
	}
	program = filepath.Join(programFolder, "tokenmigrate")
	build := exec.Command("go", "build", "-o", program, "./cmd/tokenmigrate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// emptyDatabase returns the URL of a database of the test's own.
func emptyDatabase(t localpg.TB) string { return localpg.Database(t) }

// queryText runs a statement and returns the first column of its first row, if it
// has one.
func queryText(t testing.TB, url, query string, args ...any) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), query, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	must(t, err)
	defer rows.Close()
	if !rows.Next() {
		must(t, rows.Err())
		return ""
	}
	return string(rows.RawValues()[0])
}

// container is a Job's worker, run as a process: its arguments and environment, and
// the files that its volumes give it.
type container struct {
	program string
	job     *batchv1.Job
	files   map[string]map[string]string // by ConfigMap or Secret
}

// ended is how it ended.
type ended struct {
	code           int
	stdout, stderr string
	message        string // for kubectl describe
	mounts         string // where /etc/tokenmigrate and /reports were
}

// run runs it to its end. Paths are as in the container, but for the folder that
// they are in; it listens on loopback alone.
func (c container) run(t *testing.T) ended {
	t.Helper()
	root := t.TempDir()
	replace := strings.NewReplacer("/etc/tokenmigrate", root+"/etc/tokenmigrate", "/reports", root+"/reports")
	for _, v := range c.job.Spec.Template.Spec.Volumes {
		dir := filepath.Join(root, v.Name)
		for _, m := range worker(c.job).VolumeMounts {
			if m.Name == v.Name {
				dir = filepath.Join(root, m.MountPath)
			}
		}
		must(t, os.MkdirAll(dir, 0o755))
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			name := ""
			if s.ConfigMap != nil {
				name = s.ConfigMap.Name
			} else {
				name = s.Secret.Name
			}
			if c.files[name] == nil {
				t.Fatalf("nobody has made %s", name)
			}
			for file, text := range c.files[name] {
				must(t, os.WriteFile(filepath.Join(dir, file), []byte(replace.Replace(text)), 0o600))
			}
		}
	}
	message := filepath.Join(root, "termination-log")
	must(t, os.WriteFile(message, nil, 0o600))
	var args []string
	for _, arg := range worker(c.job).Args {
		args = append(args, replace.Replace(arg))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = []string{"TOKENMIGRATE_TERMINATION_LOG=" + message, "JOB_COMPLETION_INDEX=0"}
	for _, v := range worker(c.job).Env {
		if v.Name == "TOKENMIGRATE_LISTEN" {
			v.Value = "127.0.0.1:0"
		}
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	last, err := os.ReadFile(message)
	must(t, err)
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), string(last), root}
}

// migration returns the containers of the example overlay's Jobs, over a database
// with some accounts and an endpoint that stands in for the real one.
func migration(t *testing.T, accounts int) (all map[string]container, endpoint *sandbox.Server) {
	t.Helper()
	url := emptyDatabase(t)
	queryText(t, url, `CREATE TABLE oauth_accounts AS
		SELECT n AS id, 'user-' || n AS user_id, 'xoxb-' || n AS access_token, NULL::text AS refresh_token, now() + interval '1 day' AS expires_at, 'slack' AS provider
		FROM generate_series(1, $1::int) n`, accounts)
	endpoint = sandbox.New(sandbox.Options{})
	address, err := endpoint.Start("")
	must(t, err)
	t.Cleanup(endpoint.Close)

	m := renderFolder(t, deployFolder(t), "/deploy/overlays/example")
	files := map[string]map[string]string{
		m.configs[0].Name:          {"tokenmigrate.yaml": strings.Replace(m.configs[0].Data["tokenmigrate.yaml"], "https://api.vercel.com", address, 1)},
		"tokenmigrate-source":      {"source-url": url + "\n"},
		"tokenmigrate-checkpoint":  {"checkpoint-url": url},
		"tokenmigrate-destination": {"destination-token": "vercel-credential"},
	}
	program, err := buildProgram()
	must(t, err)
	all = map[string]container{}
	for name, job := range m.jobs {
		all[name] = container{program, job, files}
	}
	return all, endpoint
}

// The Jobs of the example, one after the other, as the README has them: each
// succeeds, and what it says stands where one is told to look.
func TestProgram(t *testing.T) {
	jobs, endpoint := migration(t, 30)
	check := jobs["check"].run(t)
	if check.code != 0 {
		t.Errorf("the check exits %d\n%s%s", check.code, check.stdout, check.stderr)
	}
	rehearsal := jobs["dry-run"].run(t)
	var report struct {
		Mode   string
		Counts struct{ Read, Pending, Imported int }
	}
	if err := json.Unmarshal([]byte(rehearsal.stdout), &report); err != nil || rehearsal.code != 0 || report.Mode != "dry-run" || report.Counts.Pending != 30 {
		t.Errorf("the rehearsal exits %d, %v\n%s%s", rehearsal.code, err, rehearsal.stdout, rehearsal.stderr)
	}
	if page, err := os.ReadFile(rehearsal.mounts + "/reports/dry-run.html"); err != nil || !bytes.Contains(page, []byte("<!DOCTYPE html>")) {
		t.Errorf("the rehearsal left no page: %v", err)
	}
	if n := endpoint.Summary().Sent; n != 0 {
		t.Errorf("before the migration the endpoint has been sent %d tokens", n)
	}
	run := jobs["run"].run(t)
	var last struct {
		ExitCode int
		Counts   struct{ Imported int }
	}
	if err := json.Unmarshal([]byte(run.message), &last); err != nil || run.code != 0 || last.Counts.Imported != 30 {
		t.Errorf("the migration exits %d, and last says %q\n%s%s", run.code, run.message, run.stdout, run.stderr)
	}
	if n := len(endpoint.Imported()); n != 30 {
		t.Errorf("the endpoint has %d tokens, want 30", n)
	}
	if again := jobs["run"].run(t); again.code != 0 || endpoint.Summary().Sent != 30 {
		t.Errorf("once more it exits %d, and %d tokens have been sent, want 30\n%s", again.code, endpoint.Summary().Sent, again.stderr)
	}
}

// What stops a Job for good is told where kubectl describe shows it.
func TestProgram_SaysWhy(t *testing.T) {
	jobs, _ := migration(t, 1)
	run := jobs["run"]
	for name := range run.files {
		if strings.HasPrefix(name, "tokenmigrate-config") {
			run.files[name]["tokenmigrate.yaml"] += "sned: {}\n"
		}
	}
	got := run.run(t)
	pod := pod{worker: got.code}
	if !strings.Contains(got.message, "sned") || verdict(run.job, pod.status()) != stop {
		t.Errorf("a mistaken configuration exits %d, and says %q", got.code, got.message)
	}
}

// Every Job of every combination starts as it is written: none of its arguments and
// variables is refused. Without a database all they can say is that there is none.
func TestProgram_UnderstandsEveryJob(t *testing.T) {
	program, err := buildProgram()
	must(t, err)
	const nowhere = "postgres://tokenmigrate@127.0.0.1:1/tokens"
	for _, some := range append(split(components), components) {
		m := render(t, overlay(append([]string{"check", "dry-run"}, without(some, "check", "dry-run")...), settings))
		for name, job := range m.jobs {
			files := map[string]map[string]string{
				m.configs[0].Name:          {"tokenmigrate.yaml": strings.Replace(m.configs[0].Data["tokenmigrate.yaml"], "https://api.vercel.com", "http://127.0.0.1:1", 1)},
				"tokenmigrate-source":      {"source-url": nowhere},
				"tokenmigrate-checkpoint":  {"checkpoint-url": nowhere},
				"tokenmigrate-destination": {"destination-token": "vercel-credential"},
			}
			if got := (container{program, job, files}).run(t); got.code != 5 {
				t.Errorf("components %v: %s exits %d, want 5, that the database is away\n%s%s", some, name, got.code, got.stdout, got.stderr)
			}
		}
	}
}

func without(all []string, left ...string) (some []string) {
next:
	for _, one := range all {
		for _, l := range left {
			if one == l {
				continue next
			}
		}
		some = append(some, one)
	}
	return some
}

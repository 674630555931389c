package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// written is one account as a script of testdata/realstores tells it.
type written struct {
	User, Provider, External string
	Access, Refresh          string
	Expires                  int64 // Unix milliseconds
	RefreshExpires           int64
	Scopes                   []string
}

// The stores' own published packages write accounts; init recognises the store,
// and with a connector filled in its file moves every account, without a line
// of SQL.
func TestRealStores(t *testing.T) {
	t.Parallel()
	const old, current = "an-old-secret-of-enough-length-0123456789", "the-secret-of-today-of-enough-length-9876"
	for _, c := range []struct {
		name, script, mode string
		store              string // that init must name
		env                []string
		encrypted, plain   int64
		skipped            int64
	}{
		{"@auth/pg-adapter", "authjs", "", "authjs", nil, 0, 0, 0},
		{"better-auth", "better-auth", "plain", "better-auth", nil, 0, 79, 1},
		{"better-auth, encrypted", "better-auth", "encrypted", "better-auth", []string{"BETTER_AUTH_SECRET=" + old}, 79, 0, 1},
		{"better-auth, versioned secrets", "better-auth", "versioned", "better-auth", []string{"BETTER_AUTH_SECRETS=2:" + current + ",1:" + old}, 79, 0, 1},
		{"better-auth, plain and encrypted under several secrets", "better-auth", "mixed", "better-auth",
			[]string{"BETTER_AUTH_SECRET=" + old, "BETTER_AUTH_SECRETS=2:" + current + ",1:" + old}, 53, 26, 1},
		{"n8n-core", "n8n", "classic", "n8n", []string{"N8N_ENCRYPTION_KEY=mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A"}, 20, 0, 1},
		{"n8n-core, with a data key", "n8n", "keyed", "n8n", []string{"N8N_ENCRYPTION_KEY=mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A"}, 20, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := realStores(t)
			r := newRigOn(t, sandbox.Options{Audit: sandbox.AuditFull}, localpg.Database(t), "")
			accounts := r.writeAccounts(dir, c.script, c.mode)
			config := r.initialise(c.store, c.env)
			r.check(config, c.env, accounts, c.encrypted, c.plain, c.skipped)
		})
	}
}

// writeAccounts runs a script over the rig's source and returns what it wrote.
func (r *rig) writeAccounts(dir, script, mode string) []written {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script+".mjs")
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	cmd.Env = append(bareEnvironment(), "MODE="+mode, "DATABASE_URL="+nodeURL(r.T, r.env["SOURCE_DATABASE_URL"]))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var accounts []written
	if err == nil {
		err = json.Unmarshal(out, &accounts)
	}
	if err != nil || len(accounts) == 0 {
		r.Fatalf("node %s.mjs: %v\n%s%s", script, err, tail(string(out)), stderr.Bytes())
	}
	return accounts
}

var (
	connectorLine = regexp.MustCompile(`(?m)^(    [\w"'@./-]+:).*\bscl_REPLACE_ME\b.*$`)
	urlLine       = regexp.MustCompile(`(?m)^  url: https://api\.vercel\.com$`)
)

// initialise runs init, checks that it names the store, and returns the path of
// its file with every connector filled in, and the rig's endpoint as its own.
func (r *rig) initialise(store string, env []string) string {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), built.path(r.T), "init")
	cmd.Env = append(bareEnvironment(), "SOURCE_DATABASE_URL="+r.env["SOURCE_DATABASE_URL"])
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.Fatalf("init: %v\n%s", err, stderr.String())
	}
	text := stdout.String()
	if !strings.Contains(text, "\n  store: "+store+"\n") {
		r.Fatalf("init did not recognise %s:\n%s\n%s", store, text, stderr.String())
	}
	filled := connectorLine.ReplaceAllString(text, "$1 slack/acme")
	filled = urlLine.ReplaceAllString(filled, "  url: "+strings.Trim(r.conf["destination.url"], `"`))
	if filled == text {
		r.Fatalf("init's file has no connector or url to fill in:\n%s", text)
	}
	filled = strings.Replace(filled, "requests_per_minute: 40", "requests_per_minute: 100000", 1)
	path := filepath.Join(r.folder, "init.yaml")
	if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

// check migrates with the configuration at path, and compares what the endpoint
// got with what was written.
func (r *rig) check(path string, env []string, accounts []written, encrypted, plain, skipped int64) {
	r.Helper()
	run := func(command string) *report.Report {
		r.Helper()
		cmd := exec.CommandContext(r.Context(), built.path(r.T), command, "-c", path, "--report", "-")
		cmd.Env = slices.Concat(bareEnvironment(), env)
		for name, value := range r.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(path)
			r.Fatalf("%s: %v\n%s%s\n%s", command, err, tail(stdout.String()), stderr.String(), text)
		}
		var rep report.Report
		if err := json.Unmarshal(stdout.Bytes(), &rep); err != nil {
			r.Fatal(err)
		}
		return &rep
	}
	dry := run("dry-run")
	if n := int64(len(accounts)); dry.Counts.Pending != n || dry.Counts.Skipped != skipped || dry.Counts.Read != n+skipped {
		r.Errorf("dry run: got %+v, reasons %v, want %d to send and %d skipped", dry.Counts, dry.Reasons, n, skipped)
	}
	rep := run("run")
	if n := int64(len(accounts)); rep.Counts.Imported != n || rep.Counts.Skipped != skipped {
		r.Errorf("run: got %+v, reasons %v, want %d imported and %d skipped", rep.Counts, rep.Reasons, n, skipped)
	}
	if rep.Store.Encrypted != encrypted || rep.Store.Plain != plain {
		r.Errorf("values: got %d encrypted and %d plain, want %d and %d", rep.Store.Encrypted, rep.Store.Plain, encrypted, plain)
	}
	sent := map[string]sandbox.SentToken{}
	for _, call := range r.endpoint.Audit().Calls {
		for _, token := range call.Tokens {
			if _, twice := sent[token.Subject.ID]; twice {
				r.Errorf("the token of %s was sent twice", token.Subject.ID)
			}
			sent[token.Subject.ID] = token
		}
	}
	if len(sent) != len(accounts) {
		r.Errorf("the endpoint got %d tokens, want %d", len(sent), len(accounts))
	}
	for _, a := range accounts {
		if got := sent[a.User]; got.AccessToken != a.Access || got.RefreshToken != a.Refresh || got.ExpiresAt != a.Expires || got.ExternalSubject != a.External {
			r.Errorf("user %s: got %.80q, %q, expiring %d, external %q; want %.80q, %q, %d, %q", a.User,
				got.AccessToken, got.RefreshToken, got.ExpiresAt, got.ExternalSubject, a.Access, a.Refresh, a.Expires, a.External)
		}
	}
	before := len(r.endpoint.Audit().Calls)
	if again := run("run"); again.Counts.Unchanged != int64(len(accounts)) || len(r.endpoint.Audit().Calls) != before {
		r.Errorf("a run again: got %+v and %d more calls, want all unchanged and none", again.Counts, len(r.endpoint.Audit().Calls)-before)
	}
}

// nodeURL writes a connection string as a URL, which is all that Node's driver
// takes.
func nodeURL(t *testing.T, dsn string) string {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: fmt.Sprintf("%s:%d", c.Host, c.Port), Path: "/" + c.Database}
	return u.String()
}

// realPackages installs the packages of testdata/realstores once: a folder that
// is kept for the next test run, named by the lock file.
var realPackages struct {
	once sync.Once
	dir  string
	err  error
	said []byte
}

// realStores returns a folder with the scripts and the packages they need.
func realStores(t *testing.T) string {
	t.Helper()
	unavailable := t.Skipf
	if os.Getenv("CI") == "true" {
		unavailable = t.Fatalf
	} else if testing.Short() {
		t.Skip("installs packages from npm, which -short leaves out")
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable("the stores' packages need %s, which is not in PATH; install Node.js 20 or newer with npm", tool)
		}
	}
	p := &realPackages
	p.once.Do(func() { p.dir, p.said, p.err = installRealStores(t) })
	if p.err != nil {
		unavailable("the stores' packages need the npm registry, and npm ci failed: %v\n%s", p.err, p.said)
	}
	return p.dir
}

func installRealStores(t *testing.T) (dir string, said []byte, err error) {
	const from = "testdata/realstores"
	all := sha256.New()
	scripts, err := filepath.Glob(from + "/*.mjs")
	files := append([]string{from + "/package.json", from + "/package-lock.json", from + "/.npmrc"}, scripts...)
	for _, name := range files {
		text, rerr := os.ReadFile(name)
		err = errors.Join(err, rerr)
		all.Write(text)
	}
	cache, cerr := os.UserCacheDir()
	if err = errors.Join(err, cerr); err != nil {
		return "", nil, err
	}
	dir = filepath.Join(cache, "tokenmigrate", "realstores-"+hex.EncodeToString(all.Sum(nil)[:8]))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, err
	}
	// Made beside, and moved when it is whole.
	made, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(made)
	for _, name := range files {
		text, rerr := os.ReadFile(name)
		if err := errors.Join(rerr, os.WriteFile(filepath.Join(made, filepath.Base(name)), text, 0o644)); err != nil {
			return "", nil, err
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir, cmd.WaitDelay = made, 5*time.Second
	if said, err = cmd.CombinedOutput(); err != nil {
		return "", said, err
	}
	if err := os.Rename(made, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", nil, err
	}
	return dir, nil, nil
}

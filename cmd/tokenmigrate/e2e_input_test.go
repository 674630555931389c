package main

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
)

// What cannot work is told in one clear sentence, with the right exit code, before
// anything is done.
func TestRun_TellsWhatCannotWork(t *testing.T) {
	t.Parallel()
	type input struct {
		name  string
		sql   string // on the store
		conf  []string
		url   func(*rig, string) string // of the source, as a role that may only SELECT
		code  int
		says  []string
		begun bool // the checkpoint may have its tables: the trouble shows in the rows
	}
	query := func(sql string) []string { return []string{"source.query", fmt.Sprintf("%q", sql)} }
	column := func(name, expression string) []string {
		return query(strings.Replace(storeQuery, name, expression+" AS "+strings.Fields(name)[len(strings.Fields(name))-1], 1))
	}
	cases := []input{
		{name: "a missing table", conf: query(`SELECT id AS key, access AS access_token FROM nowhere`), code: 78, says: []string{"nowhere", "does not exist"}},
		{name: "a missing column", conf: query(`SELECT id AS key, nothing AS access_token FROM accounts`), code: 78, says: []string{"nothing", "does not exist"}},
		{name: "a syntax error", conf: query(`SELECT id AS key FRM accounts`), code: 78, says: []string{"syntax error", "query"}},
		{name: "no access token", conf: query(`SELECT id AS key, expires AS expires_at, subject AS subject_id FROM accounts`), code: 78, says: []string{"access_token"}},
		{name: "no key", conf: query(`SELECT access AS access_token, expires AS expires_at, subject AS subject_id FROM accounts`), code: 78, says: []string{"key"}},
		{name: "an unknown column", conf: query(strings.Replace(storeQuery, "SELECT", "SELECT 1 AS shoe_size,", 1)), code: 78, says: []string{"shoe_size"}},
		{name: "a column of a wrong type", conf: column("expires AS expires_at", "ARRAY[expires]"), code: 78, says: []string{"expires_at", "it must be timestamptz"}},
		{name: "a key of a wrong type", conf: column("id AS key", "id::float8"), code: 78, says: []string{"key", "double precision"}},
		{name: "a query that writes", conf: query(`DELETE FROM accounts RETURNING id AS key`), code: 78, says: []string{"SELECT"}},
		{name: "NULL keys", sql: `ALTER TABLE accounts DROP CONSTRAINT accounts_pkey, ALTER id DROP NOT NULL; UPDATE accounts SET id = NULL WHERE id IN (3, 77)`,
			code: 78, says: []string{"key is NULL in 2 rows"}, begun: true},
		{name: "repeated keys", sql: `ALTER TABLE accounts DROP CONSTRAINT accounts_pkey; UPDATE accounts SET id = 50 WHERE id = 51`,
			code: 78, says: []string{`"50"`, "more than one row"}, begun: true},
		{name: "no privilege on the table", sql: `REVOKE ALL ON accounts FROM PUBLIC; CREATE TABLE others AS TABLE accounts`,
			conf: query(strings.Replace(storeQuery, "accounts", "others", 1)), url: asReader, code: 78, says: []string{"may not read", "others", "SELECT"}},
		{name: "hidden rows", sql: `ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON accounts USING (id % 2 = 0)`,
			url: asReader, code: 78, says: []string{"row-level security", "accounts"}},
		{name: "a wrong password", url: func(r *rig, base string) string { return asRole(base, "postgres", "wrong-password") },
			code: 78, says: []string{"password authentication failed", "correct user and password in source.url or source.password"}},
		{name: "an unknown database", url: func(r *rig, base string) string { return strings.Replace(base, "/t_", "/no_such_t_", 1) },
			code: 78, says: []string{"does not exist", "correct the database's name in source.url"}},
		{name: "an unreachable source", url: func(r *rig, _ string) string { return "postgres://u:p@" + deadAddress(r) + "/db" },
			code: 5, says: []string{"connect", "correct host and port in source.url"}},
	}
	atOnce(t, 4, cases, func(c input) string { return c.name }, func(t *testing.T, c input) {
		r := newRig(t, sandbox.Options{}).fill(100).with(c.conf...)
		if c.sql != "" {
			r.exec(c.sql)
		}
		if c.url != nil {
			r.env["SOURCE_DATABASE_URL"] = c.url(r, r.env["SOURCE_DATABASE_URL"])
		}
		for _, command := range []string{"dry-run", "run"} {
			p := r.start(nil, command)
			if code := p.within(15 * time.Second); code != c.code {
				t.Errorf("%s: exit code: got %d, want %d\n%s", command, code, c.code, p.said())
			}
			checkSentence(t, p, c.says...)
			if command == "dry-run" || !c.begun {
				r.untouched(p)
			}
			if got := r.endpoint.Summary().Calls; got != 0 {
				t.Errorf("%s: got %d calls, want none", command, got)
			}
		}
	})
}

// asReader is the URL of a new role that may SELECT from accounts alone.
func asReader(r *rig, base string) string {
	role, password := r.onlySelect()
	return asRole(base, role, password)
}

// deadAddress is an address where nobody listens.
func deadAddress(r *rig) string {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// checkSentence wants one error on stderr that says all of these.
func checkSentence(t *testing.T, p *process, says ...string) {
	t.Helper()
	var errors []string
	for line := range strings.Lines(p.stderr.String()) {
		var logged struct{ Level, Message string }
		if text, ok := strings.CutPrefix(line, "tokenmigrate: "); ok {
			errors = append(errors, text)
		} else if json.Unmarshal([]byte(line), &logged) == nil && logged.Level == "error" {
			errors = append(errors, logged.Message)
		}
	}
	if len(errors) != 1 {
		t.Errorf("%s: got %d sentences, want one\n%s", p.name, len(errors), p.said())
	}
	for _, want := range says {
		if !strings.Contains(strings.Join(errors, ""), want) {
			t.Errorf("%s: the error does not say %q\n%s", p.name, want, p.said())
		}
	}
}

// untouched fails where a process has left a schema or made a call.
func (r *rig) untouched(p *process) {
	r.Helper()
	if one[bool](r.T, r.cp, `SELECT to_regnamespace('tokenmigrate') IS NOT NULL`) {
		r.Errorf("%s made the checkpoint's schema", p.name)
	}
	if got := r.endpoint.Summary().Calls; got != 0 {
		r.Errorf("%s made %d calls, want none", p.name, got)
	}
}

// The checkpoint's side of the same.
func TestRun_TellsWhatTheCheckpointLacks(t *testing.T) {
	t.Parallel()
	type lack struct {
		name    string
		arrange func(*rig) // gives the checkpoint's URL
		code    int
		says    []string
		both    bool // a dry run ends so, too
	}
	as := func(r *rig) string {
		url := asReader(r, r.env["CHECKPOINT_DATABASE_URL"])
		r.env["CHECKPOINT_DATABASE_URL"] = url
		return url
	}
	cases := []lack{
		{"no privilege to create", func(r *rig) { as(r) }, 78, []string{"CREATE on the database", "checkpoint ddl"}, false},
		{"a schema of others", func(r *rig) {
			r.exec(`CREATE SCHEMA tokenmigrate`)
			as(r)
		}, 78, []string{"tokenmigrate", "grant"}, false},
		{"a wrong password", func(r *rig) {
			r.env["CHECKPOINT_DATABASE_URL"] = asRole(r.env["CHECKPOINT_DATABASE_URL"], "postgres", "wrong-password")
		}, 78, []string{"password authentication failed", "checkpoint.url or checkpoint.password"}, true},
		{"nobody listens", func(r *rig) { r.env["CHECKPOINT_DATABASE_URL"] = "postgres://u:p@" + deadAddress(r) + "/db" }, 5, []string{"correct host and port in checkpoint.url"}, true},
		{"it says nothing", func(r *rig) {
			l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections into its backlog, and no more
			if err != nil {
				r.Fatal(err)
			}
			r.Cleanup(func() { _ = l.Close() })
			r.env["CHECKPOINT_DATABASE_URL"] = "postgres://u:p@" + l.Addr().String() + "/db"
		}, 5, []string{"checkpoint"}, false}, // for as long as it takes to give up
		{"a newer schema", func(r *rig) {
			r.must(0, "run", "--limit", "1")
			mustExec(r.T, r.cp, `UPDATE tokenmigrate.schema_version SET version = 999`)
		}, 78, []string{"version 999", "newer"}, true},
	}
	atOnce(t, 4, cases, func(c lack) string { return c.name }, func(t *testing.T, c lack) {
		r := newRig(t, sandbox.Options{}).fill(10)
		c.arrange(r)
		before := r.endpoint.Summary().Calls
		for _, command := range []string{"run", "dry-run"} {
			if command == "dry-run" && !c.both {
				continue
			}
			p := r.start(nil, command)
			if code := p.within(14 * time.Second); code != c.code {
				t.Errorf("%s: exit code: got %d, want %d\n%s", command, code, c.code, p.said())
			}
			checkSentence(t, p, c.says...)
		}
		if got := r.endpoint.Summary().Calls - before; got != 0 {
			t.Errorf("calls: got %d, want none", got)
		}
	})
}

// All problems of a configuration at once, each with its line.
func TestRun_TellsAllProblemsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(10)
	r.with("send.timeout", "soon", "send.concurrency", "0", "policy.changed", "perhaps", "source.page_sise", "7",
		"destination.token", "${NO_SUCH_VARIABLE}", "migration", "Not A Name")
	p := r.must(78, "run")
	said := p.stderr.String()
	for _, want := range []string{"send.timeout", "send.concurrency", "policy.changed", "page_sise", "page_size", "NO_SUCH_VARIABLE", "migration"} {
		if !strings.Contains(said, want) {
			t.Errorf("stderr does not name %s\n%s", want, said)
		}
	}
	for line := range strings.Lines(said) {
		if !strings.Contains(line, ".yaml:") {
			t.Errorf("a problem without file and line: %s", line)
		}
	}
	r.untouched(p)

	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"run", "--limit", "-1"}, "--limit"},
		{[]string{"run", "--nonsense"}, "--nonsense"},
		{[]string{"run", "--log-level", "loud"}, "loud"},
		{[]string{"run", "extra"}, "extra"},
		{[]string{"dry-run", "--report", filepath.Join(r.folder, "report.pdf")}, ".json"},
	} {
		p := newRig(t, sandbox.Options{}).must(78, c.args...)
		if said := p.stderr.String(); !strings.Contains(said, c.says) || !strings.Contains(said, "--help") {
			t.Errorf("%v: got %q, want it to say %q and where help is", c.args, said, c.says)
		}
	}
}

// A source without rows is no failure, and a loud warning.
func TestRun_WarnsOfNoRows(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(0)
	for _, command := range []string{"dry-run", "run"} {
		p := r.must(0, command)
		if !strings.Contains(p.stdout.String()+p.stderr.String(), "the source has no rows") {
			t.Errorf("%s does not warn\n%s", command, p.said())
		}
	}
}

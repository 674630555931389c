package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// onlySelect makes a role that may read the store and nothing else, and connect
// to the checkpoint's database. It returns its name and password.
func (r *rig) onlySelect() (role, password string) {
	r.Helper()
	role, password = "reader_"+strings.ToLower(rand.Text()[:10]), rand.Text()
	r.exec(fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, password))
	r.Cleanup(func() {
		ctx := context.Background()
		for _, conn := range []*pgx.Conn{r.db, r.cp} {
			if _, err := conn.Exec(ctx, `DROP OWNED BY `+role+` CASCADE`); err != nil {
				r.Error(err)
			}
		}
		if _, err := r.db.Exec(ctx, `DROP ROLE `+role); err != nil {
			r.Error(err)
		}
	})
	r.exec(`GRANT SELECT ON accounts TO ` + role)
	return role, password
}

// readCheckpoint lets the role read what the checkpoint holds by now.
func (r *rig) readCheckpoint(role string) {
	r.Helper()
	if r.hasCheckpoint() {
		mustExec(r.T, r.cp, `GRANT USAGE ON SCHEMA tokenmigrate TO `+role)
		mustExec(r.T, r.cp, `GRANT SELECT ON ALL TABLES IN SCHEMA tokenmigrate TO `+role)
	}
}

// rehearse makes a dry run that may only read and has no credential, and checks
// that it changed nothing and called nobody.
func (r *rig) rehearse(code int, role, password string, args ...string) *report.Report {
	r.Helper()
	r.readCheckpoint(role)
	calls := r.endpoint.Summary().Calls
	source, checkpoint := dump(r.T, r.db), dump(r.T, r.cp)
	env := r.env
	r.env = map[string]string{
		"SOURCE_DATABASE_URL":     asRole(env["SOURCE_DATABASE_URL"], role, password),
		"CHECKPOINT_DATABASE_URL": asRole(env["CHECKPOINT_DATABASE_URL"], role, password),
	}
	p := r.must(code, append([]string{"dry-run"}, args...)...)
	r.env = env
	sameDump(r.T, "source", source, dump(r.T, r.db))
	sameDump(r.T, "checkpoint", checkpoint, dump(r.T, r.cp))
	if got := r.endpoint.Summary().Calls; got != calls {
		r.Errorf("calls of a dry run: got %d, want none", got-calls)
	}
	rep := p.readReport()
	if rep.Mode != "dry-run" || rep.Calls.Made != 0 {
		r.Errorf("a dry run's report: got mode %q, %d calls made; want dry-run, 0", rep.Mode, rep.Calls.Made)
	}
	return rep
}

// The promise of the first page: twenty thousand rows arrive once each, as was
// foreseen, and a second run finds nothing to do.
func TestRun_MovesEveryRowOnce(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	r := newRigOn(t, sandbox.Options{}, localpg.Database(t), localpg.Database(t)).fill(rows)
	role, password := r.onlySelect()
	foreseen := r.rehearse(0, role, password)
	if got, want := foreseen.Counts, (report.Counts{Read: rows, Pending: rows}); got != want {
		t.Errorf("counts of the dry run: got %+v, want %+v", got, want)
	}
	if one[bool](t, r.cp, `SELECT to_regnamespace('tokenmigrate') IS NOT NULL`) {
		t.Error("the dry run made the checkpoint's schema")
	}

	first := r.must(0, "run")
	first.checkCounts(report.Counts{Imported: rows})
	audit := r.endpoint.Audit()
	calls, tokens := accepted(audit)
	if calls != 200 || tokens != rows || foreseen.Projection.Calls != calls {
		t.Errorf("calls: got %d with %d tokens, %d were foreseen; want 200 with %d", calls, tokens, foreseen.Projection.Calls, rows)
	}
	for _, c := range audit.Calls {
		if want := "/v1/connect/token/slack%2Facme/import?teamId=team_acme"; c.URI != want || c.Method != "POST" || c.Status != 200 {
			t.Fatalf("call %d: got %s %s, answered %d; want POST %s", c.Number, c.Method, c.URI, c.Status, want)
		}
	}
	for id, im := range audit.Imported {
		if im.Times != 1 {
			t.Fatalf("%v was imported %d times, want once", id, im.Times)
		}
	}
	r.checkArrived(all)
	if got := first.readReport(); got.Calls.Made != calls || got.Calls.Tokens != rows || got.Totals["imported"] != rows || got.Calls.ResentTokens != 0 {
		t.Errorf("the report: got %+v, totals %v; want %d calls of %d tokens, all imported", got.Calls, got.Totals, calls, rows)
	}

	second := r.must(0, "run")
	second.checkCounts(report.Counts{Unchanged: rows})
	if got := r.endpoint.Summary().Calls; int64(got) != calls {
		t.Errorf("calls of the second run: got %d, want none", int64(got)-calls)
	}
	if again := r.rehearse(0, role, password); again.Projection.Calls != 0 || again.Counts.Unchanged != rows {
		t.Errorf("a dry run over what is done: got %d calls, %+v; want none", again.Projection.Calls, again.Counts)
	}
}

// A dry run foresees the calls of the run after it, whatever is in the store
// and wherever the migration stands.
func TestDryRun_ForeseesTheCalls(t *testing.T) {
	t.Parallel()
	// trouble spoils some rows of each kind.
	const trouble = `
		UPDATE accounts SET subject = NULL WHERE id % 31 = 1;
		UPDATE accounts SET access = NULL WHERE id % 37 = 2;
		UPDATE accounts SET expires = NULL WHERE id % 41 = 3;
		UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id % 43 = 4;
		UPDATE accounts SET expires = now() - interval '1 day' WHERE id % 47 = 5;
		UPDATE accounts SET subject = 'user-' || id - 6 WHERE id % 53 = 7 AND id > 6;
		UPDATE accounts SET subject = 'user-' || id - 1 WHERE id % 59 = 8`
	connectors := `UPDATE accounts SET connector = (ARRAY['github/acme', 'scl_abc123', 'slack/acme'])[1 + id % 3] WHERE id % 7 > 2`
	type scenario struct {
		name   string
		sql    []string
		conf   []string
		before func(*rig) // what happened before the dry run
		limit  int64      // of the dry run and the run
		code   int
	}
	half := func(r *rig) { r.must(0, "run", "--limit", "250") }
	cases := []scenario{
		{name: "rows of every kind", sql: []string{trouble}, code: 3},
		{name: "several connectors", sql: []string{connectors}},
		{name: "everything at once", sql: []string{trouble, connectors}, conf: []string{"send.chunk_tokens", "17", "source.page_size", "50"}, code: 3},
		{name: "duplicates are sent", sql: []string{trouble}, conf: []string{"policy.duplicates", "send", "policy.max_failed", "100%"}},
		{name: "expired ones are sent", sql: []string{trouble}, conf: []string{"policy.expired", "send", "policy.max_failed", "100%"}},
		{name: "chunks bounded by bytes", sql: []string{`UPDATE accounts SET access = access || repeat('x', (id * 7919 % 900)::int)`, connectors},
			conf: []string{"send.chunk_bytes", "8KiB"}},
		{name: "tokens too large", sql: []string{`UPDATE accounts SET access = access || repeat('x', 5000) WHERE id % 100 = 0`},
			conf: []string{"send.chunk_bytes", "4KiB"}, code: 3},
		{name: "one token a call", sql: []string{connectors}, conf: []string{"send.chunk_tokens", "1"}},
		{name: "one call for all", conf: []string{"send.chunk_tokens", "10000"}},
		{name: "a limit", limit: 333},
		{name: "half is done", before: half},
		{name: "half is done, and a limit", before: half, limit: 77},
		{name: "half is done, in chunks of another size", before: half, conf: []string{"send.chunk_tokens", "7"}},
		{name: "rows changed, came and went", before: func(r *rig) {
			r.must(0, "run")
			r.exec(`UPDATE accounts SET access = 'changed-' || access WHERE id % 10 = 0`)
			r.exec(`DELETE FROM accounts WHERE id % 10 = 1`)
			r.add(5001, 5123)
		}},
		{name: "a smaller ceiling was proven", before: func(r *rig) {
			half(r)
			mustExec(r.T, r.cp, `UPDATE tokenmigrate.migrations SET chunk_ceiling = 30`)
		}},
		{name: "a killed run", before: func(r *rig) {
			r.with("send.timeout", "1s", "send.concurrency", "2")
			p := r.start([]string{"TOKENMIGRATE_CRASH_AT=after_call:5"}, "run")
			p.wait()
			r.settled()
		}},
		{name: "a killed run over what was done, and the old content again", before: func(r *rig) {
			r.with("send.timeout", "1s")
			r.must(0, "run")
			r.exec(`UPDATE accounts SET access = access || 'x' WHERE id = 5`)
			p := r.start([]string{"TOKENMIGRATE_CRASH_AT=after_call:1"}, "run")
			p.wait()
			r.settled()
			r.exec(`UPDATE accounts SET access = rtrim(access, 'x') WHERE id = 5`)
		}},
	}
	atOnce(t, 4, cases, func(c scenario) string { return c.name }, func(t *testing.T, c scenario) {
		r := newRig(t, sandbox.Options{}).fill(600)
		for _, sql := range c.sql {
			r.exec(sql)
		}
		if c.before != nil {
			c.before(r)
		}
		r.with(c.conf...)
		role, password := r.onlySelect()
		var args []string
		if c.limit > 0 {
			args = []string{"--limit", fmt.Sprint(c.limit)}
		}
		foreseen := r.rehearse(c.code, role, password, args...)
		before := r.endpoint.Audit()
		p := r.must(c.code, append([]string{"run"}, args...)...)
		calls, tokens := accepted(r.endpoint.Audit())
		was, wasTokens := accepted(before)
		if got := calls - was; got != foreseen.Projection.Calls || got == 0 {
			t.Errorf("calls: %d were foreseen, %d were made", foreseen.Projection.Calls, got)
		}
		got, want := p.readReport().Counts, foreseen.Counts
		want.Imported, want.Pending = want.Pending, 0
		if c.limit > 0 { // the run had read on, and counts what it did not send
			got.Read, got.Pending = got.Read-got.Pending, 0
		}
		if got != want {
			t.Errorf("counts:\ngot      %+v\nforeseen %+v", got, want)
		}
		if sent := tokens - wasTokens; sent != want.Imported {
			t.Errorf("tokens: %d were to be sent, %d were sent", want.Imported, sent)
		}
		if c.limit == 0 {
			r.noIntents()
		}
	})
}

// settled waits until the server has ended the sessions of killed processes, and
// with them their last transactions.
func (r *rig) settled() {
	r.Helper()
	r.until("the killed process's sessions have ended", func() bool {
		return one[int](r.T, r.cp, `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'tokenmigrate' AND datname = current_database()`) == 0
	})
}

// Pages that are done are remembered, and whatever changes is found all the same: in
// the store, in the checkpoint, by a run or by hand.
func TestRun_FindsWhatChangesOnPagesThatAreDone(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, sandbox.Options{RefuseSubjects: []string{"user-150"}}, localpg.Database(t), localpg.Database(t)).fill(395)
	r.with("source.page_size", "100", "policy.max_failed", "6")
	r.exec(`UPDATE accounts SET subject = NULL WHERE id = 7`)
	// pages are those that are remembered, with how many rows of each are not settled.
	pages := func() string {
		return one[string](t, r.cp, `SELECT string_agg(number || ':' || cardinality(rest), ' ' ORDER BY number)
			FROM tokenmigrate.pages p LEFT JOIN tokenmigrate.revisions r USING (migration_id) WHERE p.revision = coalesce(r.revision, 0)`)
	}
	sent := func(what string, want int64, args ...string) {
		t.Helper()
		_, was := accepted(r.endpoint.Audit())
		p := r.must(0, append([]string{"run"}, args...)...)
		if _, is := accepted(r.endpoint.Audit()); is-was != want {
			t.Errorf("%s: %d tokens were sent, want %d", what, is-was, want)
		}
		if c := p.readReport().Counts; c.Imported+c.Unchanged != 393 || c.Invalid != 1 || c.Failed != 1 {
			t.Errorf("%s: got %+v, want 393 imported in all", what, c)
		}
		if got, want := pages(), "1:1 2:1 3:0 4:0"; got != want {
			t.Errorf("%s: got the pages %s, want %s", what, got, want)
		}
	}
	sent("the first run", 394)
	const written = `SELECT concat_ws(' ', ctid, xmin, p::text) FROM tokenmigrate.pages p ORDER BY 1`
	before := list[string](t, r.cp, written)
	sent("a second run", 0)
	if after := list[string](t, r.cp, written); !slices.Equal(after, before) {
		t.Errorf("a second run wrote pages: they were %q, and are %q", before, after)
	}
	role, password := r.onlySelect()
	if c := r.rehearse(0, role, password).Counts; c.Unchanged != 393 || c.Pending != 0 {
		t.Errorf("a dry run: got %+v, want 393 unchanged", c)
	}

	r.exec(`UPDATE accounts SET access = access || 'x' WHERE id IN (42, 342)`)
	sent("two tokens were refreshed", 2)
	r.exec(`UPDATE accounts SET access = rtrim(access, 'x') WHERE id IN (42, 342)`)
	sent("two have their old content again", 2)
	mustExec(t, r.cp, `DELETE FROM tokenmigrate.tokens WHERE key = '200'`)
	sent("one was taken out of the checkpoint", 1)
	mustExec(t, r.cp, `UPDATE tokenmigrate.tokens SET outcome = 'unknown', reason = 'in_doubt' WHERE key = '201'`)
	sent("one was put in doubt", 1)
	sent("failures are tried again", 1, "--retry-failed")
	r.exec(`DELETE FROM accounts WHERE id = 1`)
	r.add(0, 0)
	sent("one row went and one came, on the same page", 1)
	mustExec(t, r.cp, `TRUNCATE tokenmigrate.tokens`)
	sent("all were taken out", 394)
	r.with("destination.connector", "slack/other")
	sent("the connector is another", 394, "--accept-config-change")
}

// Rows that take turns at one identity: whichever is there last is what the endpoint
// holds in the end, and a row that comes back as it was is not called imported while
// the endpoint holds another's token.
func TestRun_RowsThatTakeTurnsAtAnIdentity(t *testing.T) {
	t.Parallel()
	type turns struct {
		name  string
		steps []string          // each followed by a run, and by one that makes no call
		holds map[string]string // the endpoint at the end, by subject
		ends  map[string]string // how the rows of the table tokens end
		code  int               // of the last run
	}
	atOnce(t, 4, []turns{
		{"a row that comes back as it was", []string{
			`INSERT INTO accounts VALUES (1, NULL, 'access-A', 'refresh-A', now() + interval '1 year', 'ada')`,
			`DELETE FROM accounts; INSERT INTO accounts VALUES (3, NULL, 'access-B', 'refresh-B', now() + interval '1 year', 'ada')`,
			`DELETE FROM accounts; INSERT INTO accounts VALUES (1, NULL, 'access-A', 'refresh-A', now() + interval '1 year', 'ada')`,
		}, map[string]string{"ada": "access-A"}, map[string]string{"1": "imported", "3": "imported"}, 0},
		{"a row that was moved and moved back", []string{
			`INSERT INTO accounts SELECT n, NULL, 'access-' || n, 'refresh-' || n, now() + interval '1 year', (ARRAY['ada', 'bob'])[n] FROM generate_series(1, 2) n`,
			`UPDATE accounts SET subject = 'bob' WHERE id = 1; DELETE FROM accounts WHERE id = 2`,
			`INSERT INTO accounts VALUES (2, NULL, 'access-2', 'refresh-2', now() + interval '1 year', 'bob'); UPDATE accounts SET subject = 'ada' WHERE id = 1`,
		}, map[string]string{"ada": "access-1", "bob": "access-2"}, map[string]string{"1": "imported", "2": "imported"}, 0},
		{"a duplicate that took over keeps its identity", []string{
			`INSERT INTO accounts SELECT n, NULL, 'access-' || n, 'refresh-' || n, now() + interval '1 year', 'ada' FROM generate_series(1, 2) n`,
			`UPDATE accounts SET access = NULL WHERE id = 1`,
			`UPDATE accounts SET access = 'access-1' WHERE id = 1`,
			`UPDATE accounts SET access = 'access-new' WHERE id = 1`,
		}, map[string]string{"ada": "access-2"}, map[string]string{"1": "invalid duplicate", "2": "imported"}, 3},
		{"a row that was refused elsewhere in between", []string{
			`INSERT INTO accounts VALUES (1, NULL, 'access-A', 'refresh-A', now() + interval '1 year', 'ada')`,
			`UPDATE accounts SET subject = 'nobody'`,
			`INSERT INTO accounts VALUES (2, NULL, 'access-B', 'refresh-B', now() + interval '1 year', 'ada')`,
			`DELETE FROM accounts WHERE id = 2; UPDATE accounts SET subject = 'ada'`,
		}, map[string]string{"ada": "access-A"}, map[string]string{"1": "imported", "2": "imported"}, 0},
		{"an expired one yields", []string{
			`INSERT INTO accounts VALUES (1, NULL, 'access-1', NULL, now() + interval '1 year', 'ada')`,
			`UPDATE accounts SET expires = now() - interval '1 day'; INSERT INTO accounts VALUES (2, NULL, 'access-2', 'refresh-2', now() + interval '1 year', 'ada')`,
		}, map[string]string{"ada": "access-2"}, map[string]string{"1": "skipped expired", "2": "imported"}, 0},
	}, func(c turns) string { return c.name }, func(t *testing.T, c turns) {
		r := newRig(t, sandbox.Options{RefuseSubjects: []string{"nobody"}}).fill(0)
		r.with("policy.max_failed", "0")
		for i, step := range c.steps {
			for _, sql := range strings.Split(step, "; ") {
				r.exec(sql)
			}
			_, before := accepted(r.endpoint.Audit())
			foreseen := r.start(nil, "dry-run")
			foreseen.wait()
			run := r.start(nil, "run")
			code := run.wait()
			if i == len(c.steps)-1 && code != c.code {
				t.Errorf("step %d: exit code %d, want %d\n%s", i+1, code, c.code, run.said())
			}
			calls, after := accepted(r.endpoint.Audit())
			if got := foreseen.readReport().Counts.Pending; got != after-before {
				t.Errorf("step %d: %d tokens were sent, %d were foreseen", i+1, after-before, got)
			}
			r.start(nil, "run").wait()
			if again, _ := accepted(r.endpoint.Audit()); again != calls {
				t.Errorf("step %d: a second run made %d calls", i+1, again-calls)
			}
		}
		for id, im := range r.endpoint.Audit().Imported {
			if want := sha256.Sum256([]byte(c.holds[id.Subject.ID])); im.AccessTokenSHA256 != want {
				t.Errorf("the endpoint holds another token for %s than %s", id.Subject.ID, c.holds[id.Subject.ID])
			}
		}
		ends := map[string]string{}
		for key, row := range r.tokens() {
			ends[key] = strings.TrimSpace(row.Outcome + " " + row.Reason)
		}
		if !maps.Equal(ends, c.ends) {
			t.Errorf("got %v, want %v", ends, c.ends)
		}
	})
}

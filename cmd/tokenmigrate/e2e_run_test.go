package main

import (
	"context"
	"crypto/rand"
	"fmt"
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

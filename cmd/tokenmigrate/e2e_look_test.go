package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// tokenRow is what the checkpoint knows of one token.
type tokenRow struct {
	Key, Connector, Environment string
	Outcome, Reason, Detail     string
	Succeeded                   *bool
	Attempts                    int
}

// tokens returns the checkpoint's tokens by key; none where it has no tables.
func (r *rig) tokens() map[string]tokenRow {
	r.Helper()
	out := map[string]tokenRow{}
	if !r.hasCheckpoint() {
		return out
	}
	rows, err := r.cp.Query(r.Context(), `SELECT key, coalesce(connector, ''), coalesce(environment, ''), outcome, coalesce(reason, ''), coalesce(detail, ''), succeeded, attempts FROM tokenmigrate.tokens`)
	if err != nil {
		r.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[tokenRow])
	if err != nil {
		r.Fatal(err)
	}
	for _, t := range list {
		out[t.Key] = t
	}
	return out
}

func (r *rig) hasCheckpoint() bool {
	r.Helper()
	return one[bool](r.T, r.cp, `SELECT to_regclass('tokenmigrate.tokens') IS NOT NULL`)
}

// one returns the single value of a query.
func one[V any](t *testing.T, conn *pgx.Conn, sql string, args ...any) V {
	t.Helper()
	var v V
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// list returns the values of a query of one column.
func list[V any](t *testing.T, conn *pgx.Conn, sql string, args ...any) []V {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[V])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// intents returns the keys of the calls whose answers are not recorded, by the
// call's id.
func (r *rig) intents() map[string][]string {
	r.Helper()
	out := map[string][]string{}
	if !r.hasCheckpoint() {
		return out
	}
	rows, err := r.cp.Query(r.Context(), `SELECT id::text, keys FROM tokenmigrate.calls`)
	if err != nil {
		r.Fatal(err)
	}
	var id string
	var keys []string
	if _, err := pgx.ForEachRow(rows, []any{&id, &keys}, func() error { out[id] = slices.Clone(keys); return nil }); err != nil {
		r.Fatal(err)
	}
	return out
}

// noIntents fails the test where calls are in doubt.
func (r *rig) noIntents() {
	r.Helper()
	if left := r.intents(); len(left) > 0 {
		r.Errorf("calls in doubt: got %d, want none: %v", len(left), left)
	}
}

// account is a row of the store.
type account struct {
	Key, Connector, Subject, Access, Refresh string
}

// accounts returns the store's rows by key.
func (r *rig) accounts() map[string]account {
	r.Helper()
	rows, err := r.db.Query(r.Context(), `SELECT id::text, coalesce(connector, ''), coalesce(subject, ''), coalesce(access, ''), coalesce(refresh, '') FROM accounts`)
	if err != nil {
		r.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[account])
	if err != nil {
		r.Fatal(err)
	}
	out := map[string]account{}
	for _, a := range list {
		if a.Connector == "" {
			a.Connector = r.conf["destination.connector"]
		}
		out[a.Key] = a
	}
	return out
}

// keyOf returns the key of the row that a subject of fill belongs to.
func keyOf(id sandbox.Identity) string { return strings.TrimPrefix(id.Subject.ID, "user-") }

// sends returns how often each key's token was carried by a call.
func sends(a sandbox.Audit) map[string]int {
	out := map[string]int{}
	for _, c := range a.Calls {
		for _, t := range c.Tokens {
			out[keyOf(t.Identity)]++
		}
	}
	return out
}

// accepted counts the calls that carried tokens, as calls.made of reports does.
func accepted(a sandbox.Audit) (calls, tokens int64) {
	for _, c := range a.Calls {
		calls++
		tokens += int64(len(c.Tokens))
	}
	return calls, tokens
}

// problems collects what is not as it should be, and shows the first few.
type problems struct {
	list []string
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.list) == 8 {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

func (p *problems) tell(t *testing.T) {
	t.Helper()
	for _, text := range p.list {
		t.Error(text)
	}
	if p.more > 0 {
		t.Errorf("and %d more like these", p.more)
	}
}

// checkArrived compares the store, the checkpoint and the endpoint: the rows for
// which want says "" are with the endpoint as they are in the store, and recorded
// as imported; the others are recorded with the outcome and reason that want
// says, "failed refused", and not with the endpoint. No call is in doubt.
func (r *rig) checkArrived(want func(account) string) {
	r.Helper()
	var bad problems
	audit, tokens := r.endpoint.Audit(), r.tokens()
	answered := map[sandbox.Identity]bool{} // with yes, at least once
	for _, c := range audit.Calls {
		for _, t := range c.Tokens {
			if t.Answered == sandbox.Yes {
				answered[t.Identity] = true
			}
		}
	}
	known := map[sandbox.Identity]bool{}
	for key, a := range r.accounts() {
		id := sandbox.Identity{Connector: a.Connector, Environment: cmp.Or(r.conf["destination.environment"], "production"), Subject: sandbox.Subject{Type: "user", ID: a.Subject}}
		got, there := tokens[key]
		delete(tokens, key)
		if ending := want(a); ending != "" {
			if is := got.Outcome + " " + got.Reason; !there || is != ending {
				bad.add("key %s: got outcome %q, want %q", key, is, ending)
			}
			continue
		}
		known[id] = true
		held, holds := audit.Imported[id]
		switch {
		case !there:
			bad.add("key %s is not in the checkpoint, want it imported", key)
		case got.Outcome != "imported" || got.Succeeded == nil || !*got.Succeeded:
			bad.add("key %s: got outcome %q, reason %q, succeeded %v; want it imported", key, got.Outcome, got.Reason, says(got.Succeeded))
		case !holds || !answered[id]:
			bad.add("key %s is recorded as imported, and the endpoint has it: %v, said yes: %v", key, holds, answered[id])
		case held.AccessTokenSHA256 != sha256.Sum256([]byte(a.Access)) || held.RefreshTokenSHA256 != sha256.Sum256([]byte(a.Refresh)):
			bad.add("key %s: the endpoint has other credentials than the store", key)
		}
	}
	for key := range tokens {
		bad.add("key %s is in the checkpoint, and not in the store", key)
	}
	for id := range audit.Imported {
		if !known[id] {
			bad.add("the endpoint has %v, want it not to", id)
		}
	}
	bad.tell(r.T)
	r.noIntents()
}

// all wants every row imported.
func all(account) string { return "" }

func says(v *bool) string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprint(*v)
}

// readReport returns the report that a run or dry run wrote.
func (p *process) readReport() *report.Report {
	p.rig.Helper()
	raw, err := os.ReadFile(p.report)
	if errors.Is(err, fs.ErrNotExist) {
		p.rig.Fatalf("%s wrote no report\n%s", p.name, p.said())
	}
	if err != nil {
		p.rig.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		p.rig.Fatalf("the report of %s: %v", p.name, err)
	}
	if r.Counts.Read != r.Counts.Sum() {
		p.rig.Errorf("the report of %s: read %d, the outcomes make %d: %+v", p.name, r.Counts.Read, r.Counts.Sum(), r.Counts)
	}
	return &r
}

// checkCounts compares counts.
func (p *process) checkCounts(want report.Counts) {
	p.rig.Helper()
	want.Read = want.Sum()
	if got := p.readReport().Counts; got != want {
		p.rig.Errorf("counts of %s:\ngot  %+v\nwant %+v", p.name, got, want)
	}
}

// dump returns all that a database holds: its relations, columns and rows, each
// row with its place and the transactions that made and locked it, so that a row
// written as it was shows too.
func dump(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var out strings.Builder
	for _, sql := range []string{
		`SELECT format('schema %s %s %s', oid, nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)' ORDER BY oid`,
		`SELECT format('relation %s %s %s %s %s', oid, oid::regclass, relkind, relacl, relfilenode) FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace ORDER BY oid`,
		`SELECT format('column %s %s', attrelid, to_jsonb(a) - 'attmissingval') FROM pg_attribute a WHERE attrelid >= 16384 ORDER BY attrelid, attnum`,
		`SELECT format('function %s %s', oid, oid::regprocedure) FROM pg_proc WHERE oid >= 16384 ORDER BY oid`,
		`SELECT format('type %s %s', oid, typname) FROM pg_type WHERE oid >= 16384 ORDER BY oid`,
	} {
		out.WriteString(strings.Join(list[string](t, conn, sql), "\n"))
		out.WriteString("\n")
	}
	rows := func(kinds, columns string) {
		for _, table := range list[string](t, conn, `SELECT oid::regclass::text FROM pg_class WHERE relkind::text = ANY(string_to_array($1, ' ')) AND oid >= 16384 ORDER BY oid`, kinds) {
			fmt.Fprintf(&out, "\n%s\n%s\n", table, strings.Join(list[string](t, conn, `SELECT `+columns+` FROM `+table+` x ORDER BY 1`), "\n"))
		}
	}
	rows("r m", `concat_ws(' ', ctid, xmin, xmax, x::text)`)
	rows("S", `concat_ws(' ', last_value, is_called)`)
	return out.String()
}

// sameDump fails where a database is not as it was.
func sameDump(t *testing.T, what, was, is string) {
	t.Helper()
	if was == is {
		return
	}
	before, after := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range min(len(before), len(after)) {
		if before[i] != after[i] {
			t.Errorf("the %s database changed: line %d was %q, is %q", what, i+1, before[i], after[i])
			return
		}
	}
	t.Errorf("the %s database changed: it had %d lines, it has %d", what, len(before), len(after))
}

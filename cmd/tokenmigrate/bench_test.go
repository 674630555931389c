package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/measure"
	"tokenmigrate/migrate/report"
)

// benchRows is how many rows a whole pass is measured with.
const benchRows = 200_000

// benchTable has rows like those of a usual store, in which nothing has to be
// escaped; floor is what the floor program records in.
const benchTable = `
CREATE TABLE accounts (id bigint PRIMARY KEY, access text, refresh text, expires timestamptz, subject text);
INSERT INTO accounts SELECT n, 'xoxe.xoxp-1-' || md5('a' || n) || md5('b' || n), 'xoxe-1-' || md5('r' || n) || md5('s' || n),
	now() + interval '1 year', 'U' || upper(left(md5('u' || n), 10)) || n FROM generate_series(1, %d) n;
CREATE TABLE floor (key text, succeeded boolean)`

// The same rows for the program and for the floor program.
const (
	benchQuery = `SELECT id AS key, access AS access_token, refresh AS refresh_token, expires AS expires_at, subject AS subject_id FROM accounts`
	floorQuery = `SELECT id::text, access, refresh, (extract(epoch FROM expires) * 1000)::bigint, subject FROM accounts`
)

const benchConfig = `
migration: bench
source: {url: "${SOURCE_DATABASE_URL}", query: %q}
destination: {url: %q, token: "${VERCEL_TOKEN}", connector: slack/acme}
checkpoint: {url: "${CHECKPOINT_DATABASE_URL}"}
send: {requests_per_minute: 10000000, chunk_tokens: 100, concurrency: 8}
policy: {passes: 1}
`

// bench measures whole passes. The program, the floor program, the endpoint and
// Postgres each are a process of their own.
type bench struct {
	*testing.B
	rows           int
	db             *pgx.Conn
	url            string
	endpoint       string
	program, floor string // paths of binaries
	folder         string // of configuration, reports and profiles
}

// newBench returns a bench with a source of so many rows.
func newBench(b *testing.B, rows int) *bench {
	b.Helper()
	r := &bench{B: b, rows: rows, url: localpg.Database(b), folder: b.TempDir()}
	var err error
	if r.db, err = pgx.Connect(b.Context(), r.url); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.db.Close(context.Background()) })
	r.exec(fmt.Sprintf(benchTable, rows))
	r.exec(`VACUUM ANALYZE accounts`)
	r.program = measure.Build(b, "-tags", "profile", ".")
	r.floor = measure.Build(b, "./testdata/floor")
	r.endpoint = measure.Endpoint(b, "../../migrate/connect/testdata/standin")
	if keep := os.Getenv("TOKENMIGRATE_BENCH_KEEP"); keep != "" {
		r.folder = keep
	}
	return r
}

func (r *bench) exec(sql string) {
	r.Helper()
	if _, err := r.db.PgConn().Exec(r.Context(), sql).ReadAll(); err != nil {
		r.Fatalf("%.200s: %v", sql, err)
	}
}

// run runs a program to its end.
func (r *bench) run(program string, env []string, args ...string) measure.Cost {
	r.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = slices.Concat(bareEnvironment(), env)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		r.Fatalf("%v: %v\n%s", args, err, tail(string(out)))
	}
	return measure.Cost{Time: took, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}

// pass runs the program once over the source; it must import so many tokens and
// find the others unchanged. Its profiles stay in a folder of that name.
func (r *bench) pass(name string, imported int) measure.Cost {
	r.Helper()
	folder := filepath.Join(r.folder, name)
	config, account := filepath.Join(folder, "migration.yaml"), filepath.Join(folder, "report.json")
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = os.WriteFile(config, fmt.Appendf(nil, benchConfig, benchQuery, r.endpoint), 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
	c := r.run(r.program, []string{
		"SOURCE_DATABASE_URL=" + r.url, "CHECKPOINT_DATABASE_URL=" + r.url, "VERCEL_TOKEN=" + credential,
		"TOKENMIGRATE_PROFILE=" + folder, "TOKENMIGRATE_PROFILE_CPU=" + os.Getenv("TOKENMIGRATE_PROFILE_CPU"),
	}, "run", "-c", config, "--log-level", "warn", "--report", account)
	r.read(filepath.Join(folder, "cost.json"), &c)
	var got report.Report
	r.read(account, &got)
	if n := got.Counts; n.Read != int64(r.rows) || n.Imported != int64(imported) || n.Unchanged != int64(r.rows-imported) {
		r.Fatalf("got %+v, want %d rows, %d of them imported, the others unchanged", n, r.rows, imported)
	}
	if calls := (imported + 99) / 100; got.Calls.Made != int64(calls) {
		r.Fatalf("got %d calls, want %d", got.Calls.Made, calls)
	}
	return c
}

// read reads a file of JSON.
func (r *bench) read(path string, into any) {
	r.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// forget removes what was recorded of all runs before.
func (r *bench) forget() {
	r.Helper()
	r.exec(`DROP SCHEMA IF EXISTS tokenmigrate CASCADE`)
}

// BenchmarkPass is the whole pass: every row read, judged, sent and recorded, with
// all guarantees on. The floor is the floor program, which see.
func BenchmarkPass(b *testing.B) {
	r := newBench(b, measure.Number(b, "TOKENMIGRATE_BENCH_ROWS", benchRows))
	r.compare(func() measure.Cost {
		r.forget()
		return r.pass("first", r.rows)
	})
}

// BenchmarkAgain is the run after one that imported everything: it finds that
// nothing has changed, and makes no call.
func BenchmarkAgain(b *testing.B) {
	r := newBench(b, measure.Number(b, "TOKENMIGRATE_BENCH_ROWS", benchRows))
	r.forget()
	r.pass("first", r.rows)
	r.pass("again", 0)                           // as the walk does that ends a migration with the usual two passes
	r.exec(`VACUUM ANALYZE tokenmigrate.tokens`) // as Postgres does by itself, in the middle of a measurement
	r.compare(func() measure.Cost { return r.pass("again", 0) })
}

// compare reports what do costs beside a pass of the floor program, in turns.
func (r *bench) compare(do func() measure.Cost) {
	r.Helper()
	var rounds, floor measure.Rounds
	for r.Loop() {
		r.exec(`TRUNCATE floor`)
		floor = append(floor, r.run(r.floor, nil, r.url, r.endpoint, floorQuery))
		rounds = append(rounds, do())
	}
	measure.Report(r.B, r.rows, rounds, floor)
}

// BenchmarkMemory is the most memory that a whole pass holds, which must not grow
// with the rows: at a million of them, or at as many as TOKENMIGRATE_BENCH_MEMORY
// says.
func BenchmarkMemory(b *testing.B) {
	r := newBench(b, measure.Number(b, "TOKENMIGRATE_BENCH_MEMORY", 1_000_000))
	r.compare(func() measure.Cost {
		r.forget()
		return r.pass("first", r.rows)
	})
}

package checkpoint

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}

// testSchema is the schema of tests that do not care.
const testSchema = "tokenmigrate"

// openStore opens a checkpoint that the test's end closes.
func openStore(t *testing.T, url, schema string) *Store {
	t.Helper()
	s, err := Open(t.Context(), parse(t, url), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newStore returns a checkpoint with tables in a database of its own.
func newStore(t *testing.T) *Store {
	t.Helper()
	s := openStore(t, localpg.Database(t), testSchema)
	must(t, s.Migrate(t.Context()))
	return s
}

// bench is a checkpoint in which one worker has begun a run of shard 0.
type bench struct {
	*testing.T
	*Store
	lease Lease
	run   int64
}

// newBench returns a bench in a database of its own.
func newBench(t *testing.T) *bench {
	t.Helper()
	return begin(t, newStore(t), "acme-slack", "first")
}

// begin makes holder begin a run of shard 0 of the named migration.
func begin(t *testing.T, s *Store, name, holder string) *bench {
	t.Helper()
	m, err := s.CreateMigration(t.Context(), name, func([]byte) map[string]string { return map[string]string{"team": "acme"} })
	must(t, err)
	l, err := s.Acquire(t.Context(), m.ID, 0, 1, holder, nil)
	must(t, err)
	run, err := s.StartRun(t.Context(), l, "v1", "run")
	must(t, err)
	return &bench{t, s, l, run}
}

// takeOver lets the lease lapse and gives it to another holder, who begins a run.
func (b *bench) takeOver(holder string) *bench {
	b.Helper()
	b.exec(`UPDATE {schema}.leases SET expires_at = clock_timestamp() - interval '1 second'`)
	return begin(b.T, b.Store, "acme-slack", holder)
}

// record records a batch that must succeed.
func (b *bench) record(batch Batch) Recorded {
	b.Helper()
	if batch.Counts == nil {
		batch.Counts = []byte(`{}`)
	}
	out, err := b.Record(b.Context(), b.lease, b.run, batch)
	if err != nil {
		b.Fatalf("Record: %v", err)
	}
	return out
}

// lookUp returns what is known of keys and identities, those that are known.
func (s *Store) lookUp(t *testing.T, migration int64, keys []string, identities []Hash) (map[string]Prior, map[Hash][]string) {
	t.Helper()
	asked := make([]Asked, len(keys))
	for i, key := range keys {
		asked[i].Key = key
	}
	list, err := s.Priors(t.Context(), migration, asked)
	must(t, err)
	priors := map[string]Prior{}
	for i, p := range list {
		if p.Outcome != "" {
			priors[keys[i]] = p
		}
	}
	owners, err := s.Owners(t.Context(), migration, identities)
	must(t, err)
	return priors, owners.Sent
}

// call records the intent and then the answer of one call.
func (b *bench) call(endings ...Ending) uuid.UUID {
	b.Helper()
	in := intent(endings...)
	b.record(Batch{Intents: []Intent{in}})
	b.record(Batch{Answers: []Answer{answer(in, endings...)}})
	return in.ID
}

// finishes is a *Store or a *bench.
type finishes interface {
	FinishRun(ctx context.Context, l Lease, run int64, exitCode int, counts []byte, lastError string, finished ...int) (bool, error)
}

// finish writes how a run of the first shard of migration 1 ended.
func finish(t *testing.T, s finishes, run int64, exitCode int, counts []byte, lastError string) {
	t.Helper()
	_, err := s.FinishRun(t.Context(), Lease{Migration: 1}, run, exitCode, counts, lastError)
	must(t, err)
}

// exec runs a statement, with {schema} filled in.
func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	execute(b.T, b.Store, sql, args...)
}

// execute runs a statement, with {schema} filled in.
func execute(t *testing.T, s *Store, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), s.in(sql), args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// lines returns the rows of a query of one text column, with {schema} filled in.
func lines(t *testing.T, s *Store, sql string, args ...any) []string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), s.in(sql), args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// tokens returns all of the table tokens but its times, one line a row, by key.
func (b *bench) tokens() []string {
	b.Helper()
	return lines(b.T, b.Store, `
		SELECT concat_ws(' ', key, coalesce(connector, '-') || '/' || coalesce(environment, '-'), outcome, coalesce(succeeded::text, '-'),
			coalesce(reason, '-'), coalesce(quote_literal(detail), '-'), 'attempts=' || attempts,
			'sent=' || coalesce(rtrim(encode(fingerprint, 'escape'), '\0'), '-'), 'for=' || coalesce(rtrim(encode(identity, 'escape'), '\0'), '-'),
			'imported=' || coalesce(rtrim(encode(imported_fingerprint, 'escape'), '\0'), '-'), CASE WHEN imported_at IS NULL THEN 'never' ELSE 'once' END,
			'run=' || run_id, CASE WHEN call_id IS NULL THEN 'nocall' ELSE 'call' END)
		FROM {schema}.tokens ORDER BY key`)
}

// standing returns the ids of the intents, sorted.
func (b *bench) standing() []string {
	b.Helper()
	return lines(b.T, b.Store, `SELECT id::text FROM {schema}.calls ORDER BY id`)
}

// counts returns the counts of the bench's run.
func (b *bench) counts() string {
	b.Helper()
	return lines(b.T, b.Store, `SELECT counts::text FROM {schema}.runs WHERE id = $1`, b.run)[0]
}

// hash returns a hash that the tables show as name.
func hash(name string) (h Hash) {
	copy(h[:], name)
	return h
}

// imported is the ending of a token that the endpoint took.
func imported(key string) Ending {
	yes := true
	return Ending{Sent: sent(key), Outcome: Imported, Succeeded: &yes}
}

// refused is the ending of a token that the endpoint did not take.
func refused(key string) Ending {
	no := false
	return Ending{Sent: sent(key), Outcome: Failed, Succeeded: &no, Reason: "refused", Detail: "no"}
}

// sent is a token whose fingerprint is fKEY and whose identity is iKEY.
func sent(key string) Sent {
	return Sent{Key: key, Environment: "production", Fingerprint: hash("f" + key), Identity: hash("i" + key)}
}

// intent is the intent of a new call with the tokens of these endings.
func intent(endings ...Ending) Intent {
	in := Intent{ID: uuid.New(), Connector: "slack/acme", Settle: time.Minute}
	for _, e := range endings {
		in.Tokens = append(in.Tokens, e.Sent)
	}
	return in
}

// answer is the answer to an intent's call.
func answer(in Intent, endings ...Ending) Answer {
	return Answer{Call: in.ID, Endings: endings}
}

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares texts line by line.
func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n\t"), strings.Join(want, "\n\t"); g != w {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, g, w)
	}
}

// parse parses a connection string.
func parse(t *testing.T, url string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	must(t, err)
	return cfg
}

// cutter makes connections that can lose the server's answer: once armed, the
// next read that brings the end of a transaction closes the connection instead,
// so that the server has committed and the client cannot know.
type cutter struct{ armed atomic.Bool }

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cutConn{conn, c}, nil
}

type cutConn struct {
	net.Conn
	by *cutter
}

// ready is the message ReadyForQuery outside of a transaction.
var ready = []byte{'Z', 0, 0, 0, 5, 'I'}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && bytes.HasSuffix(p[:n], ready) && c.by.armed.CompareAndSwap(true, false) {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// newRole makes a role that may log in and nothing else, and goes with the
// test. Call it before localpg.Database, so that what it owns is dropped first.
func newRole(t *testing.T) string {
	t.Helper()
	name := "r_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin := func(ctx context.Context, sql string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, localpg.Shared(t).URL("postgres"))
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	admin(t.Context(), "CREATE ROLE "+name+" LOGIN PASSWORD 'just-for-tests'")
	t.Cleanup(func() { admin(context.Background(), "DROP ROLE "+name) })
	return name
}

// openAs opens the checkpoint of a database as a role of newRole.
func openAs(t *testing.T, url, role, schema string) *Store {
	t.Helper()
	cfg := parse(t, url)
	cfg.User, cfg.Password = role, "just-for-tests"
	s, err := Open(t.Context(), cfg, schema)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

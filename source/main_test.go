package source

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}

// database is a fresh database with a superuser's connection to it.
type database struct {
	*pgx.Conn
	t   testing.TB
	url string
}

func newDatabase(t testing.TB, statements ...string) *database {
	t.Helper()
	url := localpg.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	db := &database{conn, t, url}
	db.exec(statements...)
	return db
}

// exec runs statements, each of which must succeed.
func (db *database) exec(statements ...string) {
	db.t.Helper()
	for _, sql := range statements {
		// The simple protocol takes several statements at once.
		if _, err := db.PgConn().Exec(db.t.Context(), sql).ReadAll(); err != nil {
			db.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// config returns the database's configuration, for role unless that is "". A
// role is made with the test's own password and dropped again.
func (db *database) config(role string) *pgx.ConnConfig {
	db.t.Helper()
	config, err := pgx.ParseConfig(db.url)
	if err != nil {
		db.t.Fatal(err)
	}
	if role != "" {
		config.User, config.Password = role, "rolepass"
	}
	return config
}

// role makes a login role of a name that no other test has, which stands for
// $ROLE in grants, and drops it at the test's end.
func (db *database) role(grants ...string) string {
	db.t.Helper()
	name := "role_" + strings.ToLower(rand.Text()[:12])
	db.exec("CREATE ROLE " + name + " LOGIN PASSWORD 'rolepass'")
	db.t.Cleanup(func() {
		ctx := context.WithoutCancel(db.t.Context())
		_, _ = db.Exec(ctx, "DROP OWNED BY "+name)
		_, _ = db.Exec(ctx, "DROP ROLE "+name)
	})
	for _, grant := range grants {
		db.exec(strings.ReplaceAll(grant, "$ROLE", name))
	}
	return name
}

// accounts is a query over a table with a key and nothing else worth telling.
const accounts = "SELECT id AS key, 'at-' || id AS access_token, 'u-' || id AS subject_id, 1800000000 AS expires_at FROM accounts"

var slack = Routes{Connector: "slack/acme"}

// open opens a reader, which must succeed; waits between tries are not waited.
func (db *database) open(o Options) *Reader {
	db.t.Helper()
	return db.openAs("", o)
}

func (db *database) openAs(role string, o Options) *Reader {
	db.t.Helper()
	if o.Routes.Connector == "" && o.Routes.ByProvider == nil {
		o.Routes = slack
	}
	r, err := Open(db.t.Context(), db.config(role), o)
	if err != nil {
		db.t.Fatalf("open: %v", err)
	}
	db.t.Cleanup(r.Close)
	r.sleep = func(context.Context, time.Duration) error { return nil }
	return r
}

// openError opens a reader, which must fail, and returns the error.
func (db *database) openError(o Options) error {
	db.t.Helper()
	if o.Routes.Connector == "" && o.Routes.ByProvider == nil {
		o.Routes = slack
	}
	r, err := Open(db.t.Context(), db.config(""), o)
	if err == nil {
		r.Close()
		db.t.Fatalf("open: got no error for query %s", o.Query)
	}
	return err
}

// walkAll reads everything and returns the rows, or the error that ended it.
func walkAll(t testing.TB, r *Reader) ([]Row, error) {
	t.Helper()
	var rows []Row
	var after Cursor
	for range 100_000 {
		page, err := r.Page(t.Context(), after)
		if err != nil {
			return rows, err
		}
		rows = append(rows, page.Rows...)
		if page.End {
			return rows, nil
		}
		if len(page.Rows) == 0 || page.Next == after {
			t.Fatal("a page that is not the end made no progress")
		}
		after = page.Next
	}
	t.Fatal("the walk does not end")
	return nil, nil
}

func keysOf(rows []Row) []string {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = row.Key
	}
	return keys
}

// wantConfigError checks that err is a *ConfigError that holds each part.
func wantConfigError(t testing.TB, err error, parts ...string) {
	t.Helper()
	var config *ConfigError
	if !errors.As(err, &config) {
		t.Fatalf("got error %v (%T), want a *ConfigError with %q", err, err, parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want it to contain %q", err, part)
		}
	}
}

func wantKeys(t testing.TB, rows []Row, want []string) {
	t.Helper()
	if got := keysOf(rows); !slices.Equal(got, want) {
		t.Errorf("got %d keys %.300q, want %d %.300q", len(got), got, len(want), want)
	}
}

// explain returns the plan of a statement as text.
func explain(t testing.TB, r *Reader, st *statement, params []param) string {
	t.Helper()
	var lines []string
	err := r.do(t.Context(), "explain", func(ctx context.Context, conn *pgconn.PgConn) error {
		rows, err := query(ctx, conn, statement{text: "EXPLAIN " + st.text}, params...)
		for _, row := range rows {
			lines = append(lines, string(row[0]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// freePort returns a loopback port that nobody listens on.
func freePort(t testing.TB) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

package pgerr_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

// told is what an error of the real server must become.
type told struct {
	code  string
	class pgerr.Class
	words string
}

func (w told) check(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error", name)
		return
	}
	wrapped := pgerr.Wrap("do", err)
	silent(t, name, wrapped)
	if pgerr.CodeOf(wrapped) != w.code || pgerr.ClassOf(wrapped) != w.class || !strings.Contains(wrapped.Error(), w.words) {
		t.Errorf("%s: got %s, %q; want %q, %s, with the words %q",
			name, className[pgerr.ClassOf(wrapped)], wrapped, w.code, className[w.class], w.words)
	}
}

func connect(t *testing.T, cfg *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func config(t *testing.T, url string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestWrap_StatementsThatARealServerRefuses(t *testing.T) {
	t.Parallel()
	conn := connect(t, config(t, localpg.Database(t)))
	if _, err := conn.Exec(t.Context(), `CREATE TABLE accounts (id int CONSTRAINT one PRIMARY KEY, t text NOT NULL CHECK (t <> 'no'), n int);
		CREATE TABLE held ();
		CREATE FUNCTION boom(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad %', $1 USING DETAIL = $1, HINT = $1; END $$;
		INSERT INTO accounts VALUES (1, '`+secret+`')`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, sql string
		want      told
	}{
		{"invalid json", `SELECT t::json FROM accounts`, told{"22P02", pgerr.Stop, "withheld"}},
		{"invalid integer", `SELECT t::int FROM accounts`, told{"22P02", pgerr.Stop, "withheld"}},
		{"invalid time", `SELECT t::timestamptz FROM accounts`, told{"22007", pgerr.Stop, "withheld"}},
		{"invalid base64", `SELECT decode(t, 'base64') FROM accounts`, told{"22023", pgerr.Stop, "withheld"}},
		{"unique", `INSERT INTO accounts VALUES (1, '` + secret + `')`, told{"23505", pgerr.Stop, "[table accounts, constraint one]"}},
		{"check", `INSERT INTO accounts SELECT 2, 'no', n FROM accounts`, told{"23514", pgerr.Stop, "constraint accounts_t_check"}},
		{"not null", `INSERT INTO accounts VALUES (2, NULL)`, told{"23502", pgerr.Stop, "[table accounts, column t]"}},
		{"raised", `SELECT boom(t) FROM accounts`, told{"P0001", pgerr.Stop, "withheld"}},
		{"no such table", `SELECT * FROM nowhere`, told{"42P01", pgerr.Stop, `relation "nowhere" does not exist`}},
		{"no such column", `SELECT nothing FROM accounts`, told{"42703", pgerr.Stop, `column "nothing" does not exist`}},
		{"timeout", `BEGIN; SET LOCAL statement_timeout = 20; SELECT pg_sleep(30)`, told{"57014", pgerr.Again, "statement timeout"}},
		{"read-only", `BEGIN READ ONLY; DELETE FROM accounts`, told{"25006", pgerr.Stop, "read-only transaction"}},
		{"lock", `BEGIN; SET LOCAL lock_timeout = 20; LOCK TABLE held`, told{"55P03", pgerr.Again, "lock timeout"}},
	} {
		if c.name == "lock" {
			holder := connect(t, conn.Config())
			if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE held`); err != nil {
				t.Fatal(err)
			}
		}
		_, err := conn.PgConn().Exec(t.Context(), c.sql).ReadAll()
		c.want.check(t, c.name, err)
		if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	// The driver's own refusals quote values too.
	_, err := conn.Exec(t.Context(), `SELECT $1::int`, struct{ Token string }{secret})
	told{"", pgerr.Stop, "withheld"}.check(t, "encode", err)
	var n int
	err = conn.QueryRow(t.Context(), `SELECT t AS access_token FROM accounts`).Scan(&n)
	told{"", pgerr.Stop, `column "access_token"`}.check(t, "scan", err)
}

func TestWrap_ConnectionsThatARealServerEnds(t *testing.T) {
	t.Parallel()
	url := localpg.Database(t)
	admin, victim := connect(t, config(t, url)), connect(t, config(t, url))
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, victim.PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	_, err := victim.Exec(t.Context(), `SELECT pg_sleep(30)`)
	if again := pgerr.Wrap("do", err); pgerr.ClassOf(again) != pgerr.Again {
		t.Errorf("terminated: got %v, want class again", again)
	}
	_, err = victim.Exec(t.Context(), `SELECT 1`)
	told{"", pgerr.Again, "conn closed"}.check(t, "closed", err)

	self := connect(t, config(t, url))
	_, err = self.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
	told{"57P01", pgerr.Again, "terminating connection"}.check(t, "terminated while it asks", err)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = admin.Exec(ctx, `SELECT pg_sleep(30)`)
	told{"", pgerr.Again, "context deadline exceeded"}.check(t, "deadline", err)
	if !errors.Is(pgerr.Wrap("do", err), context.DeadlineExceeded) {
		t.Errorf("deadline: got %v, want context.DeadlineExceeded", err)
	}
}

func TestWrap_ConnectionsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	role := "r_" + strings.ToLower(rand.Text())
	root := connect(t, config(t, localpg.Shared(t).URL("postgres")))
	t.Cleanup(func() { // before root is closed, and after the database is gone
		if _, err := root.Exec(context.Background(), `DROP ROLE IF EXISTS `+role); err != nil {
			t.Error(err)
		}
	})
	cfg := config(t, localpg.Database(t))
	cfg.Fallbacks = nil
	admin := connect(t, cfg)
	if _, err := admin.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %s LOGIN CONNECTION LIMIT 1 PASSWORD '%s'; CREATE TABLE closed ()`, role, secret)); err != nil {
		t.Fatal(err)
	}
	as := cfg.Copy()
	as.User, as.Password = role, secret
	guest := connect(t, as)
	_, err := guest.Exec(t.Context(), `SELECT * FROM closed`)
	told{"42501", pgerr.Stop, "permission denied for table closed"}.check(t, "privilege", err)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silentPort := uint16(listener.Addr().(*net.TCPAddr).Port) // nobody accepts, and below nobody listens
	expired, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	try := func(ctx context.Context, name string, change func(*pgx.ConnConfig), want told) {
		t.Helper()
		c := as.Copy()
		change(c)
		conn, err := pgx.ConnectConfig(ctx, c)
		if err == nil {
			_ = conn.Close(ctx)
		}
		want.check(t, name, err)
	}
	try(t.Context(), "too many connections", func(*pgx.ConnConfig) {}, told{"53300", pgerr.Again, "too many connections for role"})
	try(t.Context(), "wrong password", func(c *pgx.ConnConfig) { c.Password = secret + "x" }, told{"28P01", pgerr.Stop, "password authentication failed"})
	try(t.Context(), "no such database", func(c *pgx.ConnConfig) { c.User, c.Password, c.Database = cfg.User, cfg.Password, "nowhere" }, told{"3D000", pgerr.Stop, `"nowhere" does not exist`})
	try(t.Context(), "unknown host", func(c *pgx.ConnConfig) { c.Host = "db.invalid" }, told{"", pgerr.Again, "db.invalid"})
	try(expired, "deadline", func(c *pgx.ConnConfig) { c.Port = silentPort }, told{"", pgerr.Again, "timeout"})
	_ = listener.Close()
	try(t.Context(), "refused", func(c *pgx.ConnConfig) { c.Port = silentPort }, told{"", pgerr.Again, "connection refused"})
	try(cancelled, "cancelled", func(*pgx.ConnConfig) {}, told{"", pgerr.Ended, "operation was canceled"})
}

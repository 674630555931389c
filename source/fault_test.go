package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

// faulty is a table of nine accounts and a query over it that does what the
// table fault says while it is read.
const (
	faultyTable = `
CREATE TABLE accounts (id int PRIMARY KEY);
INSERT INTO accounts SELECT generate_series(1, 9);
CREATE TABLE fault (what text);
CREATE FUNCTION trouble(id int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE todo text;
BEGIN
  SELECT what INTO todo FROM fault;
  IF id < 5 OR todo IS NULL THEN
  ELSIF todo = 'terminate' THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(10);
  ELSIF todo = 'sleep' THEN PERFORM pg_sleep(10);
  ELSE RAISE EXCEPTION 'xoxb-secret in words' USING ERRCODE = todo;
  END IF;
  RETURN 'at-' || id;
END $$`
	faulty = "SELECT id AS key, trouble(id) AS access_token, 'u' AS subject_id, 1800000000 AS expires_at FROM accounts"
)

func (db *database) fault(what string) {
	db.t.Helper()
	db.exec("DELETE FROM fault", "INSERT INTO fault SELECT '"+what+"' WHERE '"+what+"' <> ''")
}

// TestReader_TriesAgain: trouble in the middle of a page that passes costs
// nothing, and no row comes twice.
func TestReader_TriesAgain(t *testing.T) {
	db := newDatabase(t, faultyTable)
	for _, what := range []string{"terminate", "40001", "40P01", "57P01", "53300"} {
		for _, size := range []int{3, 1000} {
			r := db.open(Options{Query: faulty, PageSize: size})
			db.fault(what)
			slept := 0
			r.sleep = func(context.Context, time.Duration) error {
				slept++
				db.fault("")
				return nil
			}
			rows, err := walkAll(t, r)
			if err != nil || slept != 1 {
				t.Errorf("%s, page size %d: got %v after %d waits, want no error after 1", what, size, err, slept)
			}
			wantKeys(t, rows, strings.Fields("1 2 3 4 5 6 7 8 9"))
			r.Close()
		}
	}
}

func TestReader_GivesUpAfterAFewTries(t *testing.T) {
	db := newDatabase(t, faultyTable)
	r := db.open(Options{Query: faulty})
	var waits []time.Duration
	r.sleep = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	db.fault("40001")
	_, err := r.Page(t.Context(), Cursor{})
	if pgerr.ClassOf(err) != pgerr.Again || pgerr.CodeOf(err) != "40001" || strings.Contains(err.Error(), "ConfigError") {
		t.Errorf("got %v, want class Again with 40001", err)
	}
	if want := []time.Duration{backoff, 3 * backoff}; !slices.Equal(waits, want) {
		t.Errorf("got waits %v, want %v", waits, want)
	}
	waits = nil
	if _, err := r.Rows(t.Context(), []string{"7"}); pgerr.ClassOf(err) != pgerr.Again || len(waits) != 2 {
		t.Errorf("read again: got %v after %d waits, want class Again after 2", err, len(waits))
	}
	// The same call succeeds when the trouble has passed.
	db.fault("")
	if rows, err := walkAll(t, r); err != nil || len(rows) != 9 {
		t.Errorf("got %d rows, %v, want 9", len(rows), err)
	}
}

func TestReader_StopsWhereTryingDoesNotHelp(t *testing.T) {
	db := newDatabase(t, faultyTable)
	for code, want := range map[string]string{
		"22P02": "the query fails on the data",
		"39000": "a function that the query calls failed, for pgcrypto: wrong key or corrupt data",
		"P0001": "the source refuses",
		"42P01": "the query cannot be read",
	} {
		r := db.open(Options{Query: faulty})
		r.sleep = func(context.Context, time.Duration) error { t.Errorf("%s: tried again", code); return nil }
		db.fault(code)
		_, err := r.Page(t.Context(), Cursor{})
		wantConfigError(t, err, "read a page of the source: "+want, "SQLSTATE "+code)
		if code != "42P01" && strings.Contains(err.Error(), "xoxb") {
			t.Errorf("the error %q quotes the server's words", err)
		}
		r.Close()
	}
	// The server's own trouble is nobody's configuration.
	r := db.open(Options{Query: faulty})
	db.fault("XX001")
	_, err := r.Page(t.Context(), Cursor{})
	var config *ConfigError
	if err == nil || errors.As(err, &config) || pgerr.ClassOf(err) != pgerr.Stop {
		t.Errorf("XX001: got %v (%T), want a *pgerr.Error of class Stop", err, err)
	}
}

// TestReader_ReconnectsWhenItWasIdle: an idle connection that somebody closed is
// replaced without a wait.
func TestReader_ReconnectsWhenItWasIdle(t *testing.T) {
	db := newDatabase(t, faultyTable)
	r := db.open(Options{Query: faulty, PageSize: 4, ApplicationName: "idle-reader"})
	r.sleep = func(context.Context, time.Duration) error { t.Error("waited"); return nil }
	var keys []string
	var after Cursor
	for {
		page, err := r.Page(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, keysOf(page.Rows)...)
		if after = page.Next; page.End {
			break
		}
		var ended bool
		if err := db.QueryRow(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle-reader'").Scan(&ended); err != nil || !ended {
			t.Fatalf("terminate: %t, %v", ended, err)
		}
	}
	if want := strings.Fields("1 2 3 4 5 6 7 8 9"); !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}

func TestReader_EndsWithItsContext(t *testing.T) {
	db := newDatabase(t, faultyTable)
	r := db.open(Options{Query: faulty})
	db.fault("sleep")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	started := time.Now()
	_, err := r.Page(ctx, Cursor{})
	if !errors.Is(err, context.Canceled) || pgerr.ClassOf(err) != pgerr.Ended {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if _, err := r.Page(ctx, Cursor{}); !errors.Is(err, context.Canceled) {
		t.Errorf("called with an ended context: got %v, want context.Canceled", err)
	}
	db.fault("")
	if rows, err := walkAll(t, r); err != nil || len(rows) != 9 {
		t.Errorf("afterwards: got %d rows, %v, want 9", len(rows), err)
	}
}

func TestReader_StatementTimeoutIsTheServers(t *testing.T) {
	db := newDatabase(t, faultyTable)
	r := db.open(Options{Query: faulty, StatementTimeout: 200 * time.Millisecond})
	r.sleep = func(context.Context, time.Duration) error { t.Error("tried again, which takes as long"); return nil }
	db.fault("sleep")
	_, err := r.Page(t.Context(), Cursor{})
	if pgerr.ClassOf(err) != pgerr.Again || pgerr.CodeOf(err) != "57014" || !strings.Contains(err.Error(), "longer than 200ms; an index") {
		t.Errorf("got %v, want class Again, 57014 and the advice of an index", err)
	}
	if got := r.limit.rows(); got != DefaultPageSize/2 {
		t.Errorf("the next page asks for %d rows, want %d", got, DefaultPageSize/2)
	}
	if r.conn == nil {
		t.Error("the connection was given up for a timeout")
	}
}

func TestReader_IsClosed(t *testing.T) {
	db := newDatabase(t, faultyTable)
	r := db.open(Options{Query: faulty, ApplicationName: "to-be-closed"})
	r.Close()
	r.Close()
	if _, err := r.Page(t.Context(), Cursor{}); err == nil || !strings.Contains(err.Error(), "the reader is closed") {
		t.Errorf("got %v, want: the reader is closed", err)
	}
}

// TestReader_TakesTurns: calls from several goroutines share the connection.
func TestReader_TakesTurns(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 200) AS id")
	r := db.open(Options{Query: accounts, PageSize: 10})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 5 {
				if rows, err := r.Rows(t.Context(), []string{"3", "5"}); err != nil || len(rows) != 2 {
					t.Errorf("got %d rows, %v, want 2", len(rows), err)
				}
			}
			if i == 0 {
				if rows, err := walkAll(t, r); err != nil || len(rows) != 200 {
					t.Errorf("got %d rows, %v, want 200", len(rows), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReader_ShowsItsApplicationName(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int)")
	const query = "SELECT 1 AS key, current_setting('application_name') AS access_token, 'u' AS subject_id, 1800000000 AS expires_at"
	name := func(r *Reader, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rows, err := walkAll(t, r)
		if err != nil {
			t.Fatal(err)
		}
		return rows[0].Token.AccessToken.Reveal()
	}
	config := db.config("")
	config.RuntimeParams["application_name"] = "the-users-own"
	for _, test := range []struct {
		config *pgx.ConnConfig
		option string
		want   string
	}{
		{db.config(""), "", "tokenmigrate"},
		{db.config(""), "migrate-eu", "migrate-eu"},
		{config, "migrate-eu", "the-users-own"},
	} {
		if got := name(Open(t.Context(), test.config, Options{Query: query, ApplicationName: test.option, Routes: slack})); got != test.want {
			t.Errorf("got application name %q, want %q", got, test.want)
		}
	}
	if got := config.RuntimeParams["application_name"]; got != "the-users-own" {
		t.Errorf("Open changed the configuration: %q", got)
	}
}

// TestReader_IgnoresTheRolesSettings: what a role or database has set changes no
// value, and nothing of ours stays in the session.
func TestReader_IgnoresTheRolesSettings(t *testing.T) {
	db := newDatabase(t, `CREATE TABLE t AS SELECT 1 AS id, timestamptz '2027-02-01 10:00:00.5+00' AS tz, timestamp '2027-02-01 10:00:00.5' AS ts, 'ä€'::text AS name, '\xc3a4'::bytea AS at`)
	query := `SELECT id AS key, at AS access_token, 'r' AS refresh_token, ts AS expires_at, tz::text AS refresh_token_expires_at,
		ts::timestamptz::text AS name, name AS subject_id, (tz::float8::text) AS external_subject FROM t`
	query = strings.Replace(query, "tz::float8::text", "1767139200.123::float8::text", 1)
	read := func(role string) Row {
		t.Helper()
		rows, err := walkAll(t, db.openAs(role, Options{Query: query}))
		if err != nil || len(rows) != 1 || rows[0].Reason != "" {
			t.Fatalf("got %+v, %v", rows, err)
		}
		return rows[0]
	}
	role := db.role("GRANT SELECT ON t TO $ROLE")
	plain := read(role)
	for _, set := range []string{
		"DateStyle = 'German'", "DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kathmandu'", "client_encoding = 'LATIN9'",
		"bytea_output = 'escape'", "default_transaction_isolation = 'serializable'", "statement_timeout = 200",
		"IntervalStyle = 'iso_8601'", "default_transaction_read_only = on", "row_security = on",
	} {
		db.exec("ALTER ROLE " + role + " SET " + set)
	}
	weird := read(role)
	got, want := weird.Token.AppendJSON(nil), plain.Token.AppendJSON(nil)
	if string(got) != string(want) {
		t.Errorf("with the role's settings: got %s, want %s", got, want)
	}
	if want := time.Date(2027, 2, 1, 10, 0, 0, 5e8, time.UTC).UnixMilli(); plain.Token.ExpiresAt != want || plain.Token.RefreshTokenExpiresAt != want {
		t.Errorf("got %d and %d, want %d", plain.Token.ExpiresAt, plain.Token.RefreshTokenExpiresAt, want)
	}
	r := db.openAs(role, Options{Query: query})
	if _, err := r.Page(t.Context(), Cursor{}); err != nil {
		t.Fatal(err)
	}
	result := r.conn.ExecParams(t.Context(), "SELECT current_setting('DateStyle') || current_setting('row_security') || count(*) FROM pg_prepared_statements", nil, nil, nil, nil).Read()
	if result.Err != nil || !strings.HasSuffix(string(result.Rows[0][0]), "on0") || !strings.HasPrefix(string(result.Rows[0][0]), "SQL") {
		t.Errorf("got the session's settings %s (%v), want the role's own and no prepared statement", result.Rows, result.Err)
	}
}

// TestReader_ReadsAnSQLASCIIDatabase: bytes that are no UTF-8 cost their row, not
// the page.
func TestReader_ReadsAnSQLASCIIDatabase(t *testing.T) {
	db := newDatabase(t)
	name := "ascii_" + db.config("").Database
	if _, err := db.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	config := db.config("")
	config.Database = name
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ascii := &database{conn, t, ""}
	ascii.exec("CREATE TABLE accounts (id int, name text)", `INSERT INTO accounts VALUES (1, 'fine'), (2, E'\xff'), (3, E'\xc3\xa4')`)
	r, err := Open(t.Context(), config, Options{Query: strings.Replace(accounts, "FROM", ", name FROM", 1), Routes: slack})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows, err := walkAll(t, r)
	if err != nil || len(rows) != 3 {
		t.Fatalf("got %d rows, %v, want 3", len(rows), err)
	}
	if rows[0].Token.Name != "fine" || rows[1].Reason != ReasonInvalidField || rows[2].Token.Name != "ä" {
		t.Errorf("got %+v, want the second row alone to be invalid", rows)
	}
	keyed, err := Open(t.Context(), config, Options{Query: "SELECT name AS key, 'a' AS access_token, 'u' AS subject_id FROM accounts", Routes: slack})
	if err != nil {
		t.Fatal(err)
	}
	defer keyed.Close()
	_, err = walkAll(t, keyed)
	wantConfigError(t, err, "column key is not valid UTF-8 in a row")
}

// TestReader_ReadsAHotStandby makes a standby of a server that has no primary
// any more, which is all that reading needs.
func TestReader_ReadsAHotStandby(t *testing.T) {
	if os.Getenv("TOKENMIGRATE_TEST_DATABASE_URL") != "" {
		t.Skip("this test makes a standby of a server of its own")
	}
	server, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	config, err := pgx.ParseConfig(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	db := &database{conn, t, server.URL("postgres")}
	db.exec("CREATE TABLE accounts AS SELECT generate_series(1, 9) AS id")
	role := db.role("GRANT SELECT ON accounts TO $ROLE", "ALTER ROLE $ROLE SET default_transaction_isolation = serializable", "CHECKPOINT")
	var folder string
	if err := db.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := db.openAs(role, Options{Query: accounts, PageSize: 4}) // its isolation level is one that a standby refuses
	if !r.Info().InRecovery {
		t.Error("got a primary, want a standby")
	}
	if err := r.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if rows, err := walkAll(t, r); err != nil || len(rows) != 9 {
		t.Errorf("got %d rows, %v, want 9", len(rows), err)
	}
	if _, err := r.Estimate(t.Context()); err != nil {
		t.Errorf("estimate: %v", err)
	}
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Page(t.Context(), Cursor{}); pgerr.ClassOf(err) != pgerr.Again {
		t.Errorf("with the server gone: got %v, want class Again", err)
	}
}

package source

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

func TestOpen_RefusesQueriesByPlaceAndRemedy(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int)", `CREATE FUNCTION write() RETURNS int LANGUAGE sql AS 'INSERT INTO accounts VALUES (1) RETURNING 1'`)
	for _, test := range []struct {
		query, where string
		want         []string
	}{
		{"SELECT 1 AS key\n  FORM accounts", "", []string{`syntax error at "FORM" (query, line 2, column 3)`}},
		{"SELECT 'sk_live_literal' 'x' AS key", "", []string{"syntax error (query, line 1, column 26)"}},
		{"SELECT 'sk_live_literal", "", []string{"syntax error (query, line 1, column 8)"}},
		{"SELECT 1 AS key FROM (", "", []string{"syntax error (query, line 1, column 23)"}},
		{"DELETE FROM accounts", "", []string{"it begins with DELETE, and must be one SELECT"}},
		{"/* all */ UPDATE accounts SET id = 1;", "", []string{"it begins with UPDATE"}},
		{"EXPLAIN SELECT 1", "", []string{"it begins with EXPLAIN"}},
		{"SELECT 1; SELECT 2", "", []string{"syntax error (query, line 1, column 9)"}},
		{"WITH x AS (DELETE FROM accounts RETURNING id) SELECT id AS key FROM x", "", []string{"WITH that changes data"}},
		{"SELECT id AS key FROM acounts", "", []string{`relation "acounts" does not exist (query, line 1, column 23)`}},
		{"SELECT\n\tidd AS key FROM accounts", "", []string{`column "idd" does not exist (query, line 2, column 2)`}},
		{"SELECT nofunc(id) AS key FROM accounts", "", []string{"function nofunc(integer) does not exist (query, line 1, column 8)"}},
		{"SELECT id AS key FROM accounts WHERE id = $1", "", []string{"it has a parameter ($1)"}},
		{accounts, "key = $1", []string{"it has a parameter ($1)"}},
		{accounts, "nokey = 1", []string{`column "nokey" does not exist (where, line 1, column 1)`}},
		{accounts, "key >", []string{"syntax error", "(where, line 1, column 6)"}},
		{accounts, "key", []string{"must be type boolean"}},
		{"", "", []string{"query: it is empty"}},
		{" ; -- nothing", "", []string{"query: it is empty"}},
		{"SELECT write() AS key, 'a' AS access_token, 'u' AS subject_id", "", nil}, // found when it runs, see below
	} {
		r, err := Open(t.Context(), db.config(""), Options{Query: test.query, Where: test.where, Routes: slack})
		if test.want == nil {
			if err != nil {
				t.Errorf("%s: got %v, want no error", test.query, err)
				continue
			}
			_, err = r.Page(t.Context(), Cursor{})
			wantConfigError(t, err, "the query would write", "INSERT", "leave out functions that write")
			r.Close()
			continue
		}
		wantConfigError(t, err, test.want...)
		if strings.Contains(err.Error(), "sk_live") {
			t.Errorf("the error %q quotes a literal of the query", err)
		}
		if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("got %q, want one line", err)
		}
	}
	var rows int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM accounts").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("got %d rows written (%v), want none", rows, err)
	}
}

func TestOpen_ListsEveryProblemOfTheColumns(t *testing.T) {
	db := newDatabase(t)
	err := db.openError(Options{
		Query: `SELECT now() AS key, 1.5::numeric AS key_2, 'x' AS acess_token, interval '1 day' AS expires_at, 'a' AS name, 'b' AS name, 'c' AS name,
			1 AS nonsense, 7 AS "accessToken", 'x', '{1}'::int[] AS scopes, 'x'::text AS data, true AS subject_type`,
		Routes: Routes{ByProvider: map[string]string{"a": "b"}},
	})
	wantConfigError(t, err,
		"column key is timestamp with time zone; it must be smallint, integer, bigint, uuid or text. Cast it in the query: (...)::text AS key\n",
		"column key_2 is numeric; it must be smallint, integer, bigint, uuid or text. Cast it in the query: (...)::bigint AS key_2",
		"column acess_token is not known; did you mean access_token?",
		"column accessToken is not known; did you mean access_token?",
		"column expires_at is interval; it must be timestamptz",
		"column name appears twice",
		"column nonsense is not known; leave it out",
		"column 10 of the query has no name",
		"column scopes is integer[]",
		"column data is text; it must be json or jsonb. Cast it in the query: (...)::jsonb AS data",
		"column subject_type is boolean",
		"column access_token is missing",
		"column provider is missing",
	)
	var config *ConfigError
	if errors.As(err, &config) && len(config.Problems) != 13 {
		t.Errorf("got %d problems, want 13:\n%v", len(config.Problems), err)
	}
}

func TestOpen_TellsMissingColumns(t *testing.T) {
	db := newDatabase(t)
	for _, test := range []struct {
		query  string
		routes Routes
		want   []string // nil: none is missing
	}{
		{"SELECT 1 AS key, 'a' AS access_token, 'u' AS subject_id", slack, nil},
		{"SELECT 1 AS key, 'a' AS access_token, 'app' AS subject_type", slack, nil},
		{"SELECT 1 AS key, 'a' AS access_token", slack, []string{"column subject_id is missing"}},
		{"SELECT 1 AS x", slack, []string{"column key is missing", "column access_token is missing", "column subject_id is missing"}},
		{"SELECT 1 AS key, 'a' AS access_token, 'u' AS subject_id, 'c' AS connector", Routes{}, nil},
		{"SELECT 1 AS key, 'a' AS access_token, 'u' AS subject_id", Routes{}, []string{"column connector is missing"}},
		{"SELECT 1 AS key, 'a' AS access_token, 'u' AS subject_id, 'p' AS provider", Routes{ByProvider: map[string]string{"p": "c"}}, nil},
		{"SELECT 1 AS key, 'a' AS access_token, 'u' AS subject_id, 'c' AS connector", Routes{ByProvider: map[string]string{"p": "c"}}, nil},
		{"SELECT 1 AS key_2, 'a' AS access_token, 'u' AS subject_id", slack, []string{"column key is missing"}},
		{"SELECT", slack, []string{"column key is missing"}},
	} {
		r, err := Open(t.Context(), db.config(""), Options{Query: test.query, Routes: test.routes})
		if r != nil {
			r.Close()
		}
		if test.want == nil {
			if err != nil {
				t.Errorf("%s: got %v, want no error", test.query, err)
			}
			continue
		}
		wantConfigError(t, err, test.want...)
	}
}

func TestOpen_ChecksOptions(t *testing.T) {
	db := newDatabase(t)
	err := db.openError(Options{
		PageSize: -1, Shard: 3, Shards: 3, StatementTimeout: -time.Second, Environment: "staging",
		MissingExpiry: MissingExpiry{Default: -1, ByProvider: map[string]time.Duration{"p": -1}},
	})
	wantConfigError(t, err, "7 problems", "query: it is empty", "page size -1", "shard 3 of 3", "statement timeout -1s", `environment "staging"`, "missing expiry -1ns", "missing expiry of p")
}

func TestOpen_RefusesNondeterministicCollations(t *testing.T) {
	db := newDatabase(t)
	if _, err := db.Exec(t.Context(), `CREATE COLLATION "No Case" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`); err != nil {
		t.Skipf("this server was built without ICU: %v", err)
	}
	db.exec(`CREATE SCHEMA other; CREATE COLLATION other.hidden (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`CREATE TABLE t (a text COLLATE "No Case", b text COLLATE other.hidden, c text)`)
	const rest = ", 'a' AS access_token, 'u' AS subject_id FROM t"
	wantConfigError(t, db.openError(Options{Query: "SELECT a AS key, b AS key_2" + rest}),
		`column key has the nondeterministic collation public."No Case"`, `Write (...) COLLATE "C" AS key in the query`,
		"column key_2 has the nondeterministic collation other.hidden")
	wantConfigError(t, db.openError(Options{Query: `SELECT c COLLATE "No Case" AS key` + rest}), `column key has the nondeterministic collation public."No Case"`)
	// As the remedy says; and other columns may have any collation.
	db.open(Options{Query: `SELECT a COLLATE "C" AS key, b AS name, c AS key_2` + rest})
}

func TestOpen_TellsWhatARoleMayNotRead(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int)", "CREATE SCHEMA secret; CREATE TABLE secret.accounts (id int)")
	role := db.role("GRANT SELECT ON secret.accounts TO $ROLE")
	for query, want := range map[string]string{
		accounts: "permission denied for table accounts",
		strings.Replace(accounts, "FROM ", "FROM secret.", 1): "permission denied for schema secret",
	} {
		_, err := Open(t.Context(), db.config(role), Options{Query: query, Routes: slack})
		wantConfigError(t, err, "role "+role+" may not read the source", want, "SELECT on the tables")
	}
}

func TestReader_NeedsSelectAlone(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 5) AS id")
	role := db.role("GRANT SELECT ON accounts TO $ROLE", "ALTER ROLE $ROLE SET default_transaction_read_only = on")
	r := db.openAs(role, Options{Query: accounts, PageSize: 2})
	if err := r.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if rows, err := walkAll(t, r); err != nil || len(rows) != 5 {
		t.Errorf("got %d rows, %v, want 5", len(rows), err)
	}
	if _, err := r.Estimate(t.Context()); err != nil {
		t.Errorf("estimate: %v", err)
	}
}

func TestOpen_TellsHiddenRows(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 5) AS id",
		"ALTER TABLE accounts ENABLE ROW LEVEL SECURITY", "CREATE POLICY few ON accounts USING (id < 3)")
	role := db.role("GRANT SELECT ON accounts TO $ROLE")
	_, err := Open(t.Context(), db.config(role), Options{Query: accounts, Routes: slack})
	wantConfigError(t, err, "row-level security would hide rows from role "+role, "table \"accounts\"", "BYPASSRLS")

	// A policy that comes while the reader is open is found too.
	db.exec("ALTER TABLE accounts DISABLE ROW LEVEL SECURITY")
	r := db.openAs(role, Options{Query: accounts})
	db.exec("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY")
	_, err = r.Page(t.Context(), Cursor{})
	wantConfigError(t, err, "row-level security would hide rows")
	_, err = r.Rows(t.Context(), []string{"1"})
	wantConfigError(t, err, "row-level security would hide rows")

	db.exec("ALTER ROLE " + role + " BYPASSRLS")
	if rows, err := walkAll(t, r); err != nil || len(rows) != 5 {
		t.Errorf("with BYPASSRLS: got %d rows, %v, want 5", len(rows), err)
	}
}

func TestOpen_TellsConnectionTrouble(t *testing.T) {
	db := newDatabase(t)
	port := freePort(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		name   string
		change func(*pgx.ConnConfig)
		again  bool
		want   string
	}{
		{"refused", func(c *pgx.ConnConfig) { c.Port = port }, true, "connect to the source"},
		{"silent", func(c *pgx.ConnConfig) {
			c.Port, c.ConnectTimeout = uint16(silent.Addr().(*net.TCPAddr).Port), 200*time.Millisecond
		}, true, "connect to the source"},
		{"wrong password", func(c *pgx.ConnConfig) { c.Password = "Wr0ng-password" }, false, "password authentication failed"},
		{"no such database", func(c *pgx.ConnConfig) { c.Database = "nowhere" }, false, `database "nowhere" does not exist`},
	} {
		config := db.config("")
		test.change(config)
		r, err := Open(t.Context(), config, Options{Query: accounts, Routes: slack})
		if r != nil {
			r.Close()
		}
		if err == nil {
			t.Errorf("%s: got no error", test.name)
			continue
		}
		var permanent *ConfigError
		if got := pgerr.ClassOf(err) == pgerr.Again; got != test.again || errors.As(err, &permanent) == test.again {
			t.Errorf("%s: got %v (%T), want again %t", test.name, err, err, test.again)
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "Wr0ng") {
			t.Errorf("%s: got %q, want %q and no password", test.name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, db.config(""), Options{Query: accounts, Routes: slack}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want context.Canceled", err)
	}
}

func TestOpen_ToldInfoAndColumns(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int)")
	r := db.open(Options{Query: accounts})
	config, info := db.config(""), r.Info()
	if info.Host != config.Host || info.Port != config.Port || info.Database != config.Database || info.User != config.User ||
		info.InRecovery || info.VersionNumber < 100000 || info.ServerVersion == "" {
		t.Errorf("got %+v, want what the configuration says", info)
	}
	want := []Column{{"key", "integer"}, {"access_token", "text"}, {"subject_id", "text"}, {"expires_at", "integer"}}
	if got := r.Columns(); len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("got %v, want %v", got, want)
	}
}

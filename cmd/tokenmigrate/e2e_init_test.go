package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// known is a store as its product makes it, what init has to make of it, and
// what then has to arrive.
type known struct {
	name string
	sql  []string
	env  map[string]string
	// has and hasNot are parts of the configuration; told are parts of the summary.
	has, hasNot, told []string
	edit              []string          // pairs: what a person changes beside the connectors
	want              map[string]string // what arrives: subject to access token, connector first: "slack 7": "xoxb-..."
	counts            report.Counts
}

const authjsTable = `CREATE TABLE %s (id serial PRIMARY KEY, "userId" integer NOT NULL, type varchar(255) NOT NULL, provider varchar(255) NOT NULL,
	"providerAccountId" varchar(255) NOT NULL, refresh_token text, access_token text, expires_at bigint, id_token text, scope text, session_state text, token_type text)`

const betterAuthTable = `CREATE TABLE %s (id text PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL, "userId" text NOT NULL, "accessToken" text, "refreshToken" text,
	"idToken" text, "accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, scope text, password text, "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL)`

// addAuthjs is an account of the table that authjsTable makes.
func addAuthjs(table string, user int, provider, access, expires string) string {
	kind := "'oauth'"
	if access == "NULL" {
		kind = "'email'"
	}
	return fmt.Sprintf(`INSERT INTO %s ("userId", type, provider, "providerAccountId", access_token, refresh_token, expires_at, scope) VALUES (%d, %s, '%s', 'acc-%d', %s, 'refresh-%d', %s, 'a b')`,
		table, user, kind, provider, user, access, user, expires)
}

// addBetterAuth is an account of the table that betterAuthTable makes.
func addBetterAuth(table string, user int, provider, access, expires string) string {
	return fmt.Sprintf(`INSERT INTO %s VALUES ('k%d', 'acc-%d', '%s', '%d', %s, NULL, NULL, %s, NULL, 'a,b', NULL, now(), now())`, table, user, user, provider, user, access, expires)
}

const (
	authjsSoon       = "1893456000"
	betterAuthInLong = "now() + interval '90 days'"
)

// What Better Auth 1.7.25 made of two tokens.
const (
	bareSecret       = "Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE"
	bareToken        = "'d8ff342956a6490568ccd13f740fc5f6ee86f9ac2ac0be38f152931ae1e6b743269fa01d43aacf942414547b8621732453753ab408398fcb242971db'"
	barePlain        = "ya29.a0AfB_byC-one.x"
	versionedSecrets = "2:hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe, 1:Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE"
	versionedToken   = "'$ba$1$64beecb7cdf8efd261e1e68191c9ee505c45c956a94046b27a6cdaa59d5d769efec80a1871a4a202b22ae17736da971fa666a124959fc81c1938be'"
	versionedPlain   = "ya29.a0Ad52N3-V1old"
)

var knownStores = []known{
	{
		name: "Auth.js, pg adapter",
		sql: []string{fmt.Sprintf(authjsTable, "accounts"), addAuthjs("accounts", 1, "google", "'ya29.first-access'", authjsSoon), addAuthjs("accounts", 2, "github", "'gho_second-access'", "NULL"),
			addAuthjs("accounts", 3, "github", "'gho_third-access'", authjsSoon), addAuthjs("accounts", 4, "email", "NULL", "NULL")},
		has:    []string{"store: authjs\n", "google: scl_REPLACE_ME   # 1 token\n", "github: scl_REPLACE_ME   # 2 tokens, 1 without expiry\n", "    github: 3650d   # 1 token\n    default: reject", "# email needs none: 0 tokens, 1 left out"},
		hasNot: []string{"params:", "decrypt"},
		told:   []string{"Postgres adapter, table public.accounts", "3 tokens in 4 rows", "not_oauth", "never updates it"},
		want:   map[string]string{"scl_google 1": "ya29.first-access", "scl_github 2": "gho_second-access", "scl_github 3": "gho_third-access"},
		counts: report.Counts{Read: 4, Imported: 3, Skipped: 1},
	},
	{
		name: "Auth.js in a renamed table of a schema of its own",
		sql: []string{`CREATE SCHEMA "My App"`, fmt.Sprintf(authjsTable, `"My App"."Linked: accounts"`),
			addAuthjs(`"My App"."Linked: accounts"`, 1, "google", "'ya29.first-access'", authjsSoon)},
		has:    []string{"store: authjs\n", "params:\n", `    table: "\"My App\".\"Linked: accounts\""`},
		want:   map[string]string{"scl_google 1": "ya29.first-access"},
		counts: report.Counts{Read: 1, Imported: 1},
	},
	{
		name: "Better Auth, plain",
		sql: []string{fmt.Sprintf(betterAuthTable, "account"), addBetterAuth("account", 1, "google", "'ya29.first-access'", betterAuthInLong), addBetterAuth("account", 2, "slack", "'xoxb-second-access'", "NULL"),
			addBetterAuth("account", 3, "credential", "NULL", "NULL")},
		has:    []string{"store: better-auth\n", "  # decrypt:\n", "  #   secret: ${BETTER_AUTH_SECRET}", "slack: 3650d"},
		hasNot: []string{"params:"},
		told:   []string{"built-in migrator (Kysely)", "2 tokens in 3 rows", "values are not encrypted in the 3 rows looked at", "password_login"},
		want:   map[string]string{"scl_google 1": "ya29.first-access", "scl_slack 2": "xoxb-second-access"},
		counts: report.Counts{Read: 3, Imported: 2, Skipped: 1},
	},
	{
		name:   "Better Auth, encrypted under versioned secrets, and plain before",
		sql:    []string{fmt.Sprintf(betterAuthTable, "account"), addBetterAuth("account", 1, "google", "'ya29.first-access'", betterAuthInLong), addBetterAuth("account", 2, "google", versionedToken, betterAuthInLong)},
		env:    map[string]string{"BETTER_AUTH_SECRETS": versionedSecrets},
		has:    []string{"  decrypt:\n    secrets: ${BETTER_AUTH_SECRETS}", "    # secret: ${BETTER_AUTH_SECRET}"},
		hasNot: []string{"\n    secret: "},
		told:   []string{"encrypted in 1 of 2 rows looked at, and stand in the clear in others", "BETTER_AUTH_SECRETS, VERCEL_TOKEN"},
		want:   map[string]string{"scl_google 1": "ya29.first-access", "scl_google 2": versionedPlain},
		counts: report.Counts{Read: 2, Imported: 2},
	},
	{
		name:   "Better Auth, encrypted, in a renamed table",
		sql:    []string{fmt.Sprintf(betterAuthTable, "oauth_links"), addBetterAuth("oauth_links", 1, "google", bareToken, betterAuthInLong)},
		env:    map[string]string{"BETTER_AUTH_SECRET": bareSecret},
		has:    []string{"    table: oauth_links\n", "  decrypt:\n    secret: ${BETTER_AUTH_SECRET}", "    # secrets: ${BETTER_AUTH_SECRETS}"},
		want:   map[string]string{"scl_google 1": barePlain},
		counts: report.Counts{Read: 1, Imported: 1},
	},
	{
		name: "several stores in one database, and a view of one",
		sql: []string{fmt.Sprintf(betterAuthTable, "account"), addBetterAuth("account", 1, "google", "'ya29.first-access'", betterAuthInLong), addBetterAuth("account", 2, "google", "'ya29.second-access'", betterAuthInLong),
			`CREATE VIEW a_view AS SELECT * FROM account`,
			fmt.Sprintf(authjsTable, "accounts"), addAuthjs("accounts", 1, "google", "'ya29.old-access'", authjsSoon)},
		has:    []string{"store: better-auth\n", "  params:\n    table: account\n", "# store: authjs", "#   table: a_view"},
		told:   []string{"it takes a migration of its own, which `tokenmigrate init --store authjs --table accounts` writes"},
		want:   map[string]string{"scl_google 1": "ya29.first-access", "scl_google 2": "ya29.second-access"},
		counts: report.Counts{Read: 2, Imported: 2},
	},
	{
		name: "odd names of providers",
		sql: []string{fmt.Sprintf(authjsTable, "accounts"), addAuthjs("accounts", 1, "a: b # c", "'ya29.first-access'", authjsSoon), addAuthjs("accounts", 2, "${HOME}", "'ya29.second-access'", authjsSoon),
			addAuthjs("accounts", 3, "no", "'ya29.third-access'", authjsSoon), addAuthjs("accounts", 4, "x\ny: ä", "'ya29.fourth-access'", authjsSoon)},
		has:    []string{`"a: b # c": scl_REPLACE_ME`, `"${HOME}": scl_REPLACE_ME`, `"no": scl_REPLACE_ME`, `"x\ny: ä": scl_REPLACE_ME`},
		edit:   []string{"scl_REPLACE_ME", "scl_all"},
		want:   map[string]string{"scl_all 1": "ya29.first-access", "scl_all 2": "ya29.second-access", "scl_all 3": "ya29.third-access", "scl_all 4": "ya29.fourth-access"},
		counts: report.Counts{Read: 4, Imported: 4},
	},
	{
		name: "Better Auth with a renamed column",
		sql: []string{fmt.Sprintf(betterAuthTable, "account"), `ALTER TABLE account RENAME "accessToken" TO x_accesstoken`,
			addBetterAuth("account", 1, "google", "'ya29.first-access'", betterAuthInLong), addBetterAuth("account", 2, "slack", "'xoxb-second-access'", betterAuthInLong)},
		has:    []string{"store: better-auth\n  params:\n    table: account\n    access_token: x_accesstoken\n"},
		told:   []string{"it looks like better-auth, except accessToken"},
		want:   map[string]string{"scl_google 1": "ya29.first-access", "scl_slack 2": "xoxb-second-access"},
		counts: report.Counts{Read: 2, Imported: 2},
	},
	{
		name: "a table of one's own, encrypted",
		sql: []string{`CREATE TABLE integrations (id int PRIMARY KEY, user_id int, provider text, access_token_enc text, expires_at timestamptz)`,
			`INSERT INTO integrations VALUES (1, 7, 'slack', '` + homemade("xoxb-first-access") + `', now() + interval '1 year')`},
		env:    map[string]string{"ENCRYPTION_KEY": homemadeKey},
		has:    []string{"  store: node-aes\n  params:\n    table: integrations\n  decrypt:\n    encryption_key: ${ENCRYPTION_KEY}", "# `tokenmigrate stores node-aes`"},
		hasNot: []string{"query:"},
		told:   []string{"! its values are taken to be encrypted: in 1 of 1 rows looked at", "CHECKPOINT_DATABASE_URL"},
		want:   map[string]string{"scl_slack 7": "xoxb-first-access"},
		counts: report.Counts{Read: 1, Imported: 1},
	},
	{
		name: "a table without a provider",
		sql: []string{`CREATE TABLE slack_grants (id uuid PRIMARY KEY, user_id text NOT NULL, access_token text NOT NULL, refresh_token text, expires_at bigint)`,
			`INSERT INTO slack_grants VALUES (gen_random_uuid(), 'u1', 'xoxb-first-access', 'r', 1893456000000)`},
		has:    []string{"connector: scl_REPLACE_ME   # 1 token", "missing_expiry: reject"},
		want:   map[string]string{"scl_connector u1": "xoxb-first-access"},
		counts: report.Counts{Read: 1, Imported: 1},
	},
	{
		name: "a table that nobody knows",
		sql: []string{`CREATE TABLE sessions (id text PRIMARY KEY, token text NOT NULL, user_id text NOT NULL, expires_at timestamptz)`,
			`CREATE TABLE hook_grants (grant_no bigint PRIMARY KEY, vendor text, owner_id uuid NOT NULL, vendor_access_token text NOT NULL, vendor_refresh_token text, token_expiry timestamptz, granted_scopes text[])`,
			`INSERT INTO hook_grants VALUES (7, 'slack', '00000000-0000-4000-8000-000000000001', 'xoxb-first-access', NULL, now() + interval '1 year', '{a,b}')`},
		has:    []string{"query: |\n    SELECT grant_no AS key,\n", "vendor AS provider", "vendor_access_token AS access_token", "slack: scl_REPLACE_ME   # 1 token"},
		hasNot: []string{"store:", "sessions"},
		told:   []string{"public.hook_grants", "No known store was recognised"},
		want:   map[string]string{"scl_slack 00000000-0000-4000-8000-000000000001": "xoxb-first-access"},
		counts: report.Counts{Read: 1, Imported: 1},
	},
}

const homemadeKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// homemade encrypts a token as the example of Node's documentation does: AES-256-GCM,
// hexadecimal, iv:tag:ciphertext.
func homemade(token string) string {
	key, _ := hex.DecodeString(homemadeKey)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	iv := make([]byte, gcm.NonceSize())
	sealed := gcm.Seal(nil, iv, []byte(token), nil)
	at := len(sealed) - gcm.Overhead()
	return fmt.Sprintf("%x:%x:%x", iv, sealed[at:], sealed[:at])
}

// What init writes is accepted as it is but for the connectors, and then migrates
// every token.
func TestInit_ToTheLastToken(t *testing.T) {
	t.Parallel()
	atOnce(t, 3, knownStores, func(k known) string { return k.name }, func(t *testing.T, k known) {
		r := newRig(t, sandbox.Options{})
		for _, sql := range k.sql {
			r.exec(sql)
		}
		for name, value := range k.env {
			r.env[name] = value
		}
		p := r.plainly(nil, "init")
		if p.code != 0 {
			t.Fatalf("init: exit code: got %d, want 0\n%s%s", p.code, p.stdout, p.stderr)
		}
		for _, part := range k.has {
			if !strings.Contains(p.stdout, part) {
				t.Errorf("the configuration: got no %q", part)
			}
		}
		for _, part := range k.hasNot {
			if strings.Contains(p.stdout, part) {
				t.Errorf("the configuration: got a %q", part)
			}
		}
		for _, part := range k.told {
			if !strings.Contains(p.stderr, part) {
				t.Errorf("the summary: got no %q", part)
			}
		}
		for _, access := range k.want {
			if strings.Contains(p.stdout+p.stderr, access) {
				t.Errorf("init printed the token %s", access)
			}
		}
		if t.Failed() {
			t.Logf("%s--- stderr\n%s", p.stdout, p.stderr)
		}
		file := r.keep(p.stdout)
		if p := r.plainly(nil, "dry-run", "-c", file); p.code != 78 || !strings.Contains(p.stderr, "not filled in yet") {
			t.Errorf("dry-run before it is filled in: got exit code %d, want 78 and why\n%s", p.code, p.stderr)
		}
		file = r.keep(r.fillIn(p.stdout, k.edit...))
		if p := r.plainly(nil, "dry-run", "-c", file); p.code != 0 {
			t.Fatalf("dry-run: exit code: got %d, want 0\n%s%s", p.code, p.stdout, p.stderr)
		}
		if p := r.plainly(nil, "check", "-c", file); p.code != 0 {
			t.Errorf("check: exit code: got %d, want 0\n%s%s", p.code, p.stdout, p.stderr)
		}
		ran := r.plainly(nil, "run", "-c", file, "--report", file+".json")
		if ran.code != 0 {
			t.Fatalf("run: exit code: got %d, want 0\n%s%s", ran.code, ran.stdout, ran.stderr)
		}
		r.checkCopies(k.want)
		p2 := &process{rig: r, name: "run", report: file + ".json"}
		p2.checkCounts(k.counts)
	})
}

// plain is a command that ran to its end.
type plain struct {
	code           int
	stdout, stderr string
}

// plainly runs a command as it is given: without the rig's configuration.
func (r *rig) plainly(env []string, args ...string) plain {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), processLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path(r.T), args...)
	cmd.Env = bareEnvironment()
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		r.Fatal(err)
	}
	return plain{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// keep writes a configuration to a file and returns its path.
func (r *rig) keep(text string) string {
	r.Helper()
	f, err := os.CreateTemp(r.folder, "init-*.yaml")
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		r.Fatal(err)
	}
	return filepath.Join(f.Name())
}

// fillIn does what a person does with a starter configuration: each provider gets
// the connector scl_PROVIDER, and here the destination is the stand-in endpoint.
func (r *rig) fillIn(text string, edit ...string) string {
	text = strings.Replace(text, "https://api.vercel.com", r.conf["destination.url"], 1)
	text = strings.NewReplacer(edit...).Replace(text)
	var out strings.Builder
	for line := range strings.Lines(text) {
		provider, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		out.WriteString(strings.Replace(line, "scl_"+replaceMe, "scl_"+provider, 1))
	}
	return out.String() + "send:\n  requests_per_minute: 1000000\n"
}

// checkCopies wants the endpoint to have these tokens, and no other.
func (r *rig) checkCopies(want map[string]string) {
	r.Helper()
	got := r.endpoint.Audit().Imported
	if len(got) != len(want) {
		r.Errorf("the endpoint has %d tokens, want %d", len(got), len(want))
	}
	for id, held := range got {
		name := id.Connector + " " + id.Subject.ID
		if access, ok := want[name]; !ok {
			r.Errorf("the endpoint has a token of %s, want it not to", name)
		} else if held.AccessTokenSHA256 != sha256.Sum256([]byte(access)) {
			r.Errorf("%s: the endpoint has another token than the store", name)
		}
	}
}

// What init cannot do is told in a sentence, and nothing is written.
func TestInit_TellsWhatCannotBe(t *testing.T) {
	t.Parallel()
	const password = "hunter2-correct-horse"
	type refusal struct {
		name string
		sql  string
		args []string
		env  []string
		code int
		says []string
	}
	cases := []refusal{
		{name: "an empty database", code: 78, says: []string{"has no tables", "right database"}},
		{name: "no tokens at all", sql: `CREATE TABLE todo (id int PRIMARY KEY, text text)`, code: 78, says: []string{"of the 1 table", "none looks like"}},
		{name: "no database", env: []string{"SOURCE_DATABASE_URL="}, code: 78, says: []string{"set SOURCE_DATABASE_URL", "--url"}},
		{name: "a password in a URL", args: []string{"--url", "postgres://app:" + password + "@localhost/db"}, code: 78, says: []string{"--url holds a password", "PGPASSWORD"}},
		{name: "a password in a query", args: []string{"--url", "postgres://app@localhost/db?password=" + password}, code: 78, says: []string{"--url holds a password"}},
		{name: "a password in a keyword string", args: []string{"--url=host=localhost password = '" + password + "'"}, code: 78, says: []string{"--url holds a password"}},
		{name: "a password in the flag's variable", env: []string{"TOKENMIGRATE_URL=postgres://app:" + password + "@localhost/db"}, code: 78, says: []string{"TOKENMIGRATE_URL holds a password", "for --url"}},
		{name: "a broken URL with a password", args: []string{"--url", "postgres://app:" + password + "@@localhost:x/db"}, code: 78, says: []string{"--url"}},
		{name: "a URL as argument", args: []string{"postgres://app:" + password + "@localhost/db"}, code: 78, says: []string{"takes no arguments"}},
		{name: "no sslmode", args: []string{"--url", "postgres://app@db.example.com/db"}, code: 78, says: []string{"--url has no sslmode"}},
		{name: "a database that is away", args: []string{"--url", "postgres://app@127.0.0.1:1/db"}, code: 5, says: []string{"connect to the source", "correct host and port in the connection string"}},
	}
	atOnce(t, 4, cases, func(c refusal) string { return c.name }, func(t *testing.T, c refusal) {
		r := newRig(t, sandbox.Options{})
		if c.sql != "" {
			r.exec(c.sql)
		}
		p := r.plainly(c.env, append([]string{"init"}, c.args...)...)
		if p.code != c.code || p.stdout != "" {
			t.Errorf("got exit code %d and %q on stdout, want %d and nothing", p.code, p.stdout, c.code)
		}
		for _, want := range c.says {
			if !strings.Contains(p.stderr, want) {
				t.Errorf("stderr does not say %q\n%s", want, p.stderr)
			}
		}
		if strings.Contains(p.stderr, password) || strings.Contains(p.stderr, "hunter2") {
			t.Errorf("the password is told\n%s", p.stderr)
		}
	})
}

// A role without privileges learns what to grant, and gets its configuration all
// the same: the catalogue is open to everybody.
func TestInit_WithoutPrivileges(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(authjsTable, "accounts"))
	r.exec(addAuthjs("accounts", 1, "google", "'ya29.first-access'", authjsSoon))
	r.exec(`CREATE TABLE grants (id int PRIMARY KEY, access_token text, refresh_token text, provider text, user_id int)`)
	role, password := r.onlySelect()
	r.exec(`REVOKE SELECT ON accounts FROM ` + role)
	owner := r.env["SOURCE_DATABASE_URL"]
	r.env["SOURCE_DATABASE_URL"] = asRole(owner, role, password)
	p := r.plainly(nil, "init")
	if p.code != 0 || !strings.Contains(p.stdout, "store: authjs\n") {
		t.Errorf("got exit code %d, want 0 and a configuration of Auth.js\n%s%s", p.code, p.stdout, p.stderr)
	}
	grant := "GRANT USAGE ON SCHEMA public TO " + role + "; GRANT SELECT ON public.accounts TO " + role
	for _, want := range []string{"may not read table public.accounts", grant, "public.grants", "GRANT SELECT ON public.grants", "grant what is told above for public.accounts, and run init again"} {
		if !strings.Contains(p.stderr, want) {
			t.Errorf("the summary: got no %q\n%s", want, p.stderr)
		}
	}
	// The password from elsewhere than the URL, after the grant.
	r.exec(grant)
	conf, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	dsn := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s", role, conf.Port, conf.Database)
	p = r.plainly([]string{"PGPASSWORD=" + password, "SOURCE_DATABASE_URL="}, "init", "--url", dsn)
	if p.code != 0 || !strings.Contains(p.stdout, "google: scl_REPLACE_ME   # 1 token\n") {
		t.Errorf("with --url: got exit code %d, want 0 and Google\n%s%s", p.code, p.stdout, p.stderr)
	}
}

// A role that may read some columns only learns which table it is about.
func TestInit_SomeColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(authjsTable, "accounts"))
	role, password := r.onlySelect()
	r.exec(`REVOKE SELECT ON accounts FROM ` + role + `; GRANT SELECT (id, provider) ON accounts TO ` + role)
	r.env["SOURCE_DATABASE_URL"] = asRole(r.env["SOURCE_DATABASE_URL"], role, password)
	p := r.plainly(nil, "init")
	if p.code != 0 || !strings.Contains(p.stdout, "store: authjs") || !strings.Contains(p.stderr, "GRANT SELECT ON public.accounts TO "+role) {
		t.Errorf("got exit code %d, want 0, Auth.js, and what to grant\n%s%s", p.code, p.stdout, p.stderr)
	}
}

// A store without rows is recognised, and its configuration runs.
func TestInit_EmptyStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(betterAuthTable, "account"))
	p := r.plainly(nil, "init")
	if p.code != 0 || !strings.Contains(p.stderr, "0 tokens in 0 rows") || !strings.Contains(p.stdout, "    slack: scl_REPLACE_ME") {
		t.Fatalf("got exit code %d, want 0, no tokens, and where connectors go\n%s%s", p.code, p.stdout, p.stderr)
	}
	if dry := r.plainly(nil, "dry-run", "-c", r.keep(r.fillIn(p.stdout))); dry.code != 0 {
		t.Errorf("dry-run: exit code: got %d, want 0\n%s%s", dry.code, dry.stdout, dry.stderr)
	}
}

// Rows that a policy hides are not counted as if they were all.
func TestInit_HiddenRows(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(authjsTable, "accounts"))
	r.exec(addAuthjs("accounts", 1, "google", "'ya29.first-access'", authjsSoon))
	r.exec(`ALTER TABLE accounts ENABLE ROW LEVEL SECURITY`)
	role, password := r.onlySelect()
	r.env["SOURCE_DATABASE_URL"] = asRole(r.env["SOURCE_DATABASE_URL"], role, password)
	p := r.plainly(nil, "init")
	if p.code != 0 || !strings.Contains(p.stdout, "store: authjs") || !strings.Contains(p.stderr, "row-level security") {
		t.Errorf("got exit code %d, want 0, Auth.js, and a word of row-level security\n%s%s", p.code, p.stdout, p.stderr)
	}
}

// Of several stores in one database any can be had.
func TestInit_Chosen(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(fmt.Sprintf(betterAuthTable, "account"))
	r.exec(addBetterAuth("account", 1, "google", "'ya29.first-access'", betterAuthInLong))
	r.exec(fmt.Sprintf(authjsTable, "accounts"))
	r.exec(`CREATE TABLE sync (id int PRIMARY KEY, user_id int, access_token text, refresh_token text)`)
	for _, c := range []struct {
		args []string
		code int
		has  string
	}{
		{nil, 0, "\n  store: better-auth\n"},
		{[]string{"--store", "authjs"}, 0, "\n  store: authjs\n"},
		{[]string{"--table", "accounts"}, 0, "\n  store: authjs\n"},
		{[]string{"--table", "sync"}, 0, "\n  query: |\n"},
		{[]string{"--table", "sync", "--store", "node-aes"}, 0, "\n  store: node-aes\n  params:\n    table: sync\n"},
		{[]string{"--table", "snc"}, 78, "no table is called snc"},
		{[]string{"--store", "n8n"}, 78, "no table looks like one of store n8n"},
		{[]string{"--store", "authj"}, 78, "did you mean authjs?"},
	} {
		p := r.plainly(nil, append([]string{"init"}, c.args...)...)
		if text := p.stdout; p.code != c.code || !strings.Contains(text+p.stderr, c.has) || (text == "") != (c.code != 0) {
			t.Errorf("init %v: got exit code %d, want %d and %q\n%s%s", c.args, p.code, c.code, c.has, p.stdout, p.stderr)
		}
	}
}

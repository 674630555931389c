package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg/bouncer"
	"tokenmigrate/migrate/connect/sandbox"
)

// checked is what one command said; Version, OK and Checks are of check --json.
type checked struct {
	code           int
	stdout, stderr string
	Version        int
	OK             bool
	Checks         []finding
}

// command runs a command with the rig's configuration in this process.
func (r *rig) command(args ...string) *checked {
	r.Helper()
	return r.inProcess(append(args, "-c", r.file())...)
}

// inProcess runs a command in this process, without a configuration.
func (r *rig) inProcess(args ...string) *checked {
	r.Helper()
	var stdout, stderr bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := r.env[name]; return v, ok }
	c := &checked{code: run(r.Context(), r.Context(), args, getenv, &stdout, &stderr)}
	c.stdout, c.stderr = stdout.String(), stderr.String()
	return c
}

// checkup runs check --json and wants its exit code. Whatever it finds, it must
// tell no secret, write nothing and make no import call.
func (r *rig) checkup(code int) *checked {
	r.Helper()
	before, posts := r.hasCheckpoint(), r.posts()
	c := r.command("check", "--json")
	if err := json.Unmarshal([]byte(c.stdout), c); err != nil || c.Version != 1 {
		r.Fatalf("not the JSON of version 1: %v\n%s%s", err, c.stdout, c.stderr)
	}
	if c.code != code || c.OK != (code == 0) {
		r.Errorf("exit code: got %d (ok %t), want %d\n%s%s", c.code, c.OK, code, c.stdout, c.stderr)
	}
	if r.hasCheckpoint() != before || r.posts() != posts {
		r.Errorf("it has made tables or a call")
	}
	r.keepsSecrets(c)
	return c
}

// posts counts the import calls that the endpoint saw.
func (r *rig) posts() (n int) {
	for _, call := range r.endpoint.Audit().Calls {
		if call.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// filledToken is any part of a token of fill that would tell it from others.
var filledToken = regexp.MustCompile(`(access|refresh)-[0-9]+-[0-9a-f]{4}`)

func (r *rig) keepsSecrets(c *checked) {
	r.Helper()
	said := c.stdout + c.stderr
	if got := filledToken.FindString(said); got != "" {
		r.Errorf("it tells the token %s\n%s", got, said)
	}
	secrets := canaries{}
	for name, value := range r.env {
		if u, err := url.Parse(value); err == nil && u.User != nil {
			value, _ = u.User.Password()
		}
		if len(value) >= 8 {
			secrets[name] = value
		}
	}
	secrets.search(r.T, "the output", said)
}

// wants says which finding a check must have. Text and Remedy are parts of it.
type wants finding

// has fails unless the findings have these.
func (c *checked) has(t *testing.T, list ...wants) {
	t.Helper()
	for _, want := range list {
		if !slices.ContainsFunc(c.Checks, func(f finding) bool {
			return f.Group == want.Group && f.Name == want.Name && f.Status == want.Status &&
				strings.Contains(f.Text, want.Text) && strings.Contains(f.Remedy, want.Remedy)
		}) {
			t.Errorf("no check %s of %s is %s and says %q and %q\n%s", want.Name, want.Group, want.Status, want.Text, want.Remedy, c.stdout)
		}
	}
}

// hasGroups fails unless each of these groups has a check, and one that is ok.
func (c *checked) hasGroups(t *testing.T, groups ...string) {
	t.Helper()
	for _, group := range groups {
		if !slices.ContainsFunc(c.Checks, func(f finding) bool { return f.Group == group && f.Status == statusOK }) {
			t.Errorf("nothing of %s is ok\n%s", group, c.stdout)
		}
	}
}

// goodCheck is what check says where all is well, but for what differs from
// place to place.
const goodCheck = `configuration
  ok       CONFIG can be used: migration acme

source database
  ok       SERVER answers: database DATABASE, role ROLE
  ok       Postgres VERSION
  ok       no TLS, and none is needed: the connection does not leave this machine
  ok       a primary
  ok       no pooler in between
  ok       N of the server's N connections are free
  ok       role ROLE may read all that the query reads

reading
  ok       key bigint, provider text, access_token text, refresh_token text, expires_at timestamp with time zone, subject_id text, scopes text, name text
  ok       about 3 rows by the planner's statistics: so few may be sorted for each page

keys
  ok       no row's key is NULL
  ok       no key of the first 3 rows looks like a credential or an e-mail address

sample
  ok       of the first 3 rows by key 2 can be sent, 1 skipped excluded
  ok       key "1", provider "slack", to "slack/acme", production, subject user, access token of 41 characters, refresh token of 42 characters, expires 2050-01-02T03:04:05Z, scopes: 2, with subject_id name
  ok       key "2", provider "slack", to "slack/acme", production, subject user, access token of 41 characters, expires 2050-01-02T03:04:05Z, scopes: 2, with subject_id name
  ok       key "3": skipped excluded: provider "google" is left out by the configuration

checkpoint database
  ok       SERVER answers: database DATABASE, role ROLE
  ok       Postgres VERSION
  ok       no TLS, and none is needed: the connection does not leave this machine
  ok       a primary that takes writes
  ok       no pooler in between
  ok       N of the server's N connections are free
  ok       there are no tables in schema tokenmigrate yet; the first run makes them
  ok       the role may make the tables

endpoint
  ok       SERVER answers, without TLS, which is for this machine alone
  ok       team_id team_acme
  ok       the endpoint accepts the credential
  ok       connector slack/acme is known (scl_ID)

28 checks: 28 ok, 0 warnings, 0 failed
`

func TestCheck_TellsThatAllIsWell(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3).with("destination.connector", "", "destination.connectors", "{slack: slack/acme, google: skip}", "send.requests_per_minute", "")
	r.exec(`UPDATE accounts SET expires = '2050-01-02 03:04:05Z'`)
	r.exec(`UPDATE accounts SET refresh = NULL WHERE id = 2`)
	r.with("source.query", fmt.Sprintf("%q", `SELECT id AS key, CASE id WHEN 3 THEN 'google' ELSE 'slack' END AS provider, access AS access_token, refresh AS refresh_token,
		expires AS expires_at, subject AS subject_id, 'a:read a:write' AS scopes, 'n' AS name FROM accounts`))
	c := r.command("check")
	got := regexp.MustCompile(`\S+\.yaml`).ReplaceAllString(c.stdout, "CONFIG")
	for _, place := range [][2]string{
		{`127\.0\.0\.1:[0-9]+`, "SERVER"}, {`role ` + r.db.Config().User, "role ROLE"}, {`database ` + r.db.Config().Database, "database DATABASE"}, {`Postgres [0-9].*`, "Postgres VERSION"},
		{`[0-9]+ of the server's [0-9]+`, "N of the server's N"}, {`scl_[0-9a-f]+`, "scl_ID"},
	} {
		got = regexp.MustCompile(place[0]).ReplaceAllString(got, place[1])
	}
	if c.code != 0 || got != goodCheck || c.stderr != "" {
		t.Errorf("exit code %d, stderr %q, got\n%s\nwant\n%s", c.code, c.stderr, got, goodCheck)
	}
	r.keepsSecrets(c)
	r.checkup(0)
	if r.hasCheckpoint() || r.posts() > 0 {
		t.Error("it has made tables, or a call")
	}
}

// Connectors that init left to be filled in are not one connector.
func TestCheck_OfADraft(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1).with("destination.connector", "", "destination.connectors", "{slack: scl_REPLACE_ME, github: scl_REPLACE_ME}")
	c := r.command("check")
	if c.code != 78 || strings.Count(c.stdout, "is not filled in yet") != 2 || strings.Contains(c.stdout+c.stderr, "is the connector of") {
		t.Errorf("exit code %d, want 78, two connectors to be filled in, and no word of one that is shared\n%s%s", c.code, c.stdout, c.stderr)
	}
}

// Each thing that may be wrong is told, with its remedy, and the rest is looked
// at all the same.
func TestCheck_TellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	role := func(r *rig, variable string, sql ...string) string {
		name, password := r.onlySelect()
		for _, text := range sql {
			r.exec(strings.ReplaceAll(text, "ROLE$", name))
		}
		r.env[variable] = asRole(r.env[variable], name, password)
		return name
	}
	const sourceURL, checkpointURL = "SOURCE_DATABASE_URL", "CHECKPOINT_DATABASE_URL"
	query := func(from, to string) []string {
		return []string{"source.query", fmt.Sprintf("%q", strings.Replace(storeQuery, from, to, 1))}
	}
	migrated := func(r *rig) {
		r.Helper()
		if c := r.command("run"); c.code != 0 {
			r.Fatalf("run: %d\n%s", c.code, c.stderr)
		}
	}
	cases := []struct {
		name  string
		o     sandbox.Options
		conf  []string
		spoil func(*rig)
		code  int
		want  []wants
		well  []string // groups that are looked at nevertheless
	}{
		{name: "wrong password", spoil: func(r *rig) { r.env[sourceURL] = asRole(r.env[sourceURL], "postgres", "wrong-pass-4711") }, code: 78,
			want: []wants{{Group: groupSource, Name: "reachable", Status: statusFailed, Text: "password authentication failed", Remedy: "source.password"}},
			well: []string{groupConfiguration, groupCheckpoint, groupEndpoint}},
		{name: "no such database", spoil: func(r *rig) { r.env[checkpointURL] = strings.Replace(r.env[checkpointURL], "/t_", "/nowhere_", 1) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "reachable", Status: statusFailed, Text: "does not exist", Remedy: "database's name"}},
			well: []string{groupSource, groupReading, groupKeys, groupSample, groupEndpoint}},
		{name: "source away", spoil: func(r *rig) {
			r.env[sourceURL] = "postgres://u:password4711@" + deadAddress(r) + "/db?sslmode=disable"
		}, code: 5,
			want: []wants{{Group: groupSource, Name: "reachable", Status: statusFailed, Remedy: "start the server"}}, well: []string{groupCheckpoint, groupEndpoint}},
		{name: "endpoint away", spoil: func(r *rig) { r.with("destination.url", "http://"+deadAddress(r)) }, code: 5,
			want: []wants{{Group: groupEndpoint, Name: "reachable", Status: statusFailed, Remedy: "destination.url"}}, well: []string{groupSample, groupCheckpoint}},
		{name: "one away, another wrong", spoil: func(r *rig) {
			r.with("destination.url", "http://"+deadAddress(r))
			r.env[sourceURL] = asRole(r.env[sourceURL], "postgres", "wrong-pass-4711")
		}, code: 78},
		{name: "no credential", spoil: func(r *rig) { delete(r.env, "VERCEL_TOKEN") }, code: 78,
			want: []wants{{Group: groupEndpoint, Name: "credential", Status: statusFailed, Text: "VERCEL_TOKEN is not set", Remedy: "set it"},
				{Group: groupEndpoint, Name: "reachable", Status: statusOK}},
			well: []string{groupSource, groupReading, groupKeys, groupSample, groupCheckpoint}},
		{name: "a key that is not known", conf: []string{"source.pagesize", "5"}, code: 78,
			want: []wants{{Group: groupConfiguration, Name: "configuration", Status: statusFailed, Text: "unknown key", Remedy: "page_size"}}, well: []string{groupSource, groupCheckpoint, groupEndpoint}},
		{name: "no privilege on the table", spoil: func(r *rig) { role(r, sourceURL, `REVOKE SELECT ON accounts FROM ROLE$`) }, code: 78,
			want: []wants{{Group: groupSource, Name: "privileges", Status: statusFailed, Text: "may not read the source", Remedy: "SELECT on the tables"}}, well: []string{groupSource, groupCheckpoint, groupEndpoint}},
		{name: "row level security", spoil: func(r *rig) { role(r, sourceURL, `ALTER TABLE accounts ENABLE ROW LEVEL SECURITY`) }, code: 78,
			want: []wants{{Group: groupSource, Name: "privileges", Status: statusFailed, Text: "row-level security would hide rows", Remedy: "BYPASSRLS"}}},
		{name: "a column that is not known", conf: query("subject AS subject_id", "subject AS subjectid"), code: 78,
			want: []wants{{Group: groupReading, Name: "query", Status: statusFailed, Text: "column subjectid is not known", Remedy: "did you mean subject_id"},
				{Group: groupReading, Name: "query", Status: statusFailed, Text: "column subject_id is missing"}}},
		{name: "NULL keys", spoil: func(r *rig) {
			r.exec(`ALTER TABLE accounts DROP CONSTRAINT accounts_pkey, ALTER id DROP NOT NULL`)
			r.exec(`UPDATE accounts SET id = NULL WHERE id < 3`)
		}, code: 78, want: []wants{{Group: groupKeys, Name: "null_keys", Status: statusFailed, Text: "key is NULL in 2 rows", Remedy: "Choose a column"}}},
		{name: "many rows without an index", spoil: func(r *rig) {
			r.exec(`ALTER TABLE accounts DROP CONSTRAINT accounts_pkey`)
			r.add(100, 60_100)
			r.exec(`ANALYZE accounts`)
		}, want: []wants{{Group: groupReading, Name: "paging", Status: statusWarning, Text: "would sort", Remedy: "CREATE INDEX CONCURRENTLY ON public.accounts (id)"}}},
		{name: "many rows by an expression", conf: query("id AS", "'my secret literal' || id AS"), spoil: func(r *rig) {
			r.add(100, 60_100)
			r.exec(`ANALYZE accounts`)
		}, want: []wants{{Group: groupReading, Name: "paging", Status: statusWarning, Text: "would sort", Remedy: "that the query calls key"}}},
		{name: "many rows with an index", spoil: func(r *rig) {
			r.add(100, 60_100)
			r.exec(`ANALYZE accounts`)
		}, want: []wants{{Group: groupReading, Name: "paging", Status: statusOK, Text: "an index gives them"}}},
		{name: "keys that are e-mail addresses", conf: query("id AS", "'ann' || id || '@example.com' AS"),
			want: []wants{{Group: groupKeys, Name: "key_privacy", Status: statusWarning, Text: "the keys of 20 of the first 20 rows look like an e-mail address", Remedy: "table's own id"},
				{Group: groupSample, Name: "row", Status: statusOK, Text: "key (an e-mail address, 17 characters)"}}},
		{name: "keys that are tokens", conf: query("id AS", "access AS"), code: 78,
			want: []wants{{Group: groupSample, Name: "sample", Status: statusFailed, Text: "holds the rows' tokens themselves", Remedy: "table's own id"}}},
		{name: "keys that look like tokens", conf: query("id AS", "'ghp_' || left(md5(access) || md5(refresh), 36) AS"),
			want: []wants{{Group: groupKeys, Name: "key_privacy", Status: statusWarning, Text: "look like a credential"}, {Group: groupSample, Name: "row", Status: statusOK, Text: "key (a credential, 40 characters)"}}},
		{name: "no expiry anywhere", spoil: func(r *rig) { r.exec(`UPDATE accounts SET expires = NULL`) }, code: 78,
			want: []wants{{Group: groupSample, Name: "sample", Status: statusFailed, Text: "20 invalid missing_expiry", Remedy: "source.missing_expiry"}}},
		{name: "no expiry in some rows", spoil: func(r *rig) { r.exec(`UPDATE accounts SET expires = NULL WHERE id > 10`) },
			want: []wants{{Group: groupSample, Name: "sample", Status: statusWarning, Text: "10 can be sent, 10 invalid missing_expiry"}, {Group: groupSample, Name: "row", Status: statusWarning, Text: `key "11": invalid missing_expiry`}}},
		{name: "nothing to send", code: 78, spoil: func(r *rig) {
			r.exec(`UPDATE accounts SET expires = NULL WHERE id > 10; UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id <= 10`)
		}, want: []wants{{Group: groupSample, Name: "sample", Status: statusFailed, Text: "10 invalid missing_expiry"}}},
		{name: "what may be ciphertext", spoil: func(r *rig) { r.exec(`UPDATE accounts SET access = encode(sha384(id::text::bytea), 'base64')`) },
			want: []wants{{Group: groupKeys, Name: "decryption", Status: statusWarning, Text: "20 access tokens of the first 20 rows are base64 of bytes", Remedy: "name the store that opens them"}}},
		{name: "no rows", spoil: func(r *rig) { r.exec(`DELETE FROM accounts`) },
			want: []wants{{Group: groupSample, Name: "sample", Status: statusWarning, Text: "no rows"}}},
		{name: "no right to make the tables", spoil: func(r *rig) { role(r, checkpointURL) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "privileges", Status: statusFailed, Text: "may not make the schema", Remedy: "GRANT CREATE ON DATABASE"}}},
		{name: "no right to the schema", spoil: func(r *rig) { migrated(r); role(r, checkpointURL) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "privileges", Status: statusFailed, Text: "may not use schema", Remedy: "GRANT USAGE ON SCHEMA"}}},
		{name: "no right to write", spoil: func(r *rig) { migrated(r); r.readCheckpoint(role(r, checkpointURL)) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "privileges", Status: statusFailed, Text: "may not INSERT, UPDATE on", Remedy: `GRANT INSERT, UPDATE ON "tokenmigrate".tokens TO reader_`},
				{Group: groupCheckpoint, Name: "privileges", Status: statusFailed, Remedy: `GRANT INSERT, UPDATE, DELETE ON "tokenmigrate".calls TO reader_`}}},
		{name: "rights enough", spoil: func(r *rig) {
			migrated(r)
			name := role(r, checkpointURL)
			r.readCheckpoint(name)
			r.exec(`GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tokenmigrate TO ` + name)
		}, want: []wants{{Group: groupCheckpoint, Name: "privileges", Status: statusOK}, {Group: groupCheckpoint, Name: "target", Status: statusOK},
			{Group: groupCheckpoint, Name: "worker", Status: statusOK}}},
		{name: "row level security on the checkpoint", spoil: func(r *rig) {
			migrated(r)
			name := role(r, checkpointURL)
			r.readCheckpoint(name)
			r.exec(`GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tokenmigrate TO ` + name)
			r.exec(`ALTER TABLE tokenmigrate.tokens ENABLE ROW LEVEL SECURITY`)
		}, code: 78, want: []wants{{Group: groupCheckpoint, Name: "tables", Status: statusFailed, Text: "row-level security may hide rows of the checkpoint's tables (tokens)", Remedy: "BYPASSRLS"}}},
		{name: "a read-only checkpoint", spoil: func(r *rig) { role(r, checkpointURL, `ALTER ROLE ROLE$ SET default_transaction_read_only = on`) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "writable", Status: statusFailed, Text: "read-only"}}},
		{name: "a newer checkpoint", spoil: func(r *rig) { migrated(r); r.exec(`UPDATE tokenmigrate.schema_version SET version = 99`) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "tables", Status: statusFailed, Text: "newer version", Remedy: "use that version"}}},
		{name: "an older checkpoint", spoil: func(r *rig) { migrated(r); r.exec(`UPDATE tokenmigrate.schema_version SET version = 0`) },
			want: []wants{{Group: groupCheckpoint, Name: "tables", Status: statusWarning, Text: "older version", Remedy: "upgrades"}, {Group: groupCheckpoint, Name: "privileges", Status: statusOK}}},
		{name: "another query than before", spoil: func(r *rig) { migrated(r); r.with("source.where", `"key < 10"`) }, code: 78,
			want: []wants{{Group: groupCheckpoint, Name: "target", Status: statusFailed, Text: "made with another source.where", Remedy: "--accept-config-change"}}},
		{name: "paused", spoil: func(r *rig) { migrated(r); r.command("pause") },
			want: []wants{{Group: groupCheckpoint, Name: "paused", Status: statusWarning, Remedy: "tokenmigrate resume"}}},
		{name: "another worker", spoil: func(r *rig) {
			migrated(r)
			r.exec(`UPDATE tokenmigrate.leases SET holder = 'elsewhere pid 7 start 8 boot x', expires_at = now() + interval '25 s'`)
			r.exec(`UPDATE tokenmigrate.runs SET finished_at = NULL, started_at = '2026-01-02 03:04:05Z'`)
		}, want: []wants{{Group: groupCheckpoint, Name: "worker", Status: statusWarning, Text: "elsewhere pid 7 is at work on shard 0, since 2026-01-02T03:04:05Z", Remedy: "status"}}},
		{name: "a wrong credential", o: sandbox.Options{Credential: "vca_another4711"}, code: 78,
			want: []wants{{Group: groupEndpoint, Name: "credential", Status: statusFailed, Text: "401", Remedy: "destination.token"}, {Group: groupEndpoint, Name: "reachable", Status: statusOK}}},
		{name: "a connector that may not be read", o: sandbox.Options{Forbidden: []string{"slack/acme"}},
			want: []wants{{Group: groupEndpoint, Name: "connector", Status: statusWarning, Text: "the credential may not read it: the endpoint answered 403", Remedy: "another privilege"}, {Group: groupEndpoint, Name: "credential", Status: statusWarning, Text: "403"}}},
		{name: "a connector that is not found", o: sandbox.Options{Connectors: []string{"slack/other"}},
			want: []wants{{Group: groupEndpoint, Name: "connector", Status: statusWarning, Text: "404", Remedy: "stops calling this connector"}, {Group: groupEndpoint, Name: "credential", Status: statusOK}}},
		{name: "a connector that is gone", o: sandbox.Options{Gone: []string{"slack/acme"}}, code: 78,
			want: []wants{{Group: groupEndpoint, Name: "connector", Status: statusFailed, Text: "gone"}}},
		{name: "no team", conf: []string{"destination.team_id", ""},
			want: []wants{{Group: groupEndpoint, Name: "team", Status: statusWarning, Remedy: "destination.team_id"}}},
		{name: "rows that are mapped and not sent", conf: []string{"send.chunk_bytes", "4096"}, spoil: func(r *rig) {
			r.exec(`UPDATE accounts SET subject = 'one' WHERE id <= 3`)
			r.exec(`UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id = 4`)
			r.exec(`UPDATE accounts SET access = repeat('x', 5000) WHERE id = 5`)
		}, want: []wants{{Group: groupSample, Name: "sample", Status: statusWarning, Text: "16 can be sent, 2 invalid duplicate, 1 skipped expired, 1 invalid too_large", Remedy: "policy.duplicates"},
			{Group: groupSample, Name: "row", Status: statusWarning, Text: "invalid duplicate"}, {Group: groupSample, Name: "row", Status: statusOK, Text: "skipped expired"}}},
		{name: "nothing but expired rows", spoil: func(r *rig) { r.exec(`UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL`) },
			want: []wants{{Group: groupSample, Name: "sample", Status: statusWarning, Text: "0 can be sent, 20 skipped expired", Remedy: "policy.expired"}}},
		{name: "what no connector is called", conf: append(query("connector,", "CASE WHEN id < 3 THEN 'Token+4711' ELSE 'slack/one' END AS connector,"), "destination.connector", ""),
			want: []wants{{Group: groupSample, Name: "connector_column", Status: statusWarning, Text: "in 2 rows"}, {Group: groupEndpoint, Name: "connector", Status: statusOK, Text: "slack/one"}}},
		{name: "a connector of each row's own", conf: append(query("connector,", "'slack/tenant-' || id AS connector,"), "destination.connector", ""),
			want: []wants{{Group: groupSample, Name: "connector_column", Status: statusWarning, Text: "20 in 20 rows", Remedy: "column connector"}}},
		{name: "a dozen connectors of the rows", conf: append(query("connector,", "'slack/tenant-' || id % 12 AS connector,"), "destination.connector", ""),
			want: []wants{{Group: groupSample, Name: "connector_column", Status: statusWarning, Text: "rows name 12 connectors; the endpoint is asked for the first 10"}}},
		{name: "connectors of the rows", conf: append(query("connector,", "CASE WHEN id < 3 THEN 'scl_one' ELSE 'scl_two' END AS connector,"), "destination.connector", "", "destination.team_id", ""),
			want: []wants{{Group: groupEndpoint, Name: "connector", Status: statusOK, Text: "scl_one"}, {Group: groupEndpoint, Name: "connector", Status: statusOK, Text: "scl_two"}, {Group: groupEndpoint, Name: "team", Status: statusOK}}},
	}
	type testCase = struct {
		name string
		run  func(*testing.T)
	}
	var list []testCase
	for _, c := range cases {
		list = append(list, testCase{c.name, func(t *testing.T) {
			r := newRig(t, c.o).fill(20).with(c.conf...)
			if c.spoil != nil {
				c.spoil(r)
			}
			got := r.checkup(c.code)
			got.has(t, c.want...)
			got.hasGroups(t, c.well...)
			for _, f := range got.Checks { // in a key it stands rightly
				if f.Name != "row" && strings.Contains(f.Text+f.Remedy, "secret literal") {
					t.Errorf("it quotes a literal of the query: %+v", f)
				}
			}
		}})
	}
	atOnce(t, 3, list, func(c testCase) string { return c.name }, func(t *testing.T, c testCase) { c.run(t) })
}

// An endpoint that answers is told from one that is not there, whatever it says.
func TestCheck_TellsWhatTheEndpointSays(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	for _, c := range []struct {
		name   string
		status int
		body   string
		code   int
		want   wants
	}{
		{"a web page", 200, "<!doctype html><title>Welcome</title>", 78, wants{Status: statusFailed, Text: "no JSON object", Remedy: "https://api.vercel.com"}},
		{"a page that is missing", 404, "<!doctype html><title>File not found</title>", 78, wants{Status: statusFailed, Text: "is not the API", Remedy: "https://api.vercel.com"}},
		{"the API's 404", 404, `{"error":{"code":"not_found","message":"no"}}`, 0, wants{Status: statusWarning, Text: "404"}},
		{"a redirect", 307, "", 78, wants{Status: statusFailed, Text: "307", Remedy: "destination.url"}},
		{"a bad request", 400, `{"error":{"code":"bad_request","message":"no such team"}}`, 78, wants{Status: statusFailed, Text: "no such team", Remedy: "team_id"}},
		{"a limit", 429, `{"error":{"code":"rate_limited"}}`, 0, wants{Status: statusWarning, Text: "429 rate_limited"}},
		{"trouble", 503, "", 5, wants{Status: statusFailed, Text: "503", Remedy: "try again later"}},
		{"another method", 405, "", 0, wants{Status: statusWarning, Text: "405"}},
		{"an echo of the credential", 403, `{"error":{"code":"forbidden","message":"Bearer ` + credential + ` is not allowed"}}`, 0, wants{Status: statusWarning, Text: "403"}},
		{"more than is known", 200, `{"id":"scl_1","uid":7,"name":"Acme\u0000\nSlack","more":[]}`, 0, wants{Status: statusOK, Text: "is known (7, scl_1, Acme Slack)"}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/" {
				if req.Header.Get("Authorization") != "" {
					t.Error("a credential is sent before it is asked for")
				}
				return
			}
			if req.Method != http.MethodGet || req.RequestURI != "/v1/connect/connectors/slack%2Facme?teamId=team_acme" || req.Header.Get("Authorization") != "Bearer "+credential {
				t.Errorf("%s: got %s %s", c.name, req.Method, req.RequestURI)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		got := r.with("destination.url", server.URL).checkup(c.code)
		c.want.Group, c.want.Name = groupEndpoint, "connector"
		got.has(t, c.want)
		// Only of an answer of the API's own can it be told that it took the credential.
		if told := slices.ContainsFunc(got.Checks, func(f finding) bool { return f.Name == "credential" && f.Status == statusOK }); told != (c.name == "the API's 404" || c.name == "more than is known") {
			t.Errorf("%s: the credential is accepted: got %t\n%s", c.name, told, got.stdout)
		}
		server.Close()
	}
}

func TestCheck_TriesTheKeysOfAStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	r.exec(`CREATE TABLE account (id text PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL, "userId" text NOT NULL, "accessToken" text, "refreshToken" text, "idToken" text,
		"accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, scope text, password text, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now())`)
	key, sealed := betterAuthAnswer(t)
	r.exec(`INSERT INTO account (id, "accountId", "providerId", "userId", "accessToken", "accessTokenExpiresAt") SELECT 'id-' || n, 'acc-' || n, 'google', 'u-' || n, $1, now() + interval '1 day' FROM generate_series(1, 3) n`, sealed)
	r.with("source.query", "", "source.store", "better-auth", "source.decrypt", `{secret: "${BETTER_AUTH_SECRET}"}`)
	r.env["BETTER_AUTH_SECRET"] = key
	r.checkup(0).has(t, wants{Group: groupReading, Name: "store", Status: statusOK, Text: "Better Auth"},
		wants{Group: groupKeys, Name: "decryption", Status: statusOK, Text: "3 values of the first 3 rows"})
	r.env["BETTER_AUTH_SECRET"] = "A" + key[1:]
	r.checkup(78).has(t, wants{Group: groupKeys, Name: "decryption", Status: statusFailed, Text: "none of 3 encrypted rows opens", Remedy: "right keys"})
}

// betterAuthAnswer returns a known answer of Better Auth's cipher.
func betterAuthAnswer(t *testing.T) (key, sealed string) {
	t.Helper()
	text, err := os.ReadFile("../../source/cipher/testdata/better-auth.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name string
			Keys map[string]string
			Data any
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	sealed, _ = file.Cases[0].Data.(string)
	return file.Cases[0].Keys["secret"], sealed
}

func TestCheck_TellsPoolers(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(20)
	direct := r.env["SOURCE_DATABASE_URL"]
	for mode, want := range map[string]string{"transaction": "in transaction mode, which works", "session": "in session mode"} {
		// A worker has one connection to the source and up to four to the checkpoint.
		r.env["SOURCE_DATABASE_URL"] = bouncer.Start(t, direct, mode, 6)
		r.env["CHECKPOINT_DATABASE_URL"] = r.env["SOURCE_DATABASE_URL"]
		r.checkup(0).has(t, wants{Group: groupSource, Name: "pooler", Status: statusOK, Text: want}, wants{Group: groupCheckpoint, Name: "pooler", Status: statusOK, Text: want})
	}
	r.env["SOURCE_DATABASE_URL"] = bouncer.Start(t, direct, "statement", 6)
	r.env["CHECKPOINT_DATABASE_URL"] = r.env["SOURCE_DATABASE_URL"]
	wrong := wants{Group: groupSource, Name: "reachable", Status: statusFailed, Text: "statement mode", Remedy: "use its transaction mode"}
	r.checkup(78).has(t, wrong)
	// What check says a person must change, no other command asks to be tried again for.
	for _, command := range []string{"dry-run", "run"} {
		if c := r.command(command); c.code != 78 || !strings.Contains(c.stderr, wrong.Remedy) {
			t.Errorf("%s: exit code: got %d, want 78\n%s", command, c.code, c.stderr)
		}
	}
	r.env["SOURCE_DATABASE_URL"] = direct
	if c := r.command("run"); c.code != 78 || !strings.Contains(c.stderr, wrong.Remedy) {
		t.Errorf("run with such a checkpoint: exit code: got %d, want 78\n%s", c.code, c.stderr)
	}
	r.env["SOURCE_DATABASE_URL"] = r.env["CHECKPOINT_DATABASE_URL"]
	if c := r.inProcess("init"); c.code != 78 || !strings.Contains(c.stderr, wrong.Remedy) {
		t.Errorf("init: exit code: got %d, want 78\n%s", c.code, c.stderr)
	}
	r.env["SOURCE_DATABASE_URL"] = bouncer.Start(t, direct, "transaction", 6) + "&statement_timeout=1000"
	for _, command := range []string{"check", "dry-run", "run"} {
		if c := r.command(command); c.code != 78 || !strings.Contains(c.stdout+c.stderr, "ignore_startup_parameters") {
			t.Errorf("%s with a parameter that the pooler refuses: exit code: got %d, want 78\n%s", command, c.code, c.stdout+c.stderr)
		}
	}
}

// Wherever a wrong query puts a token, it is not told, and does not leave.
func TestCheck_KeepsSecrets(t *testing.T) {
	t.Parallel()
	secrets := canaries{"access token": `xoxb-CANARYaccess+/=4711`, "refresh token": `CANARYrefresh47124712`}
	type swap struct{ from, to string }
	cases := []swap{
		{"connector,", "access AS connector,"}, {"connector,", "access AS provider,"}, {"connector,", "refresh AS name, connector,"},
		{"id AS key", "access AS key"}, {"id AS key", "id AS key, refresh AS key_2"}, {"subject AS", "access AS"},
		{"SELECT", "SELECT access AS environment,"}, {"SELECT", "SELECT refresh AS subject_type,"}, {"SELECT", "SELECT access AS scopes,"},
		{"expires AS", "access AS"}, {"expires AS", "access::timestamptz AS"}, {"subject AS", "(refresh::jsonb->>'x') AS"},
		{"SELECT", "SELECT 'xoxb-CANARYaccess+/=4711' || x AS name,"}, {"SELECT", "SELECT to_jsonb(access) AS data,"},
	}
	atOnce(t, 2, cases, func(c swap) string { return c.to }, func(t *testing.T, c swap) {
		r := newRig(t, sandbox.Options{}).fill(12).with("destination.connector", "", "destination.connectors", "{slack: slack/acme}")
		r.exec(`UPDATE accounts SET access = $1, refresh = $2, connector = 'slack/acme'`, secrets["access token"], secrets["refresh token"])
		r.with("source.query", fmt.Sprintf("%q", strings.Replace(storeQuery, c.from, c.to, 1)))
		text := r.command("check", "--log-level", "trace")
		secrets.search(t, "the text", text.stdout+text.stderr)
		secrets.search(t, "the JSON", r.command("check", "--json").stdout)
		for _, call := range r.endpoint.Audit().Calls {
			secrets.search(t, "a request", call.URI)
		}
	})
}

// A token of a column that the query does not read is none of the row's, and does
// not leave either.
func TestCheck_KeepsATokenInTheConnectorColumn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"refresh", "'x//' || refresh", "replace(refresh, 'refresh-', 'ab/cd')"} {
		r := newRig(t, sandbox.Options{}).fill(12).with("destination.connector", "")
		r.with("source.query", fmt.Sprintf("%q", `SELECT id AS key, `+name+` AS connector, access AS access_token, expires AS expires_at, subject AS subject_id FROM accounts`))
		secrets := canaries{"refresh token": list[string](t, r.db, `SELECT substr(md5('r' || 3), 8)`)[0]}
		c := r.command("check")
		secrets.search(t, "the output", c.stdout+c.stderr)
		if !strings.Contains(c.stdout, "nearly every row names a connector of its own") {
			t.Errorf("%s: got\n%s", name, c.stdout)
		}
		if calls := r.endpoint.Audit().Calls; len(calls) > 0 && slices.ContainsFunc(calls, func(call sandbox.Call) bool { return strings.Contains(call.URI, "connectors") }) {
			t.Errorf("%s: the endpoint was asked", name)
		}
	}
}

// What bounds connecting does not bound looking.
func TestRun_WaitsForALockOnTheSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	holder := r.dial(r.env["SOURCE_DATABASE_URL"])
	mustExec(t, holder, `BEGIN`)
	mustExec(t, holder, `LOCK TABLE accounts`)
	freed := make(chan error, 1)
	go func() {
		_, err := holder.Exec(t.Context(), fmt.Sprintf(`SELECT pg_sleep(%d); COMMIT`, int(connectTimeout.Seconds())+1), pgx.QueryExecModeSimpleProtocol)
		freed <- err
	}()
	if c := r.command("run"); c.code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", c.code, c.stderr)
	}
	if err := <-freed; err != nil {
		t.Fatal(err)
	}
}

func TestCheck_NeedsAFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"check"}, "no configuration: give one with -c"},
		{[]string{"check", "-c", "/nowhere/at-all.yaml"}, "check failed"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), t.Context(), c.args, func(string) (string, bool) { return "", false }, &stdout, &stderr)
		if code != 78 || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: got %d and %q, want 78 and %q\n%s", c.args, code, stderr.String(), c.says, stdout.String())
		}
	}
}

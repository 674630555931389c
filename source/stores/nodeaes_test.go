package stores

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/source"
)

// Keys of the values in cipher/testdata/node-aes.json.
const (
	nodeHex    = "f81eb90f474c580ebc115530c87b88d44f077088ba06f3e3985973f5d5fb4d4d"
	nodeOld    = "+iryQ4xI6YgjHTVwqhdbfQY2+2Vj3/Xvz+zdqshHdx0="
	nodePhrase = "correct horse battery — staple"
	nodeCommas = "exactly-thirty-two-characters-12"
)

func init() {
	fixtures = append(fixtures, nodeIntegrations(), nodeColumns(), nodeJSON(), nodeAAD(), nodeResponse(), nodeBytes(), nodePlain(), nodeLifetimes(), nodeCamel(), nodeNoID())
}

// nodeIntegrations is a table with an enum of providers, most columns, and rows of
// every kind; plain values are allowed.
func nodeIntegrations() fixture {
	f := fixture{store: "node-aes", name: "user_integrations", given: Params{"table": "app.user_integrations", "plain": "allowed", "layout": "iv:ct:tag", "environment": "stage"},
		variant: "aes-256-gcm as iv:ct:tag, table app.user_integrations (provider, access_token: access_token_encrypted, refresh_token: refresh_token_encrypted, expires_at: token_expires_at, user_id, tenant: organization_id)",
		keys:    Keys{"encryption_key": secret(nodeHex)}, wrong: Keys{"encryption_key": secret(nodeOld)}, plain: 5, decrypted: 1, want: map[string]string{},
		sql: []string{
			`CREATE SCHEMA app`, `CREATE TYPE app.provider AS ENUM ('google', 'github')`,
			`CREATE TABLE app.user_integrations (id uuid PRIMARY KEY, user_id uuid, organization_id uuid, provider app.provider, provider_account_id text, access_token_encrypted text, refresh_token_encrypted text,
				token_expires_at timestamptz, refresh_token_expires_at timestamptz, scopes text[], display_name text, deleted_at timestamptz, revoked boolean, stage text)`,
		}}
	add := func(n int, want string, values ...any) {
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO app.user_integrations VALUES (%s)`,
			quoted(append([]any{idOf("uuid", n), idOf("uuid", 100+n), idOf("uuid", 200)}, values...)...)))
		f.want[idOf("uuid", n)] = want
	}
	token := func(n int, provider, access, more string) string {
		return fmt.Sprintf(`{"provider":"%s","accessToken":%q,%s,"subject":"%s","tenant":{"id":"%s"}}`, provider, access, more, idOf("uuid", 100+n), idOf("uuid", 200))
	}
	const at = "2030-01-01 01:00:00+01"
	add(1, token(1, "google", "1//0g-é✓-トークン", `"refreshToken":"plain-r","expiresAt":1893456000000,"refreshTokenExpiresAt":1924992000000,"scopes":["a b","c"],"name":"Ada's","externalSubject":"acc"`),
		"google", "acc", sealedValue("node-aes", "iv:ct:tag, unicode"), "plain-r", at, "2031-01-01Z", `{"a b",c,""}`, "Ada's", nil, false, nil)
	add(2, token(2, "github", "gho_plain", `"expiresAt":"made up"`), "github", nil, "gho_plain", "", nil, nil, "{}", nil, nil, nil, nil)
	add(3, "deleted", "google", "x", "t", nil, at, nil, nil, nil, at, false, nil)
	add(4, "disconnected", "google", "x", "t", nil, at, nil, nil, nil, nil, true, nil)
	add(5, "no_token", "google", "x", nil, "r", at, nil, nil, nil, nil, nil, nil)
	add(6, "decrypt_failed", "google", "x", sealedValue("node-aes", "iv:ct:tag, unicode")[:90], nil, at, nil, nil, nil, nil, nil, nil)
	add(7, "missing_expiry", "google", "x", "t", nil, "9999-12-31 00:00:00Z", nil, nil, nil, nil, nil, nil)
	add(8, "invalid_environment", "google", "x", "t", nil, at, nil, nil, nil, nil, nil, "moon")
	add(9, token(9, "google", strings.Repeat("x", 65536), `"expiresAt":1893456000000`), "google", nil, raw(`repeat('x', 65536)`), nil, at, nil, nil, nil, nil, nil, "production")
	return f
}

// nodeColumns has iv and tag in columns of their own.
func nodeColumns() fixture {
	of := func(name string) []any {
		with := sealedWith("node-aes", name)
		return []any{sealedValue("node-aes", name), with["iv"], with["tag"]}
	}
	none := []any{nil, nil, nil}
	two := of("two columns")
	two[2] = nil // the tag is at the end of what it encrypts
	row := func(n int, access, refresh []any) string {
		return "(" + quoted(append(append([]any{n, 5, "google", 1893456000123}, access...), refresh...)...) + ")"
	}
	return fixture{store: "node-aes", name: "three columns", given: Params{"table": "oauth_connections"}, variant: "aes-256-gcm as ct, table public.oauth_connections (provider, access_token, refresh_token, expires_at: expiry_date, user_id)",
		keys: Keys{"encryption_key": secret(nodeHex)}, wrong: Keys{"encryption_key": secret(nodeOld)}, decrypted: 2,
		sql: []string{
			`CREATE TABLE oauth_connections (id serial PRIMARY KEY, user_id integer, provider varchar(20), expiry_date bigint, access_token text, access_token_iv text, access_token_auth_tag text,
				refresh_token text, refresh_token_iv text, refresh_token_auth_tag text)`,
			`INSERT INTO oauth_connections VALUES ` + strings.Join([]string{row(1, of("three columns"), two), row(2, none, none), row(3, []any{"f8b3", nil, nil}, none)}, ", "),
		},
		want: map[string]string{
			"1": `{"provider":"google","accessToken":"ya29.node-aes","refreshToken":"ya29.node-aes","expiresAt":1893456000123,"subject":"5"}`,
			"2": "no_token", "3": "decrypt_failed",
		}}
}

// nodeJSON has objects in jsonb columns, and no user but a workspace.
func nodeJSON() fixture {
	return fixture{store: "node-aes", name: "objects in jsonb", given: Params{"table": "connections"}, variant: "aes-256-gcm as json, table public.connections (provider: service, access_token, refresh_token, expires_at, tenant: workspace_id)",
		keys: Keys{"encryption_key": secret(nodeHex)}, wrong: Keys{"encryption_key": secret(nodeOld)}, decrypted: 2,
		sql: []string{
			`CREATE TABLE connections (id serial PRIMARY KEY, workspace_id integer, service text, access_token jsonb, refresh_token jsonb, expires_at text)`,
			`INSERT INTO connections VALUES (` + quoted(1, 9, "slack", sealedValue("node-aes", "JSON of hex"), sealedValue("node-aes", "JSON of Buffers"), "2030-01-01T00:00:00.000Z") + `), (2, 9, 'slack', NULL, NULL, '')`,
		},
		want: map[string]string{"1": `{"provider":"slack","accessToken":"ya29.node-aes","refreshToken":"ya29.node-aes","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"9"}}`, "2": "no_token"}}
}

// nodeAAD authenticates the user's id and the column's name.
func nodeAAD() fixture {
	value := sealedValue("node-aes", "AAD of the row")
	return fixture{store: "node-aes", name: "additional data", given: Params{"table": "tokens", "aad": "{owner}:{column}", "user_id": "owner", "provider_name": "google"}, variant: "table public.tokens (provider_name: google, access_token, refresh_token, expires_at, user_id: owner)",
		keys: Keys{"encryption_key": secret(nodeHex)}, wrong: Keys{"encryption_key": secret(nodeOld)}, decrypted: 1,
		sql: []string{
			`CREATE TABLE tokens (id serial PRIMARY KEY, owner varchar(40), access_token text, refresh_token text, expires_at double precision)`,
			`INSERT INTO tokens VALUES (` + quoted(1, "user-4711", value, nil, 1893456000.5) + `), (` + quoted(2, "user-4712", value, nil, 1893456000) + `)`,
		},
		want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.node-aes","expiresAt":1893456000500,"subject":"user-4711"}`, "2": "decrypt_failed"}}
}

// nodeResponse has whole token responses, some encrypted, most not.
func nodeResponse() fixture {
	return fixture{store: "node-aes", name: "token responses", variant: "aes-256-cbc as iv:ct, table public.calendar_connections (provider, response: credentials, user_id)",
		given: Params{"table": "calendar_connections", "algorithm": "aes-256-cbc", "derive": "latin1", "plain": "allowed"},
		keys:  Keys{"encryption_key": secret(nodeCommas)}, wrong: Keys{"encryption_key": secret("another-thirty-two-characters-34")}, plain: 8, decrypted: 1,
		sql: []string{
			`CREATE TABLE calendar_connections (id serial PRIMARY KEY, user_id integer, provider text, credentials text, created_at timestamp, updated_at timestamp)`,
			`INSERT INTO calendar_connections VALUES ` + responses(
				sealedValue("node-aes", "as Cal.com"),
				`{"access_token":"t2","refresh_token":"r2","expires_in":3600,"scope":"a b","refresh_token_expires_in":"86400"}`,
				`{"access_token":"t3","expiry_date":1893456000000,"expires_in":5,"scope":["a","b"]}`,
				`{"access_token":"t4","expires_in":"3599","created":1893452401}`,
				`{"oauth_token":"x","oauth_token_secret":"y"}`, `{"error":"x"}`, `[1]`, `{"access_token":"t8","expires_in":1893456000}`, `"{\"tokens\":{\"accessToken\":\"t9\",\"expiresAt\":\"2030-01-01T00:00:00Z\"}}"`),
			`INSERT INTO calendar_connections VALUES (10, 6, 'google', NULL), (11, 6, 'google', '')`,
		},
		want: map[string]string{
			"1":  "missing_expiry",
			"2":  `{"provider":"google","accessToken":"t2","refreshToken":"r2","expiresAt":1795525200000,"refreshTokenExpiresAt":1795608000000,"subject":"5","scopes":["a","b"]}`,
			"3":  `{"provider":"google","accessToken":"t3","expiresAt":1893456000000,"subject":"5","scopes":["a","b"]}`,
			"4":  `{"provider":"google","accessToken":"t4","expiresAt":1893456000000,"subject":"5"}`,
			"5":  "oauth1",
			"6":  "no_token",
			"7":  "decrypt_failed",
			"8":  `{"provider":"google","accessToken":"t8","expiresAt":1893456000000,"subject":"5"}`,
			"9":  `{"provider":"google","accessToken":"t9","expiresAt":1893456000000,"subject":"5"}`,
			"10": "no_token", "11": "no_token",
		}}
}

// responses writes rows, all of one user and one time.
func responses(texts ...string) string {
	var rows []string
	for i, text := range texts {
		rows = append(rows, "("+quoted(i+1, 5, "google", text, nil, "2026-11-24 12:00:00")+")")
	}
	return strings.Join(rows, ", ")
}

// nodeBytes has blobs in bytea columns, of a view.
func nodeBytes() fixture {
	return fixture{store: "node-aes", name: "bytea", given: Params{"table": "external_accounts", "layout": "iv+ct+tag", "encoding": "raw", "nonce_length": "16"}, variant: "table public.external_accounts (provider, access_token, expires_at, user_id: profile_id)",
		keys: Keys{"encryption_key": secret(nodeHex)}, wrong: Keys{"encryption_key": secret(nodeOld)}, decrypted: 1,
		sql: []string{
			`CREATE TABLE t (id bigint PRIMARY KEY, profile_id integer, provider text, access_token bytea, expires_at numeric)`, `CREATE VIEW external_accounts AS SELECT * FROM t`,
			`INSERT INTO t VALUES (1, 5, 'google', '\x` + sealedValue("node-aes", "blob, bytea") + `', 1893456000.25), (2, 6, 'google', '', 0)`,
		},
		want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.node-aes","expiresAt":1893456000250,"subject":"5"}`, "2": "no_token"}}
}

// nodePlain is a table without any encryption, as most customers of Supabase
// have one.
func nodePlain() fixture {
	return fixture{store: "node-aes", name: "plain", given: Params{"table": "provider_tokens", "algorithm": "none"}, variant: "plain, table public.provider_tokens (provider, access_token: provider_token, refresh_token: provider_refresh_token, user_id)", plain: 3,
		sql: []string{
			`CREATE TABLE provider_tokens (id uuid PRIMARY KEY, user_id uuid, provider text, provider_token text, provider_refresh_token text)`,
			`INSERT INTO provider_tokens VALUES (` + quoted(idOf("uuid", 1), idOf("uuid", 5), "github", "iv:tag:ct", "r") + `), (` + quoted(idOf("uuid", 2), idOf("uuid", 5), "google", "t", nil) + `)`,
		},
		want: map[string]string{idOf("uuid", 1): `{"provider":"github","accessToken":"iv:tag:ct","refreshToken":"r","expiresAt":"made up","subject":"` + idOf("uuid", 5) + `"}`, idOf("uuid", 2): "missing_expiry"}}
}

// nodeLifetimes counts seconds from another column.
func nodeLifetimes() fixture {
	return fixture{store: "node-aes", name: "lifetimes", given: Params{"table": "oauth_tokens", "algorithm": "none"}, variant: "expires_in", plain: 6,
		sql: []string{
			`CREATE TABLE oauth_tokens (id serial PRIMARY KEY, user_id integer, provider text, access_token text, expires_in numeric, updated_at timestamptz)`,
			`INSERT INTO oauth_tokens VALUES (1, 5, 'google', 't1', 3600, '2026-11-24 12:00:00.5Z'), (2, 5, 'google', 't2', 0, '2026-11-24 12:00:00Z'), (3, 5, 'google', 't3', 3600, NULL), (4, 5, 'google', 't4', NULL, now()),
				(5, 5, 'google', 't5', 'NaN', now()), (6, 5, 'google', 't6', 3600, 'infinity')`,
		},
		want: map[string]string{"1": `{"provider":"google","accessToken":"t1","expiresAt":1795525200500,"subject":"5"}`,
			"2": "missing_expiry", "3": "missing_expiry", "4": "missing_expiry", "5": "missing_expiry", "6": "missing_expiry"}}
}

// nodeCamel has names as JavaScript has them, and soft deletes as true.
func nodeCamel() fixture {
	return fixture{store: "node-aes", name: "camelCase", given: Params{"table": `"Integration"`, "algorithm": "none"}, plain: 1,
		variant: `table public."Integration" (provider: integrationType, access_token: accessToken, refresh_token: refreshToken, expires_at: expiresAt, user_id: userId, tenant: teamId)`,
		sql: []string{
			`CREATE TABLE "Integration" (id text PRIMARY KEY, "userId" text, "teamId" text, "integrationType" text, "accessToken" text, "refreshToken" text, "expiresAt" timestamp(3), scope text, "providerAccountId" text, "isDeleted" boolean)`,
			`INSERT INTO "Integration" VALUES ('c1', 'u', NULL, 'google', 't', NULL, '2030-01-01', 'a,b', 'acc', false), ('c2', 'u', 'team', 'google', 't', NULL, '2030-01-01', NULL, NULL, true)`,
		},
		want: map[string]string{"c1": `{"provider":"google","accessToken":"t","expiresAt":1893456000000,"subject":"u","scopes":["a","b"],"externalSubject":"acc"}`, "c2": "deleted"}}
}

// nodeNoID has a key of two columns.
func nodeNoID() fixture {
	return fixture{store: "node-aes", name: "composite key", given: Params{"table": "oauth_tokens", "algorithm": "none", "subject_type": "kind"}, variant: "table public.oauth_tokens", plain: 2,
		sql: []string{
			`CREATE TABLE oauth_tokens (user_id text, provider text, access_token text UNIQUE, expires_at timestamptz, kind text, PRIMARY KEY (user_id, provider))`,
			`INSERT INTO oauth_tokens VALUES ('u/1', 'google', 't1', '2030-01-01Z', 'user'), ('u', 'github', 't2', '2030-01-01Z', 'app')`,
		},
		want: map[string]string{"u%2F1/google": `{"provider":"google","accessToken":"t1","expiresAt":1893456000000,"subject":"u/1"}`, "u/github": `{"provider":"github","accessToken":"t2","expiresAt":1893456000000,"subject":{"type":"app"}}`}}
}

// nodeLayout is the layout that is found where the table tells nothing.
func nodeLayout(given Params) string {
	p := Params{}
	settleNodeAES(nil, &Table{}, p, given)
	return p["layout"]
}

// Each parameter of the cipher reaches it.
func TestNodeAES_OpensEveryShape(t *testing.T) {
	hex := Keys{"encryption_key": secret(nodeHex)}
	phrase := Keys{"encryption_key": secret(nodePhrase)}
	for _, v := range []struct {
		value string // of the known answers
		given Params
		keys  Keys
	}{
		{"iv:tag:ct, hex, 16-byte iv", nil, hex},
		{"iv:tag:ct, base64", nil, hex},
		{"an older key", nil, Keys{"encryption_key": secret(nodeHex + "," + nodeOld)}},
		{"an older key", nil, Keys{"encryption_key": secret(nodeHex), "old_keys": secret(nodeOld)}},
		{"iv.ct.tag, base64url", Params{"layout": "iv.ct.tag", "encoding": "base64url"}, hex},
		{"tag:iv:ct", Params{"layout": "tag:iv:ct"}, hex},
		{"iv:ct, the tag at its end", Params{"layout": "iv:ct"}, hex},
		{"blob iv+tag+ct, 16", Params{"layout": "iv+tag+ct"}, hex},
		{"blob iv+ct+tag, 12", Params{"layout": "iv+ct+tag"}, hex},
		{"JSON in base64", Params{"layout": "json"}, hex},
		{"prefix", Params{"prefix": "enc:, v1:"}, hex},
		{"prefix of some values", Params{"prefix": "enc:,"}, hex},
		{"key: found out", nil, Keys{"encryption_key": secret(nodeCommas)}},
		{"key: raw", Params{"derive": "raw"}, Keys{"encryption_key": secret(nodeCommas)}},
		{"key: sha256", Params{"derive": "sha256"}, phrase},
		{"key: scrypt", Params{"derive": "scrypt"}, phrase},
		{"key: pbkdf2-sha512", Params{"derive": "pbkdf2-sha512", "salt": "pepper"}, phrase},
		{"key: hkdf-sha256", Params{"derive": "hkdf-sha256", "salt": "pepper", "info": "oauth"}, phrase},
		{"blob salt+iv+tag+ct, 32", Params{"derive": "scrypt", "iterations": "16", "layout": "salt+iv+tag+ct"}, phrase},
		{"cryptr, base64, a short salt", Params{"derive": "pbkdf2-sha512", "iterations": "100", "salt_length": "10", "nonce_length": "16", "layout": "salt+iv+tag+ct"}, phrase},
		{"aes-256-cbc", Params{"algorithm": "aes-256-cbc"}, hex},
		{"aes-256-ctr", Params{"algorithm": "aes-256-ctr"}, hex},
		{"chacha20-poly1305", Params{"algorithm": "chacha20-poly1305"}, hex},
	} {
		p := nodeAES.Defaults().With(Params{"access_token": "access_token", "layout": nodeLayout(v.given)}).With(v.given)
		o, err := nodeAES.Opener(t.Context(), nil, p, v.keys)
		if err != nil {
			t.Errorf("%s: %v", v.value, err)
			continue
		}
		opened, err := o.Open(source.Values{"access_token": sealedValue("node-aes", v.value)})
		if err != nil || opened.Values["access_token"] != "ya29.node-aes" || opened.Decrypted != 1 {
			t.Errorf("%s: got %v, %v, want ya29.node-aes", v.value, opened, err)
		}
	}
}

// Parameters that cannot be are sentences about parameters, and a key that cannot
// be one is a sentence about the key.
func TestNodeAES_RefusesWrongParameters(t *testing.T) {
	config := newDatabase(t, `CREATE TABLE tokens (id serial PRIMARY KEY, user_id integer, access_token text)`)
	for want, c := range map[string]struct {
		given Params
		keys  Keys
	}{
		"source.params.layout":                                 {Params{"layout": "iv;iv"}, nil},
		"source.params.iterations":                             {Params{"derive": "scrypt", "iterations": "1000"}, nil},
		"source.params.nonce_length":                           {Params{"nonce_length": "twelve"}, nil},
		"source.decrypt.encryption_key":                        {Params{"derive": "hex"}, Keys{"encryption_key": secret("nonsense")}},
		"no table tokens with the columns":                     {Params{"refresh_token": "nowhere"}, nil},
		"there is no table tokens with the columns that the p": {Params{"aad": "{nowhere}"}, nil},
	} {
		_, err := nodeAES.Prepare(t.Context(), config, Params{"table": "tokens"}.With(c.given), c.keys)
		var bad *source.ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%v: got %v, want a *source.ConfigError with %q", c.given, err, want)
		}
	}
}

// Nothing is guessed: without the table's name no table is taken.
func TestNodeAES_NeedsATable(t *testing.T) {
	config := newDatabase(t, `CREATE TABLE oauth_tokens (id serial PRIMARY KEY, user_id integer, provider text, access_token text)`)
	if _, err := nodeAES.Prepare(t.Context(), config, nil, nil); err == nil || !strings.Contains(err.Error(), "source.params") {
		t.Errorf("got %v, want an error that asks for source.params", err)
	}
}

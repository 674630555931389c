package stores

import (
	"fmt"
	"strings"
	"testing"
)

const nangoKey = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="

// nangoSchema makes the tables as the last migration leaves them.
var nangoSchema = []string{
	`CREATE SCHEMA nango`,
	`CREATE TABLE nango._nango_accounts (id serial PRIMARY KEY, name varchar(255), uuid uuid)`,
	`CREATE TABLE nango._nango_environments (id serial PRIMARY KEY, name varchar(255), account_id integer, is_production boolean, deleted boolean DEFAULT false)`,
	`CREATE TABLE nango._nango_configs (id serial PRIMARY KEY, unique_key varchar(255), provider varchar(255), oauth_client_id varchar(255), oauth_client_secret text,
		oauth_client_secret_iv varchar(255), oauth_client_secret_tag varchar(255), oauth_scopes text, environment_id integer, deleted boolean DEFAULT false)`,
	`CREATE TABLE nango.end_users (id serial PRIMARY KEY, end_user_id varchar(255) NOT NULL, email varchar(255), display_name varchar(255),
		organization_id varchar(255), organization_display_name varchar(255), tags json)`,
	`CREATE TABLE nango._nango_db_config (encryption_key_hash varchar(255), encryption_complete boolean)`,
	`CREATE TABLE nango._nango_connections (id serial PRIMARY KEY, connection_id varchar(255) NOT NULL, provider_config_key varchar(255) NOT NULL, environment_id integer,
		config_id integer, credentials json NOT NULL, credentials_iv varchar(255), credentials_tag varchar(255), credentials_expires_at timestamptz,
		connection_config jsonb, metadata jsonb, tags jsonb NOT NULL DEFAULT '{}', end_user_id integer, deleted boolean DEFAULT false, deleted_at timestamptz,
		last_fetched_at timestamptz, last_refresh_success timestamptz, last_refresh_failure timestamptz, refresh_attempts smallint, refresh_exhausted boolean,
		created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now())`,
	`INSERT INTO nango._nango_environments VALUES (1, 'prod', 1, true), (2, 'dev', 1, false)`,
	`INSERT INTO nango._nango_configs (id, unique_key, provider, oauth_scopes, environment_id) VALUES (1, 'google-eu', 'google-calendar', 'openid,email', 1), (2, 'slack', 'slack', NULL, 2)`,
	`INSERT INTO nango.end_users VALUES (1, 'user-7', 'a@example.com', 'Ä', 'org-1', 'Büro', NULL), (2, 'user-8', NULL, NULL, NULL, 'Only a name', '{}')`,
}

// nangoInsert writes a connection: credentials, iv and tag, and more columns.
func nangoInsert(n int, key string, credentials, iv, tag any, columns string, values ...any) string {
	if columns != "" {
		columns = ", " + columns
	}
	return fmt.Sprintf("INSERT INTO nango._nango_connections (id, connection_id, provider_config_key, environment_id, config_id, credentials, credentials_iv, credentials_tag%s) VALUES (%s)",
		columns, quoted(append([]any{n, fmt.Sprintf("conn-%d", n), key, 1 + n%2, 1 + n%2, credentials, iv, tag}, values...)...))
}

func init() {
	oauth2 := func(rest string) string { return `{"type":"OAUTH2","access_token":"t"` + rest + `}` }
	const until = `,"expires_at":"2027-03-04T05:06:07.000Z"`
	plain := fixture{
		store: "nango", name: "plain", variant: "table nango._nango_connections", plain: 19,
		sql: append(append([]string{}, nangoSchema...),
			nangoInsert(2, "google-eu", oauth2(`,"refresh_token":"1//ä✓"`+until+`,"raw":{"scope":"openid https://www.googleapis.com/auth/calendar","expires_in":3600,"refresh_token_expires_in":"604800"}`), nil, nil, "end_user_id, connection_config", 1, `{"oauth_scopes":"no"}`),
			nangoInsert(4, "google-eu", oauth2(until+`,"refresh_token":""`), nil, nil, "end_user_id, tags", 2, `{"end_user_id":"no","organization_id":"no"}`),
			nangoInsert(6, "google-eu", oauth2(until+`,"raw":{"scope":["a","b"]}`), nil, nil, "tags, connection_config", `{"end_user_id":"user-9","organization_id":"org-9"}`, `{"oauth_scopes":"c,d"}`),
			nangoInsert(8, "google-eu", oauth2(until), nil, nil, "connection_config", `{"oauth_scopes":"c,d"}`),
			nangoInsert(10, "github", oauth2(""), nil, nil, ""),
			nangoInsert(12, "google-eu", oauth2(`,"expires_at":null`), nil, nil, ""),
			nangoInsert(14, "google-eu", oauth2(`,"expires_at":0`), nil, nil, ""),
			nangoInsert(16, "google-eu", oauth2(`,"expires_at":"9999-12-31T00:00:00.000Z"`), nil, nil, ""),
			nangoInsert(18, "google-eu", oauth2(until), nil, nil, "deleted, deleted_at", true, "2026-01-01"),
			nangoInsert(20, "google-eu", oauth2(until), nil, nil, "refresh_exhausted", true),
			nangoInsert(22, "google-eu", oauth2(`,"expires_at":"soon"`), nil, nil, ""),
			nangoInsert(1, "slack", `{"type":"OAUTH2","raw":{"authed_user":{"access_token":"xoxp-1","scope":"users:read,chat:write"}}}`, nil, nil, ""),
			nangoInsert(3, "netsuite", `{"type":"OAUTH2_CC","token":"cc","client_id":"i","client_secret":"s"`+until+`,"raw":{}}`, nil, nil, ""),
			nangoInsert(5, "github-app", `{"type":"APP","access_token":"ghs_1","jwtToken":"j"`+until+`,"raw":{}}`, nil, nil, "connection_config", `{"installation_id":"4711"}`),
			nangoInsert(7, "github-app-oauth", `{"type":"CUSTOM","app":{"type":"APP","access_token":"ghs_2"`+until+`},"user":`+oauth2(until)+`}`, nil, nil, "connection_config", `{"installation_id":4712}`),
			nangoInsert(9, "github-app-oauth", `{"type":"CUSTOM","app":{"type":"APP","access_token":"ghs_3"`+until+`},"user":null}`, nil, nil, ""),
			nangoInsert(11, "twitter", `{"type":"OAUTH1","oauth_token":"t","oauth_token_secret":"s"}`, nil, nil, ""),
			nangoInsert(13, "openai", `{"type":"API_KEY","apiKey":"k"}`, nil, nil, ""),
			nangoInsert(15, "unauthenticated", `{}`, nil, nil, "connection_config", `"text"`),
			nangoInsert(17, "google", oauth2(until)[:16]+`}`, nil, nil, ""),
			nangoInsert(19, "google", `[1]`, nil, nil, ""),
		),
		want: map[string]string{
			"2":  `{"provider":"google-eu","accessToken":"t","refreshToken":"1//ä✓","expiresAt":1804136767000,"refreshTokenExpiresAt":1804737967000,"subject":"user-7","tenant":{"id":"org-1"},"name":"conn-2","scopes":["openid","https://www.googleapis.com/auth/calendar"]}`,
			"4":  `{"provider":"google-eu","accessToken":"t","expiresAt":1804136767000,"subject":"user-8","tenant":{"id":"Only a name"},"name":"conn-4","scopes":["openid","email"]}`,
			"6":  `{"provider":"google-eu","accessToken":"t","expiresAt":1804136767000,"subject":"user-9","tenant":{"id":"org-9"},"name":"conn-6","scopes":["a","b"]}`,
			"8":  `{"provider":"google-eu","accessToken":"t","expiresAt":1804136767000,"subject":"conn-8","name":"conn-8","scopes":["c","d"]}`,
			"10": `{"provider":"github","accessToken":"t","expiresAt":"made up","subject":"conn-10","name":"conn-10","scopes":["openid","email"]}`,
			"12": "missing_expiry", "14": "missing_expiry", "16": "missing_expiry",
			"18": "deleted", "20": "disconnected", "22": "invalid_expiry",
			"1":  `{"provider":"slack","accessToken":"xoxp-1","expiresAt":"made up","subject":"conn-1","name":"conn-1","scopes":["users:read","chat:write"]}`,
			"3":  `{"provider":"netsuite","accessToken":"cc","expiresAt":1804136767000,"subject":{"type":"app"},"name":"conn-3","installationId":"conn-3"}`,
			"5":  `{"provider":"github-app","accessToken":"ghs_1","expiresAt":1804136767000,"subject":{"type":"app"},"name":"conn-5","installationId":"4711"}`,
			"7":  `{"provider":"github-app-oauth","accessToken":"t","expiresAt":1804136767000,"subject":"conn-7","name":"conn-7","installationId":"4712"}`,
			"9":  `{"provider":"github-app-oauth","accessToken":"ghs_3","expiresAt":1804136767000,"subject":{"type":"app"},"name":"conn-9","installationId":"conn-9"}`,
			"11": "oauth1", "13": "not_oauth", "15": "not_oauth", "17": "no_token", "19": "decrypt_failed",
		},
	}
	template := plain
	template.name, template.given = "by template, one environment", Params{"provider_by": "provider", "environment": "prod"}
	template.want = map[string]string{}
	for key, want := range plain.want {
		if len(key) > 0 && (key[len(key)-1]-'0')%2 == 0 { // environment 1
			want = strings.Replace(want, `"provider":"google-eu"`, `"provider":"google-calendar"`, 1)
			want = strings.Replace(want, `"provider":"github"`, `"provider":"google-calendar"`, 1)
			template.want[key] = want
		}
	}
	template.want["10"] = "missing_expiry" // its template is google-calendar's
	template.plain = 9
	fixtures = append(fixtures, plain, template, nangoSealed(), nangoOld())
}

// nangoSealed holds encrypted credentials, beside plain ones of a first
// encryption that is not complete, and damaged ones.
func nangoSealed() fixture {
	f := fixture{
		store: "nango", name: "encrypted", variant: "table nango._nango_connections",
		keys: Keys{"encryption_key": secret(nangoKey)}, wrong: Keys{"encryption_key": secret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")},
		want: map[string]string{
			"2":  `{"provider":"google-eu","accessToken":"ya29.a0Nango","refreshToken":"1//0gNango","expiresAt":1804136767000,"subject":"conn-2","name":"conn-2","scopes":["openid","email"]}`,
			"4":  `{"provider":"google-eu","accessToken":"ghs_16C7e42F292c6912E7","expiresAt":1804136767000,"subject":{"type":"app"},"name":"conn-4","installationId":"conn-4"}`,
			"6":  "not_oauth",
			"8":  `{"provider":"github","accessToken":"` + longToken + `","expiresAt":"made up","subject":"conn-8","name":"conn-8","scopes":["openid","email"]}`,
			"10": `{"provider":"google-eu","accessToken":"plain","expiresAt":1804136767000,"subject":"conn-10","name":"conn-10","scopes":["openid","email"]}`,
			"12": "decrypt_failed", "14": "decrypt_failed", "16": "decrypt_failed", "18": "deleted",
		},
		plain: 1, decrypted: 4,
	}
	value := func(name string) (data, iv, tag any) {
		with := sealedWith("nango", name)
		return sealedValue("nango", name), with["credentials_iv"], with["credentials_tag"]
	}
	insert := func(n int, data, iv, tag any, more ...any) string {
		columns := ""
		if len(more) > 0 {
			columns = "deleted"
		}
		return nangoInsert(n, "google-eu", data, iv, tag, columns, more...)
	}
	data, iv, tag := value("OAUTH2")
	f.sql = append(append([]string{}, nangoSchema...),
		`INSERT INTO nango._nango_db_config VALUES ('ascL5N2wMq/7lJyvKvUhNw+5Eg8TFRkx0q1UwCr0Dog=', false)`,
		insert(2, data, iv, tag), insert(12, data, iv, "AAAAAAAAAAAAAAAAAAAAAA=="), insert(14, data, nil, nil),
		insert(16, `{"encrypted_credentials":"nERww8"}`, iv, tag), insert(18, data, iv, tag, true),
		insert(10, `{"type":"OAUTH2","access_token":"plain","expires_at":"2027-03-04T05:06:07.000Z"}`, nil, nil))
	for n, name := range map[int]string{4: "APP", 6: "no credentials"} {
		data, iv, tag := value(name)
		f.sql = append(f.sql, insert(n, data, iv, tag))
	}
	data, iv, tag = value("64 KiB")
	f.sql = append(f.sql, nangoInsert(8, "github", data, iv, tag, ""))
	return f
}

// nangoOld is a table of before end users, tags and config_id, in another schema.
func nangoOld() fixture {
	return fixture{
		store: "nango", name: "old", variant: "table public._nango_connections, an older one without config_id, end_user_id, tags, refresh_exhausted", plain: 1,
		sql: []string{
			`CREATE TABLE _nango_configs (id serial PRIMARY KEY, unique_key varchar(255), provider varchar(255), oauth_scopes varchar(255), environment_id integer, deleted boolean DEFAULT false)`,
			`CREATE TABLE _nango_environments (id serial PRIMARY KEY, name varchar(255))`,
			`CREATE TABLE _nango_connections (id serial PRIMARY KEY, connection_id varchar(255), provider_config_key varchar(255), environment_id integer, credentials json,
				credentials_iv varchar(255), credentials_tag varchar(255), connection_config json, deleted boolean DEFAULT false)`,
			`INSERT INTO _nango_configs VALUES (1, 'k', 'old', 'a', 1, true), (2, 'k', 'new', 'b,c', 1, false)`,
			`INSERT INTO _nango_connections VALUES (1, 'conn-1', 'k', 1, '{"type":"OAUTH2","access_token":"t","expires_at":"2027-03-04T05:06:07.000Z"}', NULL, NULL, '{}', false)`,
		},
		want: map[string]string{"1": `{"provider":"k","accessToken":"t","expiresAt":1804136767000,"subject":"conn-1","name":"conn-1","scopes":["b","c"]}`},
	}
}

// The hash that Nango keeps tells a wrong key before a row is read.
func TestNango_ChecksItsKeyByTheHash(t *testing.T) {
	f := nangoSealed()
	config := newDatabase(t, f.sql...)
	_, err := nango.Prepare(t.Context(), config, nil, f.wrong)
	if err == nil || !strings.Contains(err.Error(), "check the key of store nango") || !strings.Contains(err.Error(), "source.decrypt.encryption_key") {
		t.Errorf("got %v, want the key refused by its hash", err)
	}
	if _, err := nango.Prepare(t.Context(), config, nil, Keys{"encryption_key": secret("c2hvcnQ=")}); err == nil || !strings.Contains(err.Error(), "source.decrypt.encryption_key must be") {
		t.Errorf("got %v, want a key of 5 bytes refused", err)
	}
	execute(t, config, "DROP TABLE nango._nango_db_config")
	if _, err := nango.Prepare(t.Context(), config, nil, f.keys); err != nil {
		t.Errorf("without the hash: got %v, want nil", err)
	}
}

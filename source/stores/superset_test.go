package stores

import (
	"fmt"
	"strings"
)

func init() {
	keys := Keys{"secret_key": secret("superset-secret-key-0123456789"), "previous_secret_key": secret("schlüssel 二")}
	wrong := Keys{"secret_key": secret("another-secret-key")}
	fixtures = append(fixtures,
		supersetFixture("with databases", keys, wrong, true, nil),
		supersetFixture("timezone, no databases", keys, wrong, false, Params{"timezone": "Europe/Berlin", "scopes": "7=openid email"}),
	)
	for _, v := range []struct{ engine, padding, value, plain string }{
		{"aes", "pkcs5", "AesEngine, pkcs5, 16 bytes", "ya29.padded-éya2"},
		{"aes-gcm", "", "64 KiB", longToken},
		{"fernet", "", "FernetEngine", "ya29.fernet-é"},
	} {
		given := Params{"table": "tokens", "engine": v.engine}
		if v.padding != "" {
			given["padding"] = v.padding
		}
		fixtures = append(fixtures, fixture{store: "sqlalchemy-utils", name: v.engine, given: given, variant: "table public.tokens (provider, access_token, expires_at, user_id)",
			keys: Keys{"encryption_key": secret("superset-secret-key-0123456789")}, wrong: Keys{"encryption_key": secret("another")}, decrypted: 1,
			sql: []string{`CREATE TABLE tokens (id serial PRIMARY KEY, user_id integer, provider text, access_token varchar, expires_at timestamp)`,
				`INSERT INTO tokens VALUES (` + quoted(1, 5, "google", sealedValue("sqlalchemy-0.41", v.value), "2030-01-01") + `), (2, 5, 'google', '!', NULL), (3, 5, 'google', '', NULL)`},
			want: map[string]string{"1": fmt.Sprintf(`{"provider":"google","accessToken":%q,"expiresAt":1893456000000,"subject":"5"}`, v.plain), "2": "decrypt_failed", "3": "no_token"}})
	}
}

// supersetFixture is Superset's table from before pairs of user and database were
// unique.
func supersetFixture(name string, keys, wrong Keys, databases bool, given Params) fixture {
	provider, hour, scopes := "7", "01", `,"scopes":["openid","email"]`
	f := fixture{store: "superset", name: name, variant: "table public.database_user_oauth2_tokens", keys: keys, wrong: wrong, given: given, decrypted: 3}
	if databases {
		provider, hour, scopes = "BigQuery", "00", ""
		f.sql = append(f.sql, `CREATE TABLE dbs (id serial PRIMARY KEY, database_name varchar(250) UNIQUE, password bytea)`, `INSERT INTO dbs VALUES (7, 'BigQuery'), (8, 'Other')`)
	}
	value := func(name string) string { return sealedValue("sqlalchemy-0.38", name) }
	hex := func(text string) string { return fmt.Sprintf(`\x%x`, text) }
	f.sql = append(f.sql, `CREATE TABLE database_user_oauth2_tokens (created_on timestamp, changed_on timestamp, id serial PRIMARY KEY, user_id integer NOT NULL, database_id integer NOT NULL,
		access_token bytea, access_token_expiration timestamp, refresh_token bytea, created_by_fk integer, changed_by_fk integer)`,
		`INSERT INTO database_user_oauth2_tokens (id, user_id, database_id, access_token, refresh_token, access_token_expiration) VALUES (`+strings.Join([]string{
			quoted(1, 5, 7, hex("garbage"), nil, nil),
			quoted(2, 5, 7, `\x`+value("AesEngine, bytea"), hex(value("AesEngine, unicode")), "2030-01-01 "+hour+":00:00"),
			quoted(3, 6, 7, hex(value("AesEngine, older secret")), nil, nil),
			quoted(4, 7, 7, hex("garbage"), nil, "2030-01-01"),
			quoted(5, 8, 7, nil, nil, nil),
			quoted(6, 9, 7, "", nil, nil),
		}, "), (")+")")
	f.want = map[string]string{
		"1": "older_copy",
		"2": fmt.Sprintf(`{"provider":"%s","accessToken":"ya29.superset","refreshToken":"1//0g-é✓-トークン","expiresAt":1893456000000,"subject":"5"%s}`, provider, scopes),
		"3": fmt.Sprintf(`{"provider":"%s","accessToken":"ya29.superset-old","expiresAt":"made up","subject":"6"%s}`, provider, scopes),
		"4": "decrypt_failed", "5": "no_token", "6": "no_token",
	}
	return f
}

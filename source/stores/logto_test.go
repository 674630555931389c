package stores

import (
	"fmt"
	"strings"
)

func init() {
	const set = `'{"scope":"openid email","expiresAt":1893456000,"tokenType":"Bearer","hasRefreshToken":true}'`
	row := func(n int, kind, name, metadata string) string {
		with := sealedWith("logto", name)
		return fmt.Sprintf(`INSERT INTO secrets VALUES ('default', 's%02d', 'user-%d', '%s', '%s', '%s', '%s', '\x%s', %s)`,
			n, n, kind, with["encrypted_dek"], with["iv"], with["auth_tag"], sealedValue("logto", name), metadata)
	}
	social := func(n int, target string) string {
		return fmt.Sprintf(`INSERT INTO secret_social_connector_relations VALUES ('default', 's%02d', 'conn', '%s', 'id-%d')`, n, target, n)
	}
	const token = "federated_token_set"
	fixtures = append(fixtures, fixture{
		store: "logto", name: "vault", variant: "Secret Vault, table public.secrets",
		sql: []string{
			`CREATE TABLE secrets (tenant_id varchar(21) NOT NULL, id varchar(21) PRIMARY KEY, user_id varchar(21) NOT NULL, type varchar(256) NOT NULL,
				encrypted_dek bytea NOT NULL, iv bytea NOT NULL, auth_tag bytea NOT NULL, ciphertext bytea NOT NULL, metadata jsonb NOT NULL DEFAULT '{}', created_at timestamptz, updated_at timestamptz)`,
			`CREATE TABLE secret_social_connector_relations (tenant_id varchar(21), secret_id varchar(21), connector_id varchar(128), target varchar(256), identity_id varchar(128), PRIMARY KEY (tenant_id, secret_id))`,
			`CREATE TABLE secret_enterprise_sso_connector_relations (tenant_id varchar(21), secret_id varchar(21), sso_connector_id varchar(128), issuer varchar(256), identity_id varchar(128), PRIMARY KEY (tenant_id, secret_id))`,
			row(1, token, "token set", set), social(1, "google"),
			row(2, token, "64 KiB", `'{"scope":null}'`), social(2, "github"),
			row(3, token, "token set", set), `INSERT INTO secret_enterprise_sso_connector_relations VALUES ('default', 's03', 'sso', 'https://idp.example.com', 'ä✓')`,
			row(4, "api_key", "token set", set), social(4, "google"),
			row(5, token, "token set", `'{"expiresAt":0}'`), social(5, "google"),
			row(6, token, "token set", `'{"expiresAt":"soon"}'`), social(6, "google"),
			row(7, token, "token set", set), social(7, "google"), `UPDATE secrets SET auth_tag = '\x00' WHERE id = 's07'`,
			row(8, token, "token set", set), social(8, "google"), `UPDATE secrets SET ciphertext = substr(ciphertext, 2) WHERE id = 's08'`,
			row(9, token, "token set", set),
			`INSERT INTO secrets VALUES ('other', 's10', 'u', '` + token + `', '', '', '', '', '[]')`,
		},
		keys: Keys{"secret_vault_kek": secret(nangoKey)}, wrong: Keys{"secret_vault_kek": secret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")},
		want: map[string]string{
			"s01": `{"provider":"google","accessToken":"ya29.a0Logto","refreshToken":"1//logto-é✓","expiresAt":1893456000000,"subject":"user-1","scopes":["openid","email"],"externalSubject":"id-1"}`,
			"s02": `{"provider":"github","accessToken":"` + longToken + `",` + logtoLongRefresh() + `"expiresAt":"made up","subject":"user-2","externalSubject":"id-2"}`,
			"s03": `{"provider":"https://idp.example.com","accessToken":"ya29.a0Logto","refreshToken":"1//logto-é✓","expiresAt":1893456000000,"subject":"user-3","scopes":["openid","email"],"externalSubject":"ä✓"}`,
			"s04": "not_oauth", "s05": "missing_expiry", "s06": "invalid_expiry", "s07": "decrypt_failed", "s08": "decrypt_failed",
			"s09": `{"accessToken":"ya29.a0Logto","refreshToken":"1//logto-é✓","expiresAt":1893456000000,"subject":"user-9","scopes":["openid","email"]}`,
			"s10": "no_token",
		},
		decrypted: 6,
	})
}

// logtoLongRefresh is the refresh token beside the long access token, if the
// known answer has one.
func logtoLongRefresh() string {
	if strings.Contains(sealedCase("logto", "64 KiB").Plaintext, "refresh_token") {
		return `"refreshToken":"1//logto-é✓",`
	}
	return ""
}

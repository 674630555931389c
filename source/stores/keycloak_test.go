package stores

import (
	"slices"
	"strings"
)

func init() {
	create := []string{
		"CREATE TABLE realm (id varchar(36) PRIMARY KEY, name varchar(255))",
		"INSERT INTO realm VALUES ('8f1c', 'acme')",
		"CREATE TABLE identity_provider (internal_id varchar(36) PRIMARY KEY, provider_alias varchar(255), provider_id varchar(255), realm_id varchar(36), store_token boolean NOT NULL DEFAULT true, enabled boolean NOT NULL DEFAULT true, UNIQUE (provider_alias, realm_id))",
		"INSERT INTO identity_provider VALUES ('i1', 'google', 'google', '8f1c'), ('i2', 'github', 'github', '8f1c'), ('i3', 'work', 'oidc', '8f1c')",
		"CREATE TABLE identity_provider_config (identity_provider_id varchar(36) NOT NULL, value text, name varchar(255) NOT NULL, PRIMARY KEY (identity_provider_id, name))",
		"INSERT INTO identity_provider_config VALUES ('i1', 'openid email', 'defaultScope'), ('i3', 'openid profile', 'defaultScope'), ('i3', 'acme', 'clientId')",
		`CREATE TABLE federated_identity (identity_provider varchar(255) NOT NULL, realm_id varchar(36), federated_user_id varchar(255), federated_username varchar(255), token text,
			user_id varchar(36) NOT NULL, PRIMARY KEY (identity_provider, user_id))`,
	}
	rows := []string{
		`INSERT INTO federated_identity VALUES ('google', '8f1c', 'g-1', 'anna@example.com', '{"access_token":"ya29.ä✓","expires_in":3599,"refresh_token":"1//r","refresh_expires_in":7200,"scope":"openid","token_type":"Bearer","accessTokenExpiration":1893456000}', 'u1')`,
		`INSERT INTO federated_identity VALUES ('github', '8f1c', 'gh-1', 'anna', 'access_token=gho_1&scope=read%3Auser%2Cuser%3Aemail&token_type=bearer', 'u1')`,
		`INSERT INTO federated_identity VALUES ('work', '8f1c', 'w-1', NULL, '{"access_token":"eyJ","expires_in":300,"refresh_token":"","refresh_expires_in":0,"accessTokenExpiration":"1893456000"}', 'u1')`,
		`INSERT INTO federated_identity VALUES ('twitter', '8f1c', 't-1', 'anna', '{"oauth_token":"t","oauth_token_secret":"s","screen_name":"anna"}', 'u1')`,
		`INSERT INTO federated_identity VALUES ('work', '8f1c', 'w-2', 'bo', NULL, 'u2'), ('google', '8f1c', 'g-2', 'bo', '', 'u2')`,
		`INSERT INTO federated_identity VALUES ('saml', '8f1c', 's-2', 'bo', '<saml:Assertion/>', 'u2')`,
		`INSERT INTO federated_identity VALUES ('github', '8f1c', 'gh-2', 'bo', '{"access_token":"cut sho', 'u2'), ('work', '8f1c', 'w-3', 'cy', 'not a token', 'u3')`,
		`INSERT INTO federated_identity VALUES ('google', '8f1c', 'g-3', 'cy', '{"access_token":"ya29.undated","expires_in":3599}', 'u3')`,
		`INSERT INTO federated_identity VALUES ('google', '8f1c', 'g-4', 'di', '{"id_token":"eyJ"}', 'u4')`,
	}
	want := map[string]string{
		"google/u1":  `{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"refreshTokenExpiresAt":1893459601000,"subject":"u1","externalSubject":"g-1","name":"anna@example.com","tenant":{"id":"8f1c"},"scopes":["openid"]}`,
		"github/u1":  `{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"u1","externalSubject":"gh-1","name":"anna","tenant":{"id":"8f1c"},"scopes":["read:user","user:email"]}`,
		"work/u1":    `{"provider":"work","accessToken":"eyJ","expiresAt":1893456000000,"subject":"u1","externalSubject":"w-1","tenant":{"id":"8f1c"},"scopes":["openid","profile"]}`,
		"twitter/u1": "oauth1", "work/u2": "no_token", "google/u2": "no_token", "saml/u2": "not_oauth", "github/u2": "decrypt_failed", "work/u3": "decrypt_failed", "google/u4": "no_token",
		"google/u3": `{"provider":"google","accessToken":"ya29.undated","expiresAt":"made up","subject":"u3","externalSubject":"g-3","name":"cy","tenant":{"id":"8f1c"},"scopes":["openid","email"]}`,
	}
	links := []string{
		`CREATE TABLE broker_link (identity_provider varchar(255) NOT NULL, storage_provider_id varchar(255), realm_id varchar(36) NOT NULL, broker_user_id varchar(255), broker_username varchar(255),
			token text, user_id varchar(255) NOT NULL, PRIMARY KEY (identity_provider, user_id))`,
		`INSERT INTO broker_link VALUES ('google', 'ldap', '8f1c', 'g-9', 'zoe', '{"access_token":"' || repeat('x', 65536) || '","accessTokenExpiration":0}', 'f:ldap:zoe')`,
		`INSERT INTO broker_link VALUES ('google', 'ldap', '8f1c', 'g-8', 'yan', '{"access_token":"ya29.y","accessTokenExpiration":1893456000}', 'f:ldap:yan')`,
	}
	all := map[string]string{
		"google/f:ldap:yan": `{"provider":"google","accessToken":"ya29.y","expiresAt":1893456000000,"subject":"f:ldap:yan","externalSubject":"g-8","name":"yan","tenant":{"id":"8f1c"},"scopes":["openid","email"]}`,
		"google/f:ldap:zoe": `{"provider":"google","accessToken":"` + strings.Repeat("x", 65536) + `","expiresAt":"made up","subject":"f:ldap:zoe","externalSubject":"g-9","name":"zoe","tenant":{"id":"8f1c"},"scopes":["openid","email"]}`,
	}
	for key, token := range want {
		all[key] = token
	}
	fixtures = append(fixtures,
		fixture{store: "keycloak", name: "with broker links", variant: "tables public.federated_identity and public.broker_link", sql: slices.Concat(create, rows, links), want: all, plain: 11},
		fixture{store: "keycloak", name: "without", variant: "table public.federated_identity", sql: slices.Concat(create, rows), want: want, plain: 9},
		fixture{store: "keycloak", name: "issuer", sql: slices.Concat(create, rows[:1], links[:1]), plain: 1,
			given: Params{"base_url": "https://sso.example.com/", "broker_links": "none", "providers_table": "none", "scopes": "google=a b"}, variant: "table public.federated_identity",
			want: map[string]string{"google/u1": `{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"refreshTokenExpiresAt":1893459601000,
				"subject":{"id":"u1","issuer":"https://sso.example.com/realms/acme"},"externalSubject":"g-1","name":"anna@example.com","tenant":{"id":"8f1c"},"scopes":["openid"]}`}},
	)
}

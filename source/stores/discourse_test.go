package stores

import "strings"

func init() {
	fixtures = append(fixtures,
		fixture{store: "discourse", name: "accounts", variant: "table public.user_associated_accounts",
			sql: []string{
				`CREATE TABLE user_associated_accounts (id bigserial PRIMARY KEY, provider_name varchar NOT NULL, provider_uid varchar NOT NULL, user_id integer, last_used timestamp NOT NULL DEFAULT now(),
					info jsonb NOT NULL DEFAULT '{}', credentials jsonb NOT NULL DEFAULT '{}', extra jsonb NOT NULL DEFAULT '{}', created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now())`,
				`INSERT INTO user_associated_accounts (id, provider_name, provider_uid, user_id, credentials) VALUES (` + strings.Join([]string{
					quoted(1, "google_oauth2", "a", 5, `{"token":"ya29.é✓","refresh_token":"1//r","expires_at":1893456000,"expires":true}`),
					quoted(2, "github", "b", 5, `{"token":"gho","expires":false}`),
					quoted(3, "google_oauth2", "c", nil, `{"token":"t","expires_at":1893456000}`),
					quoted(4, "twitter", "d", 6, `{"token":"t","secret":"s"}`),
					quoted(5, "oidc", "e", 6, `{}`), quoted(6, "oidc", "f", 6, `[]`), quoted(7, "oidc", "g", 6, `null`), quoted(8, "oidc", "h", 6, `{"token":null}`),
					quoted(9, "oidc", "i", 6, raw(`jsonb_build_object('token', repeat('x', 65536), 'expires_at', 0)`)),
					quoted(10, "oidc", "j", 6, `{"token":"t","expires_at":"soon"}`),
				}, "), (") + ")",
			},
			want: map[string]string{
				"1": `{"provider":"google_oauth2","accessToken":"ya29.é✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"5","externalSubject":"a"}`,
				"2": `{"provider":"github","accessToken":"gho","expiresAt":"made up","subject":"5","externalSubject":"b"}`,
				"3": "unlinked", "4": "oauth1", "5": "no_token", "6": "no_token", "7": "no_token", "8": "no_token", "9": "missing_expiry", "10": "invalid_expiry",
			}})
}

package stores

import "strings"

func init() {
	of := func(name string) string { return sealedValue("fernet", name) }
	wrong := Keys{"encryption_key": secret("HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT8=")}
	fixtures = append(fixtures,
		fixture{store: "fernet", name: "direct", given: Params{"table": "connections"}, variant: "table public.connections (provider, access_token: encrypted_access_token, refresh_token: encrypted_refresh_token, expires_at, user_id)",
			keys:  Keys{"encryption_key": secret("yMnKy8zNzs_Q0dLT1NXW19jZ2tvc3d7f4OHi4-Tl5uc=, HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4="), "old_keys": secret("Y2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn-AgYI=")},
			wrong: wrong, decrypted: 4, plain: 2,
			sql: []string{
				`CREATE TABLE connections (id bigint PRIMARY KEY, user_id integer, provider text, encrypted_access_token text, encrypted_refresh_token text, expires_at timestamptz)`,
				`INSERT INTO connections VALUES (` + strings.Join([]string{
					quoted(1, 5, "google", of("direct, unicode"), of("the oldest of three"), "2030-01-01Z"),
					quoted(2, 5, "google", of("direct, 64 KiB"), nil, "2030-01-01Z"),
					quoted(3, 5, "google", "plain", "", "2030-01-01Z"),
					quoted(4, 5, "google", of("direct, empty"), nil, "2030-01-01Z"),
					quoted(5, 5, "google", of("direct, unicode")[:50], nil, "2030-01-01Z"),
					quoted(6, 5, "github", "gho", nil, nil),
					quoted(7, 5, "google", nil, nil, nil),
				}, "), (") + ")",
			},
			want: map[string]string{
				"1": `{"provider":"google","accessToken":"1//0g-é✓-トークン","refreshToken":"ya29.oldest","expiresAt":1893456000000,"subject":"5"}`,
				"2": `{"provider":"google","accessToken":"` + longToken + `","expiresAt":1893456000000,"subject":"5"}`,
				"3": `{"provider":"google","accessToken":"plain","expiresAt":1893456000000,"subject":"5"}`,
				"4": "no_token", "5": "decrypt_failed",
				"6": `{"provider":"github","accessToken":"gho","expiresAt":"made up","subject":"5"}`, "7": "no_token",
			}},
		fixture{store: "fernet", name: "django-fernet-fields", given: Params{"table": "calendars_token", "derive": "django", "provider_name": "google"}, variant: "table public.calendars_token (provider_name: google, access_token, expires_at: expires, user_id)",
			keys: Keys{"encryption_key": secret("django-insecure-Zq8!é二 x,y")}, wrong: wrong, decrypted: 1,
			sql: []string{
				`CREATE TABLE calendars_token (id serial PRIMARY KEY, user_id integer, access_token bytea, expires timestamptz)`,
				`INSERT INTO calendars_token VALUES (1, 5, '\x` + of("django-fernet-fields, bytea") + `', '2030-01-01Z'), (2, 6, '', NULL), (3, 7, NULL, NULL)`,
			},
			want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.django","expiresAt":1893456000000,"subject":"5"}`, "2": "no_token", "3": "no_token"}},
		fixture{store: "fernet", name: "sha256, documents", given: Params{"table": "grants", "derive": "sha256", "response": "blob", "access_token": ""}, variant: "table public.grants (provider, response: blob, expires_at, user_id)",
			keys: Keys{"encryption_key": secret("django-insecure-Zq8!é二 x,y")}, wrong: wrong, decrypted: 1,
			sql: []string{
				`CREATE TABLE grants (id serial PRIMARY KEY, user_id integer, provider text, blob text, expires_at double precision)`,
				`INSERT INTO grants VALUES (` + quoted(1, 5, "google", of("SHA-256 of a secret"), 1893456000) + `)`,
			},
			want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.sha","expiresAt":1893456000000,"subject":"5"}`}})
}

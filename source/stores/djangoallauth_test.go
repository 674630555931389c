package stores

import "strings"

func init() {
	for _, v := range []struct{ name, variant, user, app, extra, prefix string }{
		{"newest", "0.56 or newer, tables public.socialaccount_socialtoken", "uuid", "integer", "jsonb", "socialaccount_"},
		{"old", "older than 0.56", "integer", "integer NOT NULL", "text", "socialaccount_"},
		{"renamed", "tables public.sso_socialtoken and public.sso_socialaccount", "bigint", "integer", "jsonb", "sso_"},
	} {
		user := func(n string) string {
			if v.user == "uuid" {
				return "10000000-0000-4000-8000-00000000000" + n
			}
			return n
		}
		app := "NULL"
		if strings.HasSuffix(v.app, "NOT NULL") {
			app = "1"
		}
		f := fixture{store: "django-allauth", name: v.name, variant: v.variant, sql: []string{
			`CREATE TABLE ` + v.prefix + `socialaccount (id serial PRIMARY KEY, provider varchar(200) NOT NULL, uid varchar(191) NOT NULL, last_login timestamptz NOT NULL,
				date_joined timestamptz NOT NULL, extra_data ` + v.extra + ` NOT NULL, user_id ` + v.user + ` NOT NULL, UNIQUE (provider, uid))`,
			`CREATE TABLE ` + v.prefix + `socialtoken (id serial PRIMARY KEY, token text NOT NULL, token_secret text NOT NULL, expires_at timestamptz,
				account_id integer NOT NULL REFERENCES ` + v.prefix + `socialaccount, app_id ` + v.app + `, UNIQUE (app_id, account_id))`,
			`CREATE TABLE ` + v.prefix + `socialapp (id serial PRIMARY KEY, provider varchar(30) NOT NULL, provider_id varchar(200) NOT NULL, name varchar(40) NOT NULL,
				client_id varchar(191) NOT NULL, secret varchar(191) NOT NULL, key varchar(191) NOT NULL, settings jsonb NOT NULL)`,
			`INSERT INTO ` + v.prefix + `socialaccount SELECT n, provider, 'uid-' || n, now(), now(), '{}', ('` + user("1") + `')::` + v.user + ` FROM
				(VALUES (1, 'google'), (2, 'github'), (3, 'twitter'), (4, 'acme-oidc'), (5, 'linkedin'), (6, 'microsoft'), (7, 'openstreetmap')) AS v (n, provider)`,
			`INSERT INTO ` + v.prefix + `socialtoken VALUES
				(1, 'ya29.ä✓', '1//r', '2030-01-01 00:00:00+00', 1, ` + app + `), (2, 'gho_1', '', NULL, 2, ` + app + `), (3, 'oauth1', 'secret', NULL, 3, ` + app + `),
				(4, '', '', NULL, 4, ` + app + `), (5, repeat('x', 65536), '', '9999-12-31', 5, ` + app + `), (6, 'eyJ', 'r', '1970-01-01 01:00:00+00', 6, ` + app + `),
				(7, 'osm', '', '2030-01-01 00:00:00+00', 7, ` + app + `), (9, 'of another app', 'r', '2030-01-01 00:00:00+00', 6, 7)`,
		}, plain: 0, want: map[string]string{
			"1": `{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"` + user("1") + `","externalSubject":"uid-1"}`,
			"2": `{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"` + user("1") + `","externalSubject":"uid-2"}`,
			"3": "oauth1", "4": "no_token", "5": "missing_expiry", "6": "missing_expiry",
			"7": `{"provider":"openstreetmap","accessToken":"osm","expiresAt":1893456000000,"subject":"` + user("1") + `","externalSubject":"uid-7"}`,
			"9": `{"provider":"microsoft","accessToken":"of another app","refreshToken":"r","expiresAt":1893456000000,"subject":"` + user("1") + `","externalSubject":"uid-6"}`,
		}}
		if app == "NULL" {
			f.sql = append(f.sql, `INSERT INTO `+v.prefix+`socialtoken VALUES (8, 'ya29.newer', '1//r', '2030-01-01 00:00:00+00', 1, NULL)`)
			f.want["8"] = strings.Replace(f.want["1"], "ya29.ä✓", "ya29.newer", 1)
			f.want["1"] = "older_copy"
			// An app that moved from the database to the settings leaves its token there.
			f.want["9"] = "older_copy"
			f.sql = append(f.sql, `INSERT INTO `+v.prefix+`socialtoken VALUES (10, 'since it moved', 'r', '2030-01-01 00:00:00+00', 6, NULL), (11, 'A', '', '2030-01-01 00:00:00+00', 2, 3), (12, 'B', '', '2030-01-01 00:00:00+00', 2, 4)`)
			f.want["6"] = "older_copy"
			f.want["2"] = "older_copy"
			f.want["10"] = `{"provider":"microsoft","accessToken":"since it moved","refreshToken":"r","expiresAt":1893456000000,"subject":"` + user("1") + `","externalSubject":"uid-6"}`
			for key, token := range map[string]string{"11": "A", "12": "B"} { // of two clients
				f.want[key] = `{"provider":"github","accessToken":"` + token + `","expiresAt":1893456000000,"subject":"` + user("1") + `","externalSubject":"uid-2"}`
			}
		}
		fixtures = append(fixtures, f)
	}
	given := fixtures[len(fixtures)-1]
	given.name, given.variant = "scopes given", "0.56 or newer"
	given.given = Params{"table": "SSO_socialtoken", "accounts": "public.sso_socialaccount", "scopes": "google = openid email; read:user", "oauth1_providers": ""}
	given.want = map[string]string{
		"1": "older_copy", "4": "no_token", "5": "missing_expiry", "6": "older_copy", "3": "missing_expiry", "2": "older_copy", "9": "older_copy",
		"11": `{"provider":"github","accessToken":"A","expiresAt":1893456000000,"subject":"1","externalSubject":"uid-2","scopes":["read:user"]}`,
		"12": `{"provider":"github","accessToken":"B","expiresAt":1893456000000,"subject":"1","externalSubject":"uid-2","scopes":["read:user"]}`,
		"7":  `{"provider":"openstreetmap","accessToken":"osm","expiresAt":1893456000000,"subject":"1","externalSubject":"uid-7","scopes":["read:user"]}`,
		"8":  `{"provider":"google","accessToken":"ya29.newer","refreshToken":"1//r","expiresAt":1893456000000,"subject":"1","externalSubject":"uid-1","scopes":["openid","email"]}`,
		"10": `{"provider":"microsoft","accessToken":"since it moved","refreshToken":"r","expiresAt":1893456000000,"subject":"1","externalSubject":"uid-6","scopes":["read:user"]}`,
	}
	fixtures = append(fixtures, given)
}

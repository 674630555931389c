package stores

func init() {
	for _, kind := range []string{"jsonb", "text", "json"} {
		f := fixture{
			store: "python-social-auth", name: kind, variant: "extra_data as " + kind + ", table public.social_auth_usersocialauth", plain: 14,
			sql: []string{`CREATE TABLE social_auth_usersocialauth (id bigserial PRIMARY KEY, provider varchar(32) NOT NULL, uid varchar(255) NOT NULL,
				extra_data ` + kind + ` NOT NULL, created timestamptz NOT NULL, modified timestamptz NOT NULL, user_id integer NOT NULL, UNIQUE (provider, uid))`},
			want: map[string]string{
				"1":  `{"provider":"google-oauth2","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893459599000,"subject":"7","externalSubject":"u1","scopes":["openid","email"]}`,
				"2":  `{"provider":"azuread-oauth2","accessToken":"eyJ","refreshToken":"0.A","expiresAt":1893456000000,"subject":"7","externalSubject":"u2"}`,
				"3":  `{"provider":"facebook","accessToken":"EAA","expiresAt":1893461184000,"subject":"7","externalSubject":"u3"}`,
				"4":  `{"provider":"linkedin","accessToken":"AQ","expiresAt":1893456001000,"subject":"7","externalSubject":"u4","scopes":["r_liteprofile","r_email"]}`,
				"5":  "oauth1",
				"6":  "no_token",
				"7":  `{"provider":"github","accessToken":"gho_","expiresAt":"made up","subject":"7","externalSubject":"u7"}`,
				"8":  "missing_expiry",
				"9":  `{"provider":"google-oauth2","accessToken":"ya29.m","expiresAt":1893459600000,"subject":"7","externalSubject":"u9"}`,
				"10": "no_token",
				"11": "decrypt_failed",
				"12": "missing_expiry",
				"13": "no_token",
				"14": `{"provider":"google-oauth2","accessToken":"` + "x" + `","expiresAt":"made up","subject":"7","externalSubject":"u14"}`,
			},
		}
		f.want["14"] = "missing_expiry"
		insert := func(id, provider, data, modified string) {
			f.sql = append(f.sql, "INSERT INTO social_auth_usersocialauth VALUES ("+id+", '"+provider+"', 'u"+id+"', "+data+", now(), '"+modified+"', 7)")
		}
		const modified = "2030-01-01 00:00:00.7+00"
		insert("1", "google-oauth2", `'{"access_token": "ya29.ä✓", "refresh_token": "1//r", "expires_in": 3599, "expires": 100, "auth_time": 1893456000, "scope": "openid email", "token_type": "Bearer"}'`, modified)
		insert("2", "azuread-oauth2", `'{"access_token": "eyJ", "refresh_token": "0.A", "expires_on": "1893456000", "expires": "3599", "auth_time": 1893000000}'`, modified)
		insert("3", "facebook", `'{"access_token": "EAA", "expires": "5184.9", "auth_time": "1893456000", "refresh_token": null}'`, modified)
		insert("4", "linkedin", `'{"access_token": "AQ", "expires": 1893456001, "expires_in": null, "scope": ["r_liteprofile", "r_email"]}'`, modified)
		insert("5", "twitter", `'{"access_token": {"oauth_token": "t", "oauth_token_secret": "s", "screen_name": "n"}, "id": 1}'`, modified)
		insert("6", "saml", `'{"name_id": "n"}'`, modified)
		insert("7", "github", `'{"access_token": "gho_", "expires": null, "refresh_token": "", "auth_time": 1893456000}'`, modified)
		insert("8", "discord", `'{"access_token": "d", "expires_in": 0, "expires": "never", "auth_time": 1893456000}'`, modified)
		insert("9", "google-oauth2", `'{"access_token": "ya29.m", "expires_in": 3600}'`, modified)
		insert("12", "spotify", `'{"access_token": "s", "expires_in": 3600}'`, "infinity")
		insert("14", "spotify", `('{"access_token": "' || repeat('x', 65536) || '", "expires_on": 0}')::`+kind, "9999-12-31")
		if kind == "text" {
			insert("10", "email", "''", modified)
			insert("11", "google-oauth2", `'{"access_token": "cut sho'`, modified)
			insert("13", "email", `'null'`, modified)
			insert("15", "dropbox-oauth2", `'"{\"access_token\": \"sl.\", \"expires_on\": 1893456000}"'`, modified)
			f.want["15"] = `{"provider":"dropbox-oauth2","accessToken":"sl.","expiresAt":1893456000000,"subject":"7","externalSubject":"u15"}`
			insert("16", "yahoo-oauth", `'{"access_token": "oauth_token=t&oauth_token_secret=s"}'`, modified)
			f.want["16"] = "oauth1"
			f.plain = 15
		} else {
			insert("10", "email", "'{}'", modified)
			insert("11", "google-oauth2", "'[1]'", modified)
			insert("13", "email", `'null'`, modified)
		}
		fixtures = append(fixtures, f)
	}
	// The Flask application's table has no times.
	fixtures = append(fixtures, fixture{
		store: "python-social-auth", name: "renamed and without times", variant: "table app.usersocialauth", plain: 2,
		sql: []string{
			"CREATE SCHEMA app",
			"CREATE TABLE app.usersocialauth (id serial PRIMARY KEY, provider varchar(32), uid varchar(255), extra_data text, user_id integer)",
			`INSERT INTO app.usersocialauth VALUES (1, 'google-oauth2', 'u1', '{"access_token": "a", "expires_in": 3600}', 1), (2, 'google-oauth2', 'u2', NULL, 1),
				(3, 'google-oauth2', 'u3', '{"access_token": "a", "expires": 3600, "auth_time": 1893456000}', NULL)`,
		},
		want: map[string]string{"1": "missing_expiry", "2": "no_token", "3": "missing_subject"},
	})
}

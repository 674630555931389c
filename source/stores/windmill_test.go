package stores

func init() {
	const workspaceKey = "b8Vn2Zx7Qk4Ws9Er1Ty6Ui3Op0As5Df8Gh2Jk7Lz4Xc9Vb1Nm6Qw3Er0Ty5Ui8Op"
	create := []string{
		`CREATE TABLE account (workspace_id varchar(50) NOT NULL, id serial, expires_at timestamptz NOT NULL, refresh_token varchar(1500) NOT NULL, owner varchar(50), client varchar(50) NOT NULL,
			refresh_error text, PRIMARY KEY (workspace_id, id))`,
		`CREATE TABLE variable (workspace_id varchar(50) NOT NULL, path varchar(255) NOT NULL, value varchar NOT NULL, is_secret boolean NOT NULL DEFAULT false, description varchar(10000) NOT NULL DEFAULT '',
			extra_perms jsonb NOT NULL DEFAULT '{}', account integer, is_oauth boolean NOT NULL DEFAULT false, expires_at timestamptz, PRIMARY KEY (workspace_id, path))`,
		"CREATE TYPE workspace_key_kind AS ENUM ('cloud')",
		"CREATE TABLE workspace_key (workspace_id varchar(50) NOT NULL, kind workspace_key_kind NOT NULL, key varchar(255) NOT NULL DEFAULT 'changeme', PRIMARY KEY (workspace_id, kind))",
		"INSERT INTO workspace_key VALUES (" + quoted("acme", "cloud", workspaceKey) + "), (" + quoted("example", "cloud", "magickey") + ")",
		`INSERT INTO account VALUES ('acme', 1, '2030-01-01 00:00:00+00', '1//r', 'u/anna', 'gcal', NULL), ('acme', 2, '2030-01-01 00:00:00+00', '', 'g/all', 'github', 'expired'),
			('acme', 4, '2020-01-01 00:00:00+00', 'r', 'u/bo', 'gmail', 'invalid_grant'), ('acme', 3, '1970-01-01 00:00:00+00', 'r', 'u/bo', 'gsheets', NULL), ('example', 1, '2030-01-01 00:00:00+00', 'of the other workspace', 'u/anna', 'linkedin', NULL)`,
	}
	insert := func(workspace, path, value string, secret, oauth bool, account any) string {
		return "INSERT INTO variable (workspace_id, path, value, is_secret, is_oauth, account) VALUES (" + quoted(workspace, path, value, secret, oauth, account) + ")"
	}
	salted := sealedValue("windmill", "with a salt")
	f := fixture{
		store: "windmill", name: "with a salt", variant: "tables public.variable and public.account", plain: 1, decrypted: 4,
		keys: Keys{"secret_salt": secret("Salz-é-R4t9Y2u7")}, wrong: Keys{"secret_salt": secret("another salt")},
		sql: append(create,
			insert("acme", "u/anna/calendar", salted, true, true, 1),
			insert("acme", "f/team/github", sealedValue("windmill", "64 KiB"), true, true, 2),
			insert("acme", "g/all/slack_bot_token", salted, true, true, nil),
			insert("acme", "u/bo/sheets", salted, true, true, 3),
			insert("acme", "u/bo/refused", salted, true, true, 4),
			insert("acme", "u/bo/plain", "ya29.plain", false, true, 1),
			insert("acme", "u/bo/damaged", salted[:30], true, true, 1),
			insert("acme", "u/bo/empty", "", true, true, 1),
			insert("acme", "u/bo/elsewhere", "$vault:u/bo/elsewhere", true, true, 1),
			insert("acme", "u/bo/password", salted, true, false, nil),
			insert("acme", "f/config/url", "https://example.com", false, false, nil),
			insert("gone", "u/anna/calendar", salted, true, true, nil),
		),
		want: map[string]string{
			"acme/u%2Fanna%2Fcalendar":       `{"provider":"gcal","accessToken":"ya29.a0Windmill-é✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"anna","tenant":{"id":"acme"},"name":"u/anna/calendar"}`,
			"acme/f%2Fteam%2Fgithub":         `{"provider":"github","accessToken":"` + longToken + `","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"acme"},"name":"f/team/github"}`,
			"acme/g%2Fall%2Fslack_bot_token": `{"provider":"slack","accessToken":"ya29.a0Windmill-é✓","expiresAt":"made up","subject":{"type":"app"},"tenant":{"id":"acme"},"name":"g/all/slack_bot_token"}`,
			"acme/u%2Fbo%2Fsheets":           "missing_expiry",
			"acme/u%2Fbo%2Fplain":            `{"provider":"gcal","accessToken":"ya29.plain","refreshToken":"1//r","expiresAt":1893456000000,"subject":"bo","tenant":{"id":"acme"},"name":"u/bo/plain"}`,
			"acme/u%2Fbo%2Fdamaged":          "decrypt_failed",
			"acme/u%2Fbo%2Frefused":          "disconnected",
			"acme/u%2Fbo%2Fempty":            "no_token",
			"acme/u%2Fbo%2Felsewhere":        "not_offline",
			"acme/u%2Fbo%2Fpassword":         "not_oauth",
			"acme/f%2Fconfig%2Furl":          "not_oauth",
			"gone/u%2Fanna%2Fcalendar":       "decrypt_failed", // its workspace has no key
		},
	}
	fixtures = append(fixtures, f, fixture{
		store: "windmill", name: "without a salt", variant: "tables public.variable and public.account", decrypted: 2,
		sql: append(create[:len(create):len(create)],
			insert("acme", "u/anna/calendar", sealedValue("windmill", "without a salt"), true, true, 1),
			insert("acme", "u/anna/cut", "AAAA", true, true, 1),
			insert("example", "u/anna/blog", sealedValue("windmill", "published example"), true, true, 1)),
		want: map[string]string{
			"acme/u%2Fanna%2Fcalendar": `{"provider":"gcal","accessToken":"ya29.a0Windmill3","refreshToken":"1//r","expiresAt":1893456000000,"subject":"anna","tenant":{"id":"acme"},"name":"u/anna/calendar"}`,
			"acme/u%2Fanna%2Fcut":      "decrypt_failed",
			"example/u%2Fanna%2Fblog":  `{"provider":"linkedin","accessToken":"http://magiclen.org","refreshToken":"of the other workspace","expiresAt":1893456000000,"subject":"anna","tenant":{"id":"example"},"name":"u/anna/blog"}`,
		},
	})
}

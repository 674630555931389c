package stores

import "fmt"

func init() {
	key := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
	f := fixture{
		store: "plane", name: "accounts", variant: "table public.accounts",
		sql: []string{`CREATE TABLE accounts (id uuid PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), user_id uuid NOT NULL,
			provider_account_id varchar(255) NOT NULL, provider varchar NOT NULL, access_token text NOT NULL, access_token_expired_at timestamptz, refresh_token text,
			refresh_token_expired_at timestamptz, last_connected_at timestamptz NOT NULL, id_token text NOT NULL DEFAULT '', metadata jsonb NOT NULL DEFAULT '{}',
			UNIQUE (provider, provider_account_id))`},
		want: map[string]string{},
	}
	token := func(n int, provider, access, more string) string {
		return fmt.Sprintf(`{"provider":"%s","accessToken":"%s",%s,"subject":"10000000-0000-4000-8000-000000000001","externalSubject":"p%d"}`, provider, access, more, n)
	}
	for i, row := range []struct{ provider, access, expires, refresh, refreshExpires, connected, want string }{
		{"google", "'ya29.ä✓'", "'1970-01-01 01:00:00+00'", "'1//r'", "'1970-01-01 00:00:00+00'", "'2030-01-01 00:00:00+00'",
			token(1, "google", "ya29.ä✓", `"refreshToken":"1//r","expiresAt":1893459600000`)},
		{"github", "'gho_1'", "NULL", "NULL", "NULL", "'2030-01-01 00:00:00+00'", token(2, "github", "gho_1", `"expiresAt":"made up"`)},
		{"gitlab", "'glpat'", "'2030-01-01 00:00:00+00'", "'r'", "'2031-01-01 00:00:00+00'", "'2029-01-01 00:00:00+00'",
			token(3, "gitlab", "glpat", `"refreshToken":"r","expiresAt":1893456000000,"refreshTokenExpiresAt":1924992000000`)},
		{"gitea", "'g'", "'-infinity'", "''", "'infinity'", "'2030-01-01 00:00:00+00'", token(4, "gitea", "g", `"expiresAt":1893459600000`)},
		{"gitea", "''", "'9999-12-31'", "''", "NULL", "'2030-01-01 00:00:00+00'", "no_token"},
		{"google", "repeat('x', 65536)", "'1970-01-01 00:59:59+00'", "NULL", "NULL", "'9999-12-31 00:00:00+00'", "missing_expiry"},
		{"google", "'ya29.z'", "'1970-01-01 00:00:00+00'", "NULL", "NULL", "'2030-01-01 00:00:00+00'", token(7, "google", "ya29.z", `"expiresAt":1893459600000`)},
	} {
		n := i + 1
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO accounts (id, user_id, provider_account_id, provider, access_token, access_token_expired_at, refresh_token, refresh_token_expired_at, last_connected_at)
			VALUES ('%s', '10000000-0000-4000-8000-000000000001', 'p%d', '%s', %s, %s, %s, %s, %s)`,
			key(n), n, row.provider, row.access, row.expires, row.refresh, row.refreshExpires, row.connected))
		f.want[key(n)] = row.want
	}
	fixtures = append(fixtures, f)
}

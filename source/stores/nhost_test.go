package stores

func init() {
	fixtures = append(fixtures, fixture{
		store: "nhost", name: "auth schema", variant: "table auth.user_providers",
		sql: []string{
			"CREATE SCHEMA auth",
			"CREATE TABLE auth.providers (id text PRIMARY KEY)",
			"INSERT INTO auth.providers VALUES ('google'), ('github')",
			`CREATE TABLE auth.user_providers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
				user_id uuid NOT NULL, access_token text NOT NULL, refresh_token text, provider_id text NOT NULL REFERENCES auth.providers, provider_user_id text NOT NULL,
				UNIQUE (provider_id, provider_user_id))`,
			`INSERT INTO auth.user_providers (id, user_id, access_token, refresh_token, provider_id, provider_user_id) VALUES
				('00000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'ya29.ä✓', '1//r', 'google', 'p1'),
				('00000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001', 'unset', NULL, 'github', 'p2'),
				('00000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000002', '', '', 'google', 'p3'),
				('00000000-0000-4000-8000-000000000004', '10000000-0000-4000-8000-000000000002', 'gho_1', '', 'github', 'p4'),
				('00000000-0000-4000-8000-000000000005', '10000000-0000-4000-8000-000000000003', 'unset', NULL, 'google', 'p5')`,
		},
		want: map[string]string{
			"00000000-0000-4000-8000-000000000001": `{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":"made up","subject":"10000000-0000-4000-8000-000000000001","externalSubject":"p1"}`,
			"00000000-0000-4000-8000-000000000002": "placeholder",
			"00000000-0000-4000-8000-000000000003": "no_token",
			"00000000-0000-4000-8000-000000000004": `{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"10000000-0000-4000-8000-000000000002","externalSubject":"p4"}`,
			"00000000-0000-4000-8000-000000000005": "placeholder",
		},
	})
}

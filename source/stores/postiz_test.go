package stores

import "fmt"

func init() {
	f := fixture{
		store: "postiz", name: "Prisma", variant: `table public."Integration"`,
		sql: []string{`CREATE TABLE "Integration" (id text PRIMARY KEY, "internalId" text NOT NULL, "organizationId" text NOT NULL, name text NOT NULL, picture text, "providerIdentifier" text NOT NULL,
			type text NOT NULL, token text NOT NULL, disabled boolean NOT NULL DEFAULT false, "tokenExpiration" timestamp(3), "refreshToken" text, profile text, "deletedAt" timestamp(3),
			"createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3), "inBetweenSteps" boolean NOT NULL DEFAULT false, "refreshNeeded" boolean NOT NULL DEFAULT false,
			"customInstanceDetails" text, "customerId" text, "rootInternalId" text, "additionalSettings" text DEFAULT '[]', UNIQUE ("organizationId", "internalId"))`},
		want: map[string]string{},
	}
	token := func(n int, provider, access, more string) string {
		return fmt.Sprintf(`{"provider":"%s","accessToken":"%s",%s,"subject":{"type":"app"},"tenant":{"id":"org-1"},"externalSubject":"int-%d","installationId":"int-%d","name":"Kanal ✓"}`, provider, access, more, n, n)
	}
	for i, row := range []struct{ provider, kind, token, refresh, expires, set, want string }{
		{"youtube", "social", "'ya29.ä✓'", "'1//r'", "'2030-01-01 00:00:00'", "", token(1, "youtube", "ya29.ä✓", `"refreshToken":"1//r","expiresAt":1893456000000`)},
		{"linkedin", "social", "'AQ'", "''", "'2030-01-01 00:00:00'", `disabled = true`, token(2, "linkedin", "AQ", `"expiresAt":1893456000000`)},
		{"slack", "social", "'xoxb'", "''", "now() AT TIME ZONE 'UTC' + interval '999999999 seconds'", "", token(3, "slack", "xoxb", `"expiresAt":"made up"`)},
		{"reddit", "social", "'ey'", "'r'", "now() AT TIME ZONE 'UTC' + interval '100 years'", "", "missing_expiry"},
		{"x", "social", "'token:secret'", "''", "'2030-01-01 00:00:00'", "", "oauth1"},
		{"facebook", "social", "'EAA'", "''", "'2030-01-01 00:00:00'", `"deletedAt" = now()`, "deleted"},
		{"instagram", "social", "'EAA'", "''", "'2030-01-01 00:00:00'", `"inBetweenSteps" = true`, "never_connected"},
		{"devto", "article", "'key'", "NULL", "NULL", "", "not_oauth"},
		{"kick", "social", `'{"key": "v"}'`, "NULL", "'2030-01-01 00:00:00'", "", "not_oauth"},
		{"pinterest", "social", "''", "''", "'2030-01-01 00:00:00'", "", "no_token"},
		{"tiktok", "social", "'act'", "'rft'", "'2030-01-01 00:00:00'", `"refreshNeeded" = true`, "disconnected"},
		{"youtube", "social", "repeat('x', 65536)", "''", "'9999-12-31 00:00:00'", "", "missing_expiry"},
		{"mastodon", "social", "'m'", "''", "NULL", `"customInstanceDetails" = 'ab'`, token(13, "mastodon", "m", `"expiresAt":"made up"`)},
		{"x", "social", "'oauth2'", "'r'", "'2030-01-01 00:00:00'", "", token(14, "x", "oauth2", `"refreshToken":"r","expiresAt":1893456000000`)},
	} {
		n := i + 1
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO "Integration" (id, "internalId", "organizationId", name, "providerIdentifier", type, token, "refreshToken", "tokenExpiration")
			VALUES ('c%d', 'int-%d', 'org-1', 'Kanal ✓', '%s', '%s', %s, %s, %s)`, n, n, row.provider, row.kind, row.token, row.refresh, row.expires))
		if row.set != "" {
			f.sql = append(f.sql, fmt.Sprintf(`UPDATE "Integration" SET %s WHERE id = 'c%d'`, row.set, n))
		}
		f.want[fmt.Sprintf("c%d", n)] = row.want
	}
	fixtures = append(fixtures, f)

	kept := f
	kept.name, kept.given, kept.want = "refused kept", Params{"refused": "keep", "other_providers": "kick"}, map[string]string{}
	for key, want := range f.want {
		kept.want[key] = want
	}
	kept.want["c11"] = token(11, "tiktok", "act", `"refreshToken":"rft","expiresAt":1893456000000`)
	kept.want["c8"] = "missing_expiry"
	fixtures = append(fixtures, kept)
}

package stores

import "fmt"

func init() {
	for _, v := range []struct{ name, schema, table, id, user, account, expires, variant string }{
		{"pg adapter", "", "accounts", "id serial PRIMARY KEY", `"userId" integer NOT NULL`, `"providerAccountId" varchar(255) NOT NULL`, "bigint", "Postgres adapter, table public.accounts"},
		{"Neon adapter", "", "accounts", "id serial PRIMARY KEY", `"userId" integer NOT NULL`, `"providerAccountId" varchar(255) NOT NULL`, "integer", "Neon adapter"},
		{"Prisma", "", `"Account"`, "id text PRIMARY KEY", `"userId" text NOT NULL`, `"providerAccountId" text NOT NULL`, "integer", `Prisma adapter, table public."Account"`},
		{"Prisma mapped", "", "accounts", "id text PRIMARY KEY", "user_id text NOT NULL", "provider_account_id text NOT NULL", "integer", "Prisma adapter with mapped names"},
		{"Kysely", "", `"Account"`, "id uuid PRIMARY KEY", `"userId" uuid NOT NULL`, `"providerAccountId" text NOT NULL`, "bigint", "Kysely adapter"},
		{"TypeORM", "", "accounts", "id uuid PRIMARY KEY", `"userId" uuid`, `"providerAccountId" varchar NOT NULL`, "bigint", "TypeORM adapter"},
		{"Sequelize", "", "accounts", "id uuid PRIMARY KEY", "user_id uuid", "provider_account_id varchar(255) NOT NULL", "integer", "Sequelize adapter"},
		{"Supabase", "next_auth", "accounts", "id uuid PRIMARY KEY", `"userId" uuid`, `"providerAccountId" text NOT NULL`, "bigint", "Supabase adapter"},
		{"Hasura", "", "accounts", "id uuid PRIMARY KEY", `"userId" uuid NOT NULL`, `"providerAccountId" text NOT NULL`, "integer", "Hasura adapter"},
		{"MikroORM", "", "account", "id varchar(255) PRIMARY KEY", "user_id varchar(255) NOT NULL", "provider_account_id varchar(255) NOT NULL", "integer", "MikroORM adapter"},
		{"Drizzle", "", "account", "", `"userId" text NOT NULL`, `"providerAccountId" text NOT NULL`, "integer", "Drizzle adapter"},
	} {
		fixtures = append(fixtures, authjsFixture(v.name, v.schema, v.table, v.id, v.user, v.account, v.expires, v.variant))
	}
}

// authjsFixture writes one adapter's schema, and six accounts into it: one with
// everything, one that GitHub gave no expiry, one of another provider without
// expiry, an e-mail login, a login that kept no token, and (Supabase's adapter)
// an OAuth 1 account.
func authjsFixture(name, schema, table, id, user, account, expires, variant string) fixture {
	key, keyOf := id, func(n int, provider string) string {
		switch {
		case id == "":
			return fmt.Sprintf("%s/acc-%d", provider, n)
		case id == "id uuid PRIMARY KEY":
			return fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
		}
		return fmt.Sprint(n)
	}
	if id == "" {
		key = `PRIMARY KEY (provider, "providerAccountId")`
	}
	userOf := func(n int) string {
		if user == `"userId" uuid NOT NULL` || user == `"userId" uuid` || user == "user_id uuid" {
			return fmt.Sprintf("10000000-0000-4000-8000-%012d", n)
		}
		return fmt.Sprint(100 + n)
	}
	prefix, extra := "", ""
	if schema != "" {
		prefix, extra = schema+".", ", oauth_token text, oauth_token_secret text"
	}
	f := fixture{store: "authjs", name: name, variant: variant, want: map[string]string{}}
	if schema != "" {
		f.sql = append(f.sql, "CREATE SCHEMA "+schema)
	}
	f.sql = append(f.sql, fmt.Sprintf(`CREATE TABLE %s%s (%s, %s, type text NOT NULL, provider text NOT NULL, %s,
		refresh_token text, access_token text, expires_at %s, id_token text, scope text, session_state text, token_type text%s)`,
		prefix, table, key, user, account, expires, extra))
	insert := func(n int, provider, kind, access, refresh, at, scope string) {
		columns, values := "", ""
		if id != "" {
			columns, values = "id, ", "'"+keyOf(n, provider)+"', "
		}
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO %s%s (%s%s, type, provider, %s, access_token, refresh_token, expires_at, scope)
			VALUES (%s'%s', '%s', '%s', 'acc-%d', %s, %s, %s, %s)`,
			prefix, table, columns, firstWord(user), firstWord(account), values, userOf(n), kind, provider, n, access, refresh, at, scope))
	}
	insert(1, "google", "oauth", "'ya29.ä✓'", "'1//r'", "1893456000", "'openid https://www.googleapis.com/auth/calendar'")
	insert(2, "github", "oauth", "'gho_1'", "''", "NULL", "'read:user,user:email'")
	insert(3, "azure-ad", "oidc", "repeat('x', 65536)", "NULL", "0", "NULL")
	insert(4, "email", "email", "NULL", "NULL", "NULL", "NULL")
	insert(5, "auth0", "oidc", "NULL", "'r'", "1893456000", "NULL")
	f.want[keyOf(1, "google")] = fmt.Sprintf(`{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"%s",
		"scopes":["openid","https://www.googleapis.com/auth/calendar"],"externalSubject":"acc-1"}`, userOf(1))
	f.want[keyOf(2, "github")] = fmt.Sprintf(`{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"%s","scopes":["read:user","user:email"],"externalSubject":"acc-2"}`, userOf(2))
	f.want[keyOf(3, "azure-ad")] = "missing_expiry"
	f.want[keyOf(4, "email")] = "not_oauth"
	f.want[keyOf(5, "auth0")] = "no_token"
	if schema != "" {
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO %s%s (id, "userId", type, provider, "providerAccountId", oauth_token, oauth_token_secret)
			VALUES ('%s', '%s', 'oauth', 'twitter', 'acc-6', 't', 's')`, prefix, table, keyOf(6, ""), userOf(6)))
		f.want[keyOf(6, "")] = "oauth1"
	}
	return f
}

// firstWord returns the name that a column's definition begins with.
func firstWord(definition string) string {
	for i, c := range definition {
		if c == ' ' {
			return definition[:i]
		}
	}
	return definition
}

// A type that is an enum has the names of its version only, and a provider may be
// one, too.
func init() {
	fixtures = append(fixtures, fixture{
		store: "authjs", name: "enums", variant: `Prisma adapter, table public."Account"`, given: Params{"providers": "google,not-in-the-enum"},
		sql: []string{
			`CREATE TYPE account_type AS ENUM ('oauth', 'email', 'credentials')`, `CREATE TYPE account_provider AS ENUM ('google', 'github', 'mail')`,
			`CREATE TABLE "Account" (id text PRIMARY KEY, "userId" text NOT NULL, type account_type NOT NULL, provider account_provider NOT NULL, "providerAccountId" text NOT NULL,
				refresh_token text, access_token text, expires_at integer, token_type text, scope text, id_token text, session_state text)`,
			`INSERT INTO "Account" VALUES ('a', 'u1', 'oauth', 'google', 'g1', 'r', 't', 1893456000), ('b', 'u1', 'email', 'google', 'g2', NULL, 't', 1893456000),
				('c', 'u1', 'oauth', 'github', 'h1', 'r', 't', 1893456000)`,
		},
		want: map[string]string{"a": `{"provider":"google","accessToken":"t","refreshToken":"r","expiresAt":1893456000000,"subject":"u1","externalSubject":"g1"}`, "b": "not_oauth"},
	})
}

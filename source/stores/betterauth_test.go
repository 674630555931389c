package stores

import (
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/source"
)

// betterAuthSchema is one adapter's table.
type betterAuthSchema struct {
	name, table, variant string
	id, user             string // types
	style                func(camel string) string
	timestamp            string
	extra                string // further columns
	given                Params
}

func init() {
	camel := func(s string) string { return `"` + s + `"` }
	renamed := map[string]string{"providerId": "idp", "userId": "person", "accessToken": "at", "refreshToken": "rt",
		"accessTokenExpiresAt": "at_until", "refreshTokenExpiresAt": "rt_until", "accountId": "idp_account", "scope": "granted"}
	for _, s := range []betterAuthSchema{
		{"built-in", "account", "built-in migrator (Kysely), table public.account", "text", "text", camel, "timestamptz", "", nil},
		{"built-in, plural, serial ids", "accounts", "built-in migrator (Kysely), table public.accounts", "serial", "integer", camel, "timestamptz", "", nil},
		{"built-in, uuid ids, issuer", "account", "with issuer (1.7.0 to 1.7.2)", "uuid", "uuid", camel, "timestamptz", `, issuer text NOT NULL DEFAULT 'local:oauth:x'`, nil},
		{"Drizzle", "account", "Drizzle, or snake_case names, table public.account", "text", "text", snake, "timestamp", "", nil},
		{"Drizzle, renamed table", `"LinkedLogins"`, `Drizzle, or snake_case names, table public."LinkedLogins"`, "text", "text", snake, "timestamp", "", nil},
		{"Prisma", "account", "Prisma, table public.account", "text", "text", camel, "timestamp(3)", "", nil},
		{"renamed columns", "links", "renamed columns, table public.links", "text", "text", func(s string) string { return renamed[s] }, "timestamptz", "",
			Params{"table": "links", "provider_id": "idp", "user_id": "person", "access_token": "at", "refresh_token": "rt",
				"access_token_expires_at": "at_until", "refresh_token_expires_at": "rt_until", "account_id": "idp_account", "scope": "granted"}},
	} {
		fixtures = append(fixtures, s.plain())
	}
	fixtures = append(fixtures, betterAuthSealed(), betterAuthRotated(), betterAuthMembers())
}

// snake writes a camelCase name in snake_case.
func snake(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// create makes the table.
func (s *betterAuthSchema) create() string {
	n := s.style
	return fmt.Sprintf(`CREATE TABLE %s (id %s PRIMARY KEY, %s text NOT NULL, %s text NOT NULL, %s %s NOT NULL, %s text, %s text, "idToken" text,
		%[9]s %[11]s, %[10]s %[11]s, %[12]s text, password text, created %[11]s NOT NULL DEFAULT now()%[13]s)`,
		s.table, s.id, n("accountId"), n("providerId"), n("userId"), s.user, n("accessToken"), n("refreshToken"),
		n("accessTokenExpiresAt"), n("refreshTokenExpiresAt"), s.timestamp, n("scope"), s.extra)
}

// insert writes one account: its provider, tokens, expiries and scope.
func (s *betterAuthSchema) insert(n int, provider string, values ...any) string {
	c := s.style
	return fmt.Sprintf("INSERT INTO %s (id, %s, %s, %s, %s, %s, %s, %s, %s) VALUES (%s)", s.table,
		c("accountId"), c("providerId"), c("userId"), c("accessToken"), c("refreshToken"), c("accessTokenExpiresAt"), c("refreshTokenExpiresAt"), c("scope"),
		quoted(append([]any{s.key(n), fmt.Sprintf("acc-%d", n), provider, s.owner(n)}, values...)...))
}

func (s *betterAuthSchema) key(n int) string   { return idOf(s.id, n) }
func (s *betterAuthSchema) owner(n int) string { return idOf(s.user, 100+n) }

// idOf is the n-th id of a type.
func idOf(typ string, n int) string {
	switch typ {
	case "uuid":
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	case "serial", "integer":
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("id-%d", n)
}

// plain holds accounts whose tokens are plain: everything set, no expiry and an
// empty refresh token, expiries that are none, a long token, a password, an
// account without tokens, and hexadecimal too short for a sealed token.
func (s betterAuthSchema) plain() fixture {
	f := fixture{store: "better-auth", name: s.name, variant: s.variant, given: s.given, plain: 7, want: map[string]string{}}
	f.sql = []string{
		s.create(),
		s.insert(1, "google", "ya29.ä✓", "1//r", "2030-01-01 00:00:00.25+00", "2031-01-01 00:00:00+00", "openid,https://www.googleapis.com/auth/calendar"),
		s.insert(2, "github", "gho_1", "", nil, "2031-01-01 00:00:00+00", "read:user,user:email,"),
		s.insert(3, "keycloak", "t", nil, nil, nil, nil),
		s.insert(4, "keycloak", "t", nil, "1970-01-01 00:00:00+00", nil, ""),
		s.insert(5, "slack", raw("repeat('x', 65536)"), nil, "9999-12-31 00:00:00+00", nil, "a"),
		s.insert(6, "credential", nil, nil, nil, nil, nil),
		s.insert(7, "google", "", "r", nil, nil, nil),
		s.insert(8, "gitlab", "0123456789abcdef", nil, "infinity", nil, nil),
	}
	user := func(n int) string { return s.owner(n) }
	f.want[s.key(1)] = fmt.Sprintf(`{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000250,"refreshTokenExpiresAt":1924992000000,
		"subject":"%s","scopes":["openid","https://www.googleapis.com/auth/calendar"],"externalSubject":"acc-1"}`, user(1))
	f.want[s.key(2)] = fmt.Sprintf(`{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"%s","scopes":["read:user","user:email"],"externalSubject":"acc-2"}`, user(2))
	f.want[s.key(3)] = "missing_expiry"
	f.want[s.key(4)] = "missing_expiry"
	f.want[s.key(5)] = fmt.Sprintf(`{"provider":"slack","accessToken":"%s","expiresAt":"made up","subject":"%s","scopes":["a"],"externalSubject":"acc-5"}`, strings.Repeat("x", 65536), user(5))
	f.want[s.key(6)] = "password_login"
	f.want[s.key(7)] = "no_token"
	f.want[s.key(8)] = "missing_expiry"
	return f
}

var betterAuthBuiltIn = betterAuthSchema{table: "account", id: "text", user: "text", style: func(s string) string { return `"` + s + `"` }, timestamp: "timestamptz"}

// betterAuthSealed holds tokens under a single secret, beside plain ones of
// before the option was turned on, and damaged ones.
func betterAuthSealed() fixture {
	s := betterAuthBuiltIn
	const until = "2030-01-01 00:00:00+00"
	one := sealedValue("better-auth", "one secret")
	return fixture{
		store: "better-auth", name: "one secret", variant: "built-in migrator",
		sql: []string{
			s.create(),
			s.insert(1, "google", one, one, until, nil, "openid"),
			s.insert(2, "google", sealedValue("better-auth", "64 KiB"), "1//plain", until, nil, nil),
			s.insert(3, "google", "ya29.plain", nil, until, nil, nil),
			s.insert(4, "google", one[:len(one)-2]+"00", nil, until, nil, nil),
			s.insert(5, "google", one, "$ba$1$", until, nil, nil),
			s.insert(6, "credential", nil, nil, nil, nil, nil),
		},
		keys:  Keys{"secret": secret("Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE")},
		wrong: Keys{"secret": secret("Aq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE")},
		want: map[string]string{
			"id-1": `{"provider":"google","accessToken":"ya29.a0AfB_byC-one.x","refreshToken":"ya29.a0AfB_byC-one.x","expiresAt":1893456000000,"subject":"id-101","scopes":["openid"],"externalSubject":"acc-1"}`,
			"id-2": `{"provider":"google","accessToken":"` + longToken + `","refreshToken":"1//plain","expiresAt":1893456000000,"subject":"id-102","externalSubject":"acc-2"}`,
			"id-3": `{"provider":"google","accessToken":"ya29.plain","expiresAt":1893456000000,"subject":"id-103","externalSubject":"acc-3"}`,
			"id-4": "decrypt_failed", "id-5": "decrypt_failed", "id-6": "password_login",
		},
		plain: 2, decrypted: 4,
	}
}

// betterAuthRotated holds tokens under two versions of the secret, and one of
// before versions.
func betterAuthRotated() fixture {
	s := betterAuthBuiltIn
	const until = "2030-01-01 00:00:00+00"
	return fixture{
		store: "better-auth", name: "versioned secrets", variant: "built-in migrator",
		sql: []string{
			s.create(),
			s.insert(1, "google", sealedValue("better-auth", "versioned, current"), sealedValue("better-auth", "versioned, older"), until, nil, nil),
			s.insert(2, "google", sealedValue("better-auth", "no version, written before the secrets were versioned"), nil, until, nil, nil),
			s.insert(3, "google", strings.Replace(sealedValue("better-auth", "versioned, older"), "$1$", "$7$", 1), nil, until, nil, nil),
		},
		keys: Keys{"secret": secret("Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE"),
			"secrets": secret("2:hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe, 1:Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE")},
		wrong: Keys{"secrets": secret("2:aT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe,1:hT5oP0xYw2QzV8rNk4MbG7cJ3sLd9aFe")},
		want: map[string]string{
			"id-1": `{"provider":"google","accessToken":"ya29.a0Ad52N3-V2cur","refreshToken":"ya29.a0Ad52N3-V1old","expiresAt":1893456000000,"subject":"id-101","externalSubject":"acc-1"}`,
			"id-2": `{"provider":"google","accessToken":"ya29.a0Ad52N3-Nov","expiresAt":1893456000000,"subject":"id-102","externalSubject":"acc-2"}`,
			"id-3": "decrypt_failed",
		},
		decrypted: 3,
	}
}

// betterAuthMembers gives users who are in one organization their tenant.
func betterAuthMembers() fixture {
	s := betterAuthBuiltIn
	f := fixture{store: "better-auth", name: "organizations", variant: "built-in migrator", given: Params{"members": "member"}, want: map[string]string{}, plain: 3}
	f.sql = []string{s.create(), `CREATE TABLE member (id text PRIMARY KEY, "organizationId" text NOT NULL, "userId" text NOT NULL, role text)`,
		`INSERT INTO member VALUES ('m1', 'org-1', 'id-101', 'owner'), ('m2', 'org-1', 'id-102', 'member'), ('m3', 'org-2', 'id-102', 'member')`}
	for n, tenant := range []string{`,"tenant":{"id":"org-1"}`, "", ""} {
		f.sql = append(f.sql, s.insert(n+1, "google", "t", nil, "2030-01-01 00:00:00+00", nil, nil))
		f.want[s.key(n+1)] = fmt.Sprintf(`{"provider":"google","accessToken":"t","expiresAt":1893456000000,"subject":"%s","externalSubject":"acc-%d"%s}`, s.owner(n+1), n+1, tenant)
	}
	return f
}

// Two tables that can both be the store's are told, each with the parameter
// that chooses it.
func TestBetterAuth_AsksWhichOfTwoTables(t *testing.T) {
	one, two := betterAuthBuiltIn, betterAuthBuiltIn
	two.table = "old_account"
	config := newDatabase(t, one.create(), two.create())
	_, err := betterAuth.Prepare(t.Context(), config, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "table: account") || !strings.Contains(err.Error(), "table: old_account") {
		t.Errorf("got %v, want both tables named", err)
	}
	plan, err := betterAuth.Prepare(t.Context(), config, Params{"table": "old_account"}, nil)
	if err != nil || plan.Match.Params["table"] != "old_account" {
		t.Errorf("with the parameter: got %+v, %v", plan, err)
	}
}

// A list of secrets that cannot be read is told by its place in the
// configuration.
func TestBetterAuth_RefusesUnreadableSecrets(t *testing.T) {
	s := betterAuthBuiltIn
	_, err := betterAuth.Prepare(t.Context(), newDatabase(t, s.create()), nil, Keys{"secrets": secret("no-version-at-all")})
	if err == nil || !strings.Contains(err.Error(), "source.decrypt.secrets") || strings.Contains(err.Error(), "no-version") {
		t.Errorf("got %v, want an error about source.decrypt.secrets", err)
	}
}

// A hexadecimal refresh token beside a plain access token calls for no key, and is
// carried over without one.
func TestBetterAuth_TakesPlainHexadecimal(t *testing.T) {
	row := source.Values{"access_token": "ya29.plain", "refresh_token": strings.Repeat("0a", 200)}
	secret, _ := betterAuth.Key("secret")
	if secret.Needed(row) {
		t.Error("the row calls for a secret")
	}
	o, err := betterAuth.Opener(t.Context(), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := o.Open(row); err != nil || opened.Plain != 2 {
		t.Errorf("got %d plain values, %v, want 2", opened.Plain, err)
	}
}

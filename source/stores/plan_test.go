package stores

import (
	"strings"
	"testing"
)

const authjsAccounts = ` (id serial PRIMARY KEY, "userId" int NOT NULL, type text, provider text, "providerAccountId" text,
	access_token text, refresh_token text, expires_at bigint, scope text)`

// A table that the role may not read is not passed over for one that looks like it.
func TestPrepare_TableOutOfReach(t *testing.T) {
	config := newDatabase(t, "CREATE SCHEMA archive", "CREATE TABLE public.accounts"+authjsAccounts, "CREATE TABLE archive.accounts_2023"+authjsAccounts)
	role := reader(t, config, "public.accounts")
	for _, c := range []struct {
		name  string
		store *Store
		given Params
		want  []string // of the error; none: the query
	}{
		{"nothing named", authjs, nil, []string{"there are several", "public.accounts, which the role may not read", "grant the role"}},
		{"the one out of reach", authjs, Params{"table": "accounts"}, []string{"may not read table public.accounts", "GRANT SELECT ON public.accounts TO " + role.User}},
		{"the one within reach", authjs, Params{"table": "archive.accounts_2023"}, nil},
		{"a table of the team's own", nodeAES, Params{"table": "accounts", "user_id": "userId"}, []string{"GRANT SELECT ON public.accounts"}},
	} {
		plan, err := c.store.Prepare(t.Context(), role, c.given, nil)
		if c.want == nil {
			if err != nil || !strings.Contains(plan.Query, "archive.accounts_2023") {
				t.Errorf("%s: got %v, want the query of the archive", c.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: got a query, want an error:\n%s", c.name, plan.Query)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, part)
			}
		}
	}
	execute(t, config, "DROP TABLE archive.accounts_2023")
	if _, err := authjs.Prepare(t.Context(), role, nil, nil); err == nil || !strings.Contains(err.Error(), "GRANT SELECT ON public.accounts") {
		t.Errorf("the only table: got %v, want the grant", err)
	}
}

// What a parameter names and the database has not is told by its own name; of
// several tables it is told how one is named.
func TestPrepare_Misnamed(t *testing.T) {
	config := newDatabase(t, `CREATE TABLE integrations (id int PRIMARY KEY, user_id int, access_token text, refresh_token text, expiry timestamptz)`,
		"CREATE TABLE accounts"+authjsAccounts, "CREATE TABLE old_accounts"+authjsAccounts,
		`CREATE TABLE account (id text PRIMARY KEY, "accountId" text, "providerId" text, "userId" text, "accessToken" text, "refreshToken" text, "accessTokenExpiresAt" timestamptz, scope text)`)
	for _, c := range []struct {
		store *Store
		given Params
		want  string
	}{
		{nodeAES, Params{"table": "integration"}, "source.params.table: table integration does not exist; did you mean integrations?"},
		{nodeAES, Params{"table": "integrations", "expires_at": "expirey"}, "source.params.expires_at: table integrations has no column expirey; did you mean expiry?"},
		{nodeAES, Params{"table": "integrations", "key": "id,zzzzzz"}, "source.params.key: table integrations has no column zzzzzz; correct the name"},
		{betterAuth, Params{"access_token": "acessToken"}, "source.params.access_token: table account has no column acessToken; did you mean accessToken?"},
		{authjs, nil, "public.old_accounts); name one in source.params, such as params: {table: accounts}"},
	} {
		_, err := c.store.Prepare(t.Context(), config, c.given, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "; ") != 1 {
			t.Errorf("%v: got %v, want %q", c.given, err, c.want)
		}
	}
}

// Without a database a table of one's own is told as an example, under its name.
func TestQuery_ExampleOfOwnTable(t *testing.T) {
	usual, named := nodeAES.SQL(nodeAES.Defaults()), nodeAES.SQL(nodeAES.Defaults().With(Params{"table": "integrations"}))
	if want := strings.ReplaceAll(usual, "your_table", "integrations"); named != want || !strings.Contains(usual, "your_table") {
		t.Errorf("got\n%s\nwant\n%s", named, want)
	}
}

package stores

import (
	"fmt"
	"strings"
)

// authjs is Auth.js, formerly NextAuth: the accounts table that its database
// adapters share. Facts: the adapters of nextauthjs/next-auth at v5, and their
// published schemas.
var authjs = &Store{
	Name: "authjs", Aliases: []string{"nextauth", "next-auth", "auth.js"},
	Title:   "Auth.js (NextAuth)",
	Summary: "one row per linked account in the table accounts, plain",
	Params: []Param{
		{Name: "table", Default: "accounts", Doc: "the table of accounts"},
		{Name: "key", Default: "id", Doc: "its key: one column, or two separated by a comma"},
		{Name: "user_id", Default: "userId", Doc: "the column with the user's id"},
		{Name: "provider_account_id", Default: "providerAccountId", Doc: "the column with the provider's id of the account"},
		{Name: "refresh_token_expires_at", Doc: "a column with the refresh token's expiry, where an app added one"},
		{Name: "oauth_token", Doc: "the column of OAuth 1 tokens, where there is one"},
	},
	Skips: skips(skipNotOAuth, skipOAuth1, skipNoToken),
	Warnings: []string{
		"Auth.js writes a row when an account is first linked and never updates it: unless your app refreshes tokens itself, access tokens are those of the first sign-in, long expired, and refresh tokens may have been replaced since.",
	},
	MissingExpiry: lasting(),
	Find:          findAuthjs,
	Query: func(p Params) string {
		// An enum, as some make of it, has not all of these names.
		skip := []string{"WHEN type::text NOT IN ('oauth', 'oidc') THEN 'not_oauth'"}
		if p["oauth_token"] != "" {
			skip = append(skip, "WHEN coalesce(access_token, '') = '' AND "+ident(p["oauth_token"])+" IS NOT NULL THEN 'oauth1'")
		}
		skip = append(skip, "WHEN coalesce(access_token, '') = '' THEN 'no_token'")
		return selectSQL(tableSQL(p["table"]),
			keySQL(p.List("key")),
			"provider", "access_token", "refresh_token", "expires_at",
			optional(p["refresh_token_expires_at"], "refresh_token_expires_at"),
			ident(p["user_id"])+" AS subject_id",
			ident(p["provider_account_id"])+" AS external_subject",
			"scope AS scopes",
			"CASE "+strings.Join(skip, "\n    ")+" END AS skip")
	},
}

func findAuthjs(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "provider", "type", "access_token", "refresh_token", "expires_at", "scope") {
		user := t.First(given.or("user_id", "userId", "user_id", "userid")...)
		account := t.First(given.or("provider_account_id", "providerAccountId", "provider_account_id", "provideraccountid")...)
		if user == "" || account == "" {
			continue
		}
		key := "id"
		if !t.Has("id") {
			key = "provider," + account
		}
		matches = append(matches, Match{
			Params: Params{
				"table": t.String(), "key": key, "user_id": user, "provider_account_id": account,
				"refresh_token_expires_at": t.First("refresh_token_expires_at"), "oauth_token": t.First("oauth_token"),
			},
			Variant: fmt.Sprintf("%s, table %s", authjsAdapter(t, user), t.SQL()),
			Tables:  []*Table{t},
		})
	}
	return matches
}

// authjsAdapter tells by what adapter's schema a table was made, as far as the
// schemas differ.
func authjsAdapter(t *Table, user string) string {
	id, expires := t.Type("id"), t.Type("expires_at")
	snake := user == "user_id"
	switch {
	case t.Schema == "next_auth":
		return "Supabase adapter"
	case t.Name == "Account" && id == "uuid":
		return "Kysely adapter"
	case t.Name == "Account":
		return "Prisma adapter"
	case snake && id == "uuid":
		return "Sequelize adapter"
	case snake && t.Name == "account":
		return "MikroORM adapter"
	case snake:
		return "Prisma adapter with mapped names"
	case id == "":
		return "Drizzle adapter"
	case id == "uuid" && expires == "bigint":
		return "TypeORM adapter"
	case id == "uuid":
		return "Hasura adapter"
	case id == "integer" && expires == "integer":
		return "Neon adapter"
	case id == "integer":
		return "Postgres adapter"
	}
	return "Prisma adapter"
}

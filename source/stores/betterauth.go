package stores

import (
	"context"
	"fmt"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// betterAuth is Better Auth: the account table of its database adapters, whose
// columns and table may all be renamed. Facts: npm packages better-auth and
// @better-auth/core 1.6.30 to 1.7.25, with the schemas that their migrator
// makes.
var betterAuth = &Store{
	Name: "better-auth", Aliases: []string{"betterauth"},
	Title:   "Better Auth",
	Summary: "one row per linked account in the table account; tokens plain or, with encryptOAuthTokens, encrypted",
	Params: append([]Param{
		{Name: "table", Default: "account", Doc: "the table of accounts (account.modelName)"},
		{Name: "key", Default: "id", Doc: "its primary key"},
		{Name: "members", Doc: "the organization plugin's table of members: users who are in exactly one organization get it as tenant"},
	}, betterAuthParams()...),
	Keys: []Key{
		{Name: "secret", Env: "BETTER_AUTH_SECRET", Doc: "the single secret (option secret, or AUTH_SECRET)", Needed: betterAuthBare},
		{Name: "secrets", Env: "BETTER_AUTH_SECRETS", Doc: "versioned secrets, as Better Auth has them: 2:newest,1:older", Needed: betterAuthVersioned},
	},
	Cipher: "XChaCha20-Poly1305 under SHA-256 of the secret, as hexadecimal, with $ba$<version>$ before it where secrets are versioned",
	Skips:  skips(skipPassword, skipNoToken),
	Warnings: []string{
		"Better Auth refreshes tokens in place, on sign-in and when your app asks for one: stop that before the last run, or run again for what changed since.",
		"scope is the union of all scopes that were ever granted to the account, which may be more than the present token has.",
	},
	MissingExpiry: lasting(),
	Find:          findBetterAuth,
	Query: func(p Params) string {
		provider, access := ident(p["provider_id"]), ident(p["access_token"])
		return selectSQL(tableSQL(p["table"])+" AS a",
			ident(p["key"])+" AS key",
			provider+" AS provider",
			access+" AS access_token",
			optional(p["refresh_token"], "refresh_token"),
			optional(p["access_token_expires_at"], "expires_at"),
			optional(p["refresh_token_expires_at"], "refresh_token_expires_at"),
			ident(p["user_id"])+" AS subject_id",
			optional(p["account_id"], "external_subject"),
			optional(p["scope"], "scopes"),
			betterAuthTenant(p),
			"CASE WHEN "+provider+" = 'credential' THEN 'password_login'\n    WHEN coalesce("+access+", '') = '' THEN 'no_token' END AS skip")
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewBetterAuth(keys["secret"], keys["secrets"])
		if err != nil {
			return nil, err
		}
		return openColumns(c), nil
	},
}

// betterAuthVersioned reports whether a row has a value under a versioned secret.
func betterAuthVersioned(in source.Values) bool {
	return strings.HasPrefix(in["access_token"], "$ba$") || strings.HasPrefix(in["refresh_token"], "$ba$")
}

// betterAuthBare reports whether a row has an encrypted value without a version.
func betterAuthBare(in source.Values) bool {
	var format cipher.BetterAuth
	for _, column := range []string{"access_token", "refresh_token"} {
		if !strings.HasPrefix(in[column], "$ba$") && format.Sealed(cipher.Value{Data: []byte(in[column]), With: in}) {
			return true
		}
	}
	return false
}

// betterAuthColumns are the columns that account.fields may rename, by the names
// of their parameters, and as the adapters call them.
var betterAuthColumns = []struct {
	param, camel string
	required     bool // without it a table is not recognised
	doc          string
}{
	{"provider_id", "providerId", true, "the provider's id"},
	{"account_id", "accountId", true, "the provider's id of the account"},
	{"user_id", "userId", true, "the user's id"},
	{"access_token", "accessToken", true, "the access token"},
	{"refresh_token", "refreshToken", true, "the refresh token"},
	{"access_token_expires_at", "accessTokenExpiresAt", true, "the access token's expiry"},
	{"refresh_token_expires_at", "refreshTokenExpiresAt", false, "the refresh token's expiry"},
	{"scope", "scope", false, "the scopes"},
}

func betterAuthParams() []Param {
	var params []Param
	for _, c := range betterAuthColumns {
		params = append(params, Param{Name: c.param, Default: c.camel, Doc: "the column with " + c.doc + " (account.fields)"})
	}
	return params
}

// betterAuthTenant selects the organization of users who are in one only. The
// names of the plugin's columns are of the account table's style.
func betterAuthTenant(p Params) string {
	if p["members"] == "" {
		return ""
	}
	organization, user := ident("organizationId"), ident("userId")
	if strings.Contains(p["user_id"], "_") {
		organization, user = "organization_id", "user_id"
	}
	return "(SELECT CASE count(DISTINCT m." + organization + ") WHEN 1 THEN (array_agg(m." + organization + "))[1] END\n    FROM " +
		tableSQL(p["members"]) + " AS m WHERE m." + user + " = a." + ident(p["user_id"]) + ") AS tenant"
}

func findBetterAuth(c *Catalogue, given Params) []Match {
	var matches []Match
tables:
	for _, t := range candidates(c, given) {
		p := Params{"table": t.String(), "key": t.pick(given, "key", "id"), "members": given["members"]}
		if p["key"] == "" || p["members"] != "" && c.Table(p["members"]) == nil {
			continue
		}
		for _, col := range betterAuthColumns {
			name := t.pick(given, col.param, col.camel, col.param, strings.ToLower(col.camel))
			required := col.required && given["table"] == "" || given[col.param] != "" ||
				col.param == "provider_id" || col.param == "user_id" || col.param == "access_token"
			if name == "" && required {
				continue tables
			}
			p[col.param] = name
		}
		m := Match{Params: p, Variant: fmt.Sprintf("%s, table %s", betterAuthAdapter(t, p), t.SQL()), Tables: []*Table{t}}
		if p["members"] != "" {
			m.Beside = []*Table{c.Table(p["members"])}
		}
		if member := c.Beside(t, "member"); member != nil && p["members"] == "" && (member.Has("organizationId", "userId") || member.Has("organization_id", "user_id")) {
			m.Warnings = append(m.Warnings, "the organization plugin is in use: with the parameter members: "+member.String()+" tokens of users who are in one organization get it as their tenant")
		}
		matches = append(matches, m)
	}
	return matches
}

// betterAuthAdapter tells what made a table, as far as the schemas differ.
func betterAuthAdapter(t *Table, p Params) string {
	var kind string
	zoned := t.Type(p["access_token_expires_at"]) == "timestamp with time zone"
	switch {
	case p["access_token"] == "access_token":
		kind = "Drizzle, or snake_case names"
	case p["access_token"] != "accessToken":
		kind = "renamed columns"
	case zoned:
		kind = "built-in migrator (Kysely)"
	default:
		kind = "Prisma"
	}
	if t.Has("issuer") {
		kind += ", with issuer (1.7.0 to 1.7.2)"
	}
	return kind
}

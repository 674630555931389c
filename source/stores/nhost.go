package stores

import "fmt"

// nhost is Nhost's sign-in service hasura-auth: the table auth.user_providers.
// Facts: the schema and the queries of nhost/hasura-auth.
var nhost = &Store{
	Name: "nhost", Aliases: []string{"nhost-hasura-auth", "hasura-auth"},
	Title:   "Nhost (hasura-auth)",
	Summary: "one row per linked account in auth.user_providers, plain; tokens only in rows of older installations",
	Params: []Param{
		{Name: "table", Default: "auth.user_providers", Doc: "the table of linked accounts"},
		scopesParam,
	},
	Skips: skips(skipPlaceholder, skipNoToken),
	Warnings: []string{
		"Since June 2025 Nhost keeps no provider tokens: every new row has the word unset in place of one. Older rows hold the tokens of their first sign-in, which were never refreshed.",
		"Nhost keeps neither expiry nor scopes: each token is taken to end in an hour, so that Connect refreshes it, unless source.missing_expiry says otherwise.",
	},
	MissingExpiry: short(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "user_id", "access_token", "refresh_token", "provider_id", "provider_user_id") {
			if given["table"] == "" && (!t.Has("created_at", "updated_at") || t.First("expires_at", "scope", "scopes") != "") {
				continue
			}
			matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: fmt.Sprintf("table %s", t.SQL()), Tables: []*Table{t}})
		}
		return matches
	},
	Query: func(p Params) string {
		return selectSQL(tableSQL(p["table"]),
			"id AS key", "provider_id AS provider", "access_token", "refresh_token", "user_id AS subject_id",
			"provider_user_id AS external_subject", scopesSQL(p, "provider_id"),
			"CASE WHEN access_token = 'unset' THEN 'placeholder'\n    WHEN coalesce(access_token, '') = '' THEN 'no_token' END AS skip")
	},
}

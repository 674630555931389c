package stores

import "fmt"

// plane is Plane: the accounts by which its users signed in. Facts: the model and
// the sign-in adapters of makeplane/plane.
var plane = &Store{
	Name:    "plane",
	Title:   "Plane",
	Summary: "one row per sign-in account (Google, GitHub, GitLab, Gitea) in the table accounts, plain",
	Params: []Param{
		{Name: "table", Default: "accounts", Doc: "the table of accounts"},
		scopesParam,
	},
	Skips: skips(skipNoToken),
	Warnings: []string{
		"Plane writes a wrong expiry for Google, in January 1970: such tokens are taken to have ended their lifetime, mostly an hour, after the last sign-in.",
		"These are sign-in tokens, rewritten at each login. Plane keeps no scopes; give them in the parameter scopes.",
	},
	MissingExpiry: lasting(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "user_id", "provider", "provider_account_id", "access_token", "access_token_expired_at",
			"refresh_token", "refresh_token_expired_at", "last_connected_at") {
			matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: fmt.Sprintf("table %s", t.SQL()), Tables: []*Table{t}})
		}
		return matches
	},
	Query: func(p Params) string {
		return selectSQL(tableSQL(p["table"]),
			"id AS key", "provider", "access_token", "refresh_token",
			// A lifetime was written as if it were a time: 1970 and the seconds it lasts.
			`CASE WHEN access_token_expired_at >= '2000-01-01 00:00:00+00' THEN access_token_expired_at
    WHEN access_token_expired_at > '1970-01-01 00:00:00+00' THEN last_connected_at + (access_token_expired_at - '1970-01-01 00:00:00+00'::timestamptz)
    WHEN access_token_expired_at IS NOT NULL THEN last_connected_at + interval '1 hour' END AS expires_at`,
			"refresh_token_expired_at AS refresh_token_expires_at",
			"user_id AS subject_id", "provider_account_id AS external_subject", scopesSQL(p, "provider"),
			"CASE WHEN coalesce(access_token, '') = '' THEN 'no_token' END AS skip")
	},
}

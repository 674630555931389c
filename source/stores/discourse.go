package stores

// discourse is Discourse's table of the accounts that its users sign in with.
// Facts: discourse/discourse, lib/auth/managed_authenticator.rb.
var discourse = &Store{
	Name:    "discourse",
	Title:   "Discourse",
	Summary: "one row per associated account in user_associated_accounts, tokens in its JSON credentials, plain",
	Params:  []Param{{Name: "table", Default: "user_associated_accounts", Doc: "the table of associated accounts"}, scopesParam},
	Skips:   skips(skipOAuth1, skipNoToken, skipUnlinked),
	Warnings: []string{
		"Discourse keeps the tokens of the last sign-in and never refreshes them: many access tokens have expired.",
	},
	MissingExpiry: lasting(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "provider_name", "provider_uid", "user_id", "credentials") {
			if kind := t.Type("credentials"); kind == "jsonb" || kind == "json" {
				matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: "table " + t.SQL(), Tables: []*Table{t}})
			}
		}
		return matches
	},
	Query: func(p Params) string {
		return selectSQL(tableSQL(p["table"]), "id AS key", "provider_name AS provider",
			"credentials->>'token' AS access_token", "credentials->>'refresh_token' AS refresh_token", "credentials->>'expires_at' AS expires_at",
			"user_id AS subject_id", "provider_uid AS external_subject", scopesSQL(p, "provider_name"),
			`CASE WHEN coalesce(credentials->>'token', '') = '' THEN 'no_token'
    WHEN coalesce(credentials->>'secret', '') <> '' AND coalesce(credentials->>'refresh_token', '') = '' THEN 'oauth1'
    WHEN user_id IS NULL THEN 'unlinked' END AS skip`)
	},
}

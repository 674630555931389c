package stores

import "fmt"

// refusedParam is a parameter of stores that mark grants that no longer refresh.
var refusedParam = Param{Name: "refused", Default: "skip", Choices: []string{"skip", "keep"},
	Doc: "what becomes of grants that the store has marked as refused at their last refresh"}

// postiz is Postiz, which posts to social channels: the table "Integration".
// Facts: the Prisma schema, the integration repository and the providers of
// gitroomhq/postiz-app.
var postiz = &Store{
	Name:    "postiz",
	Title:   "Postiz",
	Summary: `one row per connected channel in the table "Integration", plain; channels belong to organisations`,
	Params: []Param{
		{Name: "table", Default: `"Integration"`, Doc: "the table of channels"},
		{Name: "other_providers", Default: "bluesky, devto, ghost, hashnode, lemmy, listmonk, medium, mewe, moltbook, nostr, skool, telegram, wordpress, wrapcast",
			Doc: "providers whose token is no OAuth grant but a key, a session or a password"},
		refusedParam, scopesParam,
	},
	Skips: skips(skipDeleted, skipNever, skipOAuth1, skipNotOAuth, skipNoToken, skipDisconnected),
	Warnings: []string{
		"A channel belongs to an organisation, not to a user: its token is imported as the app's own, with the organisation as tenant and the channel's internalId as installation id, by which your app must ask for it.",
		"Where a provider named no expiry, Postiz wrote one some 31 years ahead, or a century: more than 20 years ahead counts as not known.",
		"Channels with an instance of their own, such as Mastodon, keep its address and client encrypted in customInstanceDetails; these are not migrated.",
	},
	MissingExpiry: lasting("mastodon", "mastodon-custom"),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "internalId", "organizationId", "name", "providerIdentifier", "token", "refreshToken", "tokenExpiration", "deletedAt", "inBetweenSteps", "refreshNeeded") {
			matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: fmt.Sprintf("table %s", t.SQL()), Tables: []*Table{t}})
		}
		return matches
	},
	Query: func(p Params) string {
		refused := ""
		if p["refused"] != "keep" {
			refused = "\n    WHEN \"refreshNeeded\" THEN 'disconnected'"
		}
		return selectSQL(tableSQL(p["table"]),
			"id AS key", `"providerIdentifier" AS provider`, "token AS access_token", `"refreshToken" AS refresh_token`,
			`CASE WHEN "tokenExpiration" < (now() AT TIME ZONE 'UTC') + interval '20 years' THEN "tokenExpiration" END AS expires_at`,
			"'app'::text AS subject_type", `"organizationId" AS tenant`, `"internalId" AS external_subject`, `"internalId" AS installation_id`, "name",
			scopesSQL(p, `"providerIdentifier"`),
			`CASE WHEN "deletedAt" IS NOT NULL THEN 'deleted'
    WHEN "inBetweenSteps" THEN 'never_connected'
    WHEN "providerIdentifier" = 'x' AND token LIKE '%:%' THEN 'oauth1'
    WHEN "providerIdentifier" IN `+quotedList(p.List("other_providers"))+` OR ltrim(token) LIKE '{%' THEN 'not_oauth'
    WHEN coalesce(token, '') = '' THEN 'no_token'`+refused+` END AS skip`)
	},
}

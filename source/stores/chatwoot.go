package stores

import (
	"context"

	"tokenmigrate/source"
)

// chatwootEmail is Chatwoot's table of e-mail inboxes, of which those at Google
// and Microsoft have grants. Facts: chatwoot/chatwoot, app/models/channel/email.rb
// and app/services/base_refresh_oauth_token_service.rb.
var chatwootEmail = &Store{
	Name: "chatwoot-email", Aliases: []string{"chatwoot"},
	Title:   "Chatwoot, e-mail inboxes",
	Summary: "one row per inbox in channel_email, tokens in its JSON provider_config, plain",
	Params:  []Param{{Name: "table", Default: "channel_email", Doc: "the table of e-mail channels"}, scopesParam},
	Skips:   skips(skipNotOAuth, skipNoToken),
	Warnings: []string{
		"A mailbox belongs to an account, not to a user: its address becomes the subject, and the account its tenant.",
		"Chatwoot refreshes tokens in place: stop its workers first, or run again for what changed.",
		"Tokens of Slack, Linear and the like are in another table: see store chatwoot-hooks.",
	},
	MissingExpiry: short(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "account_id", "email", "provider", "provider_config") {
			if kind := t.Type("provider_config"); kind == "jsonb" || kind == "json" {
				matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: "table " + t.SQL(), Tables: []*Table{t}})
			}
		}
		return matches
	},
	Query: func(p Params) string {
		return selectSQL(tableSQL(p["table"]), "id AS key", "provider",
			"provider_config->>'access_token' AS access_token", "provider_config->>'refresh_token' AS refresh_token", "provider_config->>'expires_on' AS expires_at",
			"email AS subject_id", "account_id AS tenant", "email AS external_subject", scopesSQL(p, "provider"),
			`CASE WHEN coalesce(provider, '') NOT IN ('google', 'microsoft') THEN 'not_oauth'
    WHEN coalesce(provider_config->>'access_token', '') = '' THEN 'no_token' END AS skip`)
	},
}

// chatwootHooks is Chatwoot's table of integrations. Facts: chatwoot/chatwoot,
// app/models/integrations/hook.rb.
var chatwootHooks = &Store{
	Name:    "chatwoot-hooks",
	Title:   "Chatwoot, integrations",
	Summary: "one row per integration of an account in integrations_hooks; plain, or by Active Record Encryption",
	Params: []Param{
		{Name: "table", Default: "integrations_hooks", Doc: "the table of hooks"},
		{Name: "apps", Default: "slack,linear,notion,shopify,hubspot", Doc: "the app ids whose hooks hold a provider's token; others have keys that Chatwoot made itself"},
	},
	Cipher: "Active Record Encryption, deterministic; each value is told by itself",
	Keys:   railsKeyring,
	Skips:  skips(skipNotOAuth, skipNoToken, skipDisabled),
	Warnings: []string{
		"An integration belongs to an account, not to a user: its token becomes the app's own, with the account as its tenant.",
		"Tokens of e-mail inboxes are in another table: see store chatwoot-email.",
	},
	MissingExpiry: lasting(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "account_id", "app_id", "hook_type", "access_token", "settings", "status") {
			matches = append(matches, Match{Params: Params{"table": t.String()}, Variant: "table " + t.SQL(), Tables: []*Table{t}})
		}
		return matches
	},
	Query: func(p Params) string {
		apps := quotedList(append(p.List("apps"), "-")) // an empty list is no SQL
		return selectSQL(tableSQL(p["table"]), "id AS key", "app_id AS provider", "access_token",
			"settings->>'refresh_token' AS refresh_token", "settings->>'expires_on' AS expires_at", "settings->>'scope' AS scopes",
			"'app'::text AS subject_type", "account_id AS tenant",
			`CASE WHEN app_id IS NULL OR app_id NOT IN `+apps+` THEN 'not_oauth'
    WHEN coalesce(access_token, '') = '' THEN 'no_token'
    WHEN status = 0 THEN 'disabled' END AS skip`)
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := newActiveRecord(keys)
		if err != nil {
			return nil, err
		}
		return openColumns(c), nil
	},
}

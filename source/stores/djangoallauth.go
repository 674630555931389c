package stores

import "fmt"

// djangoAllauth is django-allauth, the usual sign-in of Django: its tables
// socialaccount_socialtoken and socialaccount_socialaccount. Facts: models,
// migrations and token handling of pennersr/django-allauth up to 65; the names
// of OAuth 1 providers are those of 0.51, which had all of them.
var djangoAllauth = &Store{
	Name: "django-allauth", Aliases: []string{"allauth"},
	Title:   "django-allauth",
	Summary: "one row per token in socialaccount_socialtoken, its user beside it in socialaccount_socialaccount, plain",
	Params: []Param{
		{Name: "table", Default: "socialaccount_socialtoken", Doc: "the table of tokens"},
		{Name: "accounts", Default: "socialaccount_socialaccount", Doc: "the table of accounts"},
		{Name: "oauth1_providers", Default: "500px, bitbucket, evernote, flickr, linkedin, openstreetmap, pocket, trello, tumblr, twitter, vimeo, xing",
			Doc: "providers that may be OAuth 1: with a secret and without an expiry, a token of theirs is taken for one"},
		scopesParam,
	},
	Skips: skips(skipOAuth1, skipNoToken, skipOlder),
	Warnings: []string{
		"django-allauth keeps tokens only where SOCIALACCOUNT_STORE_TOKENS is on (off by default): without it the table is empty.",
		"django-allauth never refreshes a token: access tokens are those of the last sign-in. It keeps no scopes; give them in the parameter scopes.",
	},
	MissingExpiry: lasting(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "token", "token_secret", "expires_at", "account_id", "app_id") {
			accounts := companion(c, given, "accounts", t, "socialaccount_socialaccount", "id", "user_id", "provider", "uid", "extra_data")
			if accounts == nil {
				continue
			}
			version := "0.56 or newer"
			if app, _ := t.Column("app_id"); app.NotNull {
				version = "older than 0.56"
			}
			matches = append(matches, Match{
				Params:  Params{"table": t.String(), "accounts": accounts.String()},
				Variant: fmt.Sprintf("django-allauth %s, tables %s and %s", version, t.SQL(), accounts.SQL()),
				Tables:  []*Table{t, accounts},
			})
		}
		return matches
	},
	Query: func(p Params) string {
		table := tableSQL(p["table"])
		return selectSQL(table+" AS t LEFT JOIN "+tableSQL(p["accounts"])+" AS a ON a.id = t.account_id",
			"t.id AS key", "a.provider", "t.token AS access_token", "t.token_secret AS refresh_token", "t.expires_at",
			"a.user_id AS subject_id", "a.uid AS external_subject",
			scopesSQL(p, "a.provider"),
			// Without an app in the database nothing keeps tokens of an account unique; and
			// an app that moved from the database to the settings, or back, left its old ones.
			"CASE WHEN a.provider IN "+quotedList(p.List("oauth1_providers"))+" AND t.token_secret <> '' AND t.expires_at IS NULL THEN 'oauth1'"+
				"\n    WHEN coalesce(t.token, '') = '' THEN 'no_token'"+
				"\n    WHEN EXISTS (SELECT FROM "+table+" AS n WHERE n.account_id = t.account_id AND (n.app_id = t.app_id OR n.app_id IS NULL OR t.app_id IS NULL) AND n.id > t.id AND n.token <> '') THEN 'older_copy' END AS skip")
	},
}

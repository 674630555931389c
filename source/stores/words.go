package stores

import (
	"time"

	"tokenmigrate/source"
)

// The reasons for which stores leave rows out; each store lists those it gives.
const (
	skipPassword     source.Reason = "password_login"  // a login by password or one-time link
	skipNotOAuth     source.Reason = "not_oauth"       // an API key, passkey or other credential
	skipOAuth1       source.Reason = "oauth1"          // OAuth 1: token and secret
	skipNoToken      source.Reason = "no_token"        // a login that kept no access token
	skipDeleted      source.Reason = "deleted"         // the store keeps it, its product takes it for deleted
	skipDisconnected source.Reason = "disconnected"    // the store knows that its grant is dead
	skipNever        source.Reason = "never_connected" // set up and never authorised
	skipPlaceholder  source.Reason = "placeholder"     // a word in place of a token
	skipOlder        source.Reason = "older_copy"      // the store keeps a newer row of the same grant
	skipDisabled     source.Reason = "disabled"        // switched off in the product
	skipUnlinked     source.Reason = "unlinked"        // nobody in the product owns it
	skipForeign      source.Reason = "foreign_client"  // granted to the OAuth client of the product's vendor
	skipOtherForm    source.Reason = "not_offline"     // the value cannot be opened outside the product
)

// skips returns the sentences of these reasons.
func skips(reasons ...source.Reason) map[source.Reason]string {
	m := make(map[source.Reason]string, len(reasons))
	for _, reason := range reasons {
		m[reason] = skipSentences[reason]
	}
	return m
}

var skipSentences = map[source.Reason]string{
	skipPassword:     "it is a login by password or e-mail, which has no token",
	skipNotOAuth:     "it is no OAuth grant but another kind of credential",
	skipOAuth1:       "it is an OAuth 1 grant, which cannot be imported",
	skipNoToken:      "the store kept no access token for it",
	skipDeleted:      "it was deleted in the product that owns the store",
	skipDisconnected: "the store has marked its grant as refused or revoked",
	skipNever:        "it was set up and never connected",
	skipPlaceholder:  "a word stands in the place of its token",
	skipOlder:        "the store has a newer row of the same grant",
	skipDisabled:     "it is switched off in the product that owns the store",
	skipUnlinked:     "it belongs to no user of the product that owns the store",
	skipForeign:      "it was granted to the OAuth client of the product's vendor, who alone can refresh it",
	skipOtherForm:    "its token is kept elsewhere and cannot be read from the database",
}

// lasting are the providers whose tokens do not expire where the provider names
// no expiry, and those that a store calls by other names, also. Connect wants an
// expiry; ten years stand for it.
func lasting(also ...string) source.MissingExpiry {
	m := map[string]time.Duration{}
	for _, provider := range append(also, "github", "slack", "notion", "clickup", "mailchimp", "shopify", "stripe", "todoist", "webflow", "vercel") {
		m[provider] = 3650 * 24 * time.Hour
	}
	return source.MissingExpiry{ByProvider: m}
}

// short is for stores that keep no expiry, or often lose it: any other token than
// a lasting one is taken to end in an hour, so that Connect soon refreshes it.
func short(also ...string) source.MissingExpiry {
	m := lasting(also...)
	m.Default = time.Hour
	return m
}

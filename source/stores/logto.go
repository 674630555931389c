package stores

import (
	"context"
	"errors"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// logto is Logto's Secret Vault: the provider's tokens of users who signed in by a
// connector with token storage on. Facts: logto-io/logto at 1fbc554, its tables
// and its encryption.
var logto = &Store{
	Name:    "logto",
	Title:   "Logto (Secret Vault)",
	Summary: "one row per user and connector in secrets, an encrypted token set; only of connectors with token storage",
	Params: []Param{
		{Name: "table", Default: "secrets", Doc: "the table of secrets"},
		{Name: "tenant", Doc: "only rows of this Logto tenant; empty: of all"},
		{Name: "social", Default: "secret_social_connector_relations", Doc: "the table that says which social connector a secret is of; empty: none"},
		{Name: "sso", Default: "secret_enterprise_sso_connector_relations", Doc: "the table that says which enterprise connector a secret is of; empty: none"},
	},
	Keys:   []Key{{Name: "secret_vault_kek", Env: "SECRET_VAULT_KEK", Doc: "base64 of 32 bytes"}},
	Cipher: "AES-256-GCM twice: the key opens a row's own key in encrypted_dek, which opens ciphertext",
	Skips:  skips(skipNotOAuth, skipNoToken),
	Warnings: []string{
		"Logto's tables have row security for its tenants: read as their owner, or as a role with BYPASSRLS.",
		"Logto replaces tokens in place, on sign-in and on refresh: stop it before the last run, or run again for what changed since.",
		"The provider of an enterprise connector's row is its issuer's URL.",
	},
	MissingExpiry: lasting(),
	Find:          findLogto,
	Query: func(p Params) string {
		from := tableSQL(p["table"]) + " AS s"
		var provider, identity []string
		for _, relation := range []struct{ param, alias, provider string }{{"social", "c", "c.target"}, {"sso", "e", "e.issuer"}} {
			if p[relation.param] == "" {
				continue
			}
			a := relation.alias
			from += "\nLEFT JOIN " + tableSQL(p[relation.param]) + " AS " + a + " ON " + a + ".tenant_id = s.tenant_id AND " + a + ".secret_id = s.id"
			provider, identity = append(provider, relation.provider), append(identity, a+".identity_id")
		}
		if p["tenant"] != "" {
			from += "\nWHERE s.tenant_id = " + literal(p["tenant"])
		}
		return selectSQL(from,
			"s.id AS key", coalesce(append(provider, "NULL"), "provider"), "s.user_id AS subject_id", coalesce(identity, "external_subject"),
			"s.metadata->>'scope' AS scopes", "s.metadata->>'expiresAt' AS expires_at",
			"s.ciphertext", "s.encrypted_dek", "s.iv", "s.auth_tag",
			skipSQL(when(true, "s.type <> 'federated_token_set'", skipNotOAuth)))
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewLogto(keys.List("secret_vault_kek")...)
		if err != nil {
			return nil, err
		}
		return &documentOpener{cipher: c, column: "ciphertext", inputs: []string{"encrypted_dek", "iv", "auth_tag"},
			take: func(doc []byte, _ source.Values) (source.Values, source.Reason, error) {
				d, ok := parseDocument(doc)
				switch {
				case !ok:
					return nil, "", errors.New("ciphertext: it is no JSON object")
				case d.text("access_token") == "":
					return nil, skipNoToken, nil
				}
				return source.Values{"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token")}, "", nil
			}}, nil
	},
}

func findLogto(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "tenant_id", "id", "user_id", "type", "encrypted_dek", "iv", "auth_tag", "ciphertext", "metadata") {
		p, found := Params{"table": t.String()}, true
		var beside []*Table
		for param, relation := range map[string]struct {
			name    string
			columns []string
		}{
			"social": {"secret_social_connector_relations", []string{"tenant_id", "secret_id", "target", "identity_id"}},
			"sso":    {"secret_enterprise_sso_connector_relations", []string{"tenant_id", "secret_id", "issuer", "identity_id"}},
		} {
			p[param] = ""
			if other := companion(c, given, param, t, relation.name, relation.columns...); other != nil {
				p[param] = other.String()
				beside = append(beside, other)
			}
			found = found && (p[param] != "" || given[param] == "")
		}
		if found {
			matches = append(matches, Match{Params: p, Variant: "Secret Vault, table " + t.SQL(), Tables: []*Table{t}, Beside: beside})
		}
	}
	return matches
}

package stores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tokenmigrate/source"
)

// keycloak is Keycloak: the tokens of brokered identity providers that have
// "Store tokens" on. Facts: the JPA entities, the change log and the broker
// services of keycloak/keycloak.
var keycloak = &Store{
	Name:    "keycloak",
	Title:   "Keycloak",
	Summary: "one token response per user and identity provider in federated_identity.token (and broker_link.token, for users of a user federation), plain",
	Params: []Param{
		{Name: "table", Default: "federated_identity", Doc: "the table of federated identities"},
		{Name: "broker_links", Default: "broker_link", Doc: "the table of federated identities of federated users; none: not read"},
		{Name: "providers_table", Default: "identity_provider", Doc: "the table of identity providers; none: scopes are those of the token responses only"},
		{Name: "provider_settings", Default: "identity_provider_config", Doc: "the table of their settings, which hold the default scope"},
		{Name: "realms", Default: "realm", Doc: "the table of realms"},
		{Name: "base_url", Doc: "where Keycloak answers, such as https://sso.example.com: then each subject's issuer is its realm there"},
		scopesParam,
	},
	Skips: skips(skipNoToken, skipOAuth1, skipNotOAuth),
	Warnings: []string{
		"Keycloak keeps tokens only of identity providers that have Store tokens on; all other rows are left out as without token.",
		"The provider is the identity provider's alias. A token is refreshed at sign-in and on token exchange; when a refresh fails, Keycloak deletes it.",
	},
	MissingExpiry: short(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "identity_provider", "user_id", "realm_id", "federated_user_id", "federated_username", "token") {
			m := Match{Params: Params{"table": t.String()}, Variant: "table " + t.SQL(), Tables: []*Table{t}}
			beside := func(param, name string, columns ...string) *Table {
				if given[param] == "none" {
					m.Params[param] = "none"
					return nil
				}
				other := companion(c, given, param, t, name, columns...)
				m.Params[param] = "none"
				if other != nil {
					m.Params[param] = other.String()
				}
				return other
			}
			reads := func(tables ...*Table) { m.Beside = append(m.Beside, tables...) }
			if links := beside("broker_links", "broker_link", "identity_provider", "user_id", "realm_id", "broker_user_id", "broker_username", "token"); links != nil {
				m.Variant = fmt.Sprintf("tables %s and %s", t.SQL(), links.SQL())
				m.Tables = append(m.Tables, links)
			}
			providers := beside("providers_table", "identity_provider", "internal_id", "provider_alias", "realm_id")
			settings := beside("provider_settings", "identity_provider_config", "identity_provider_id", "name", "value")
			if providers != nil && settings != nil {
				reads(providers, settings)
			} else {
				m.Params["providers_table"] = "none"
			}
			if realms := beside("realms", "realm", "id", "name"); given["base_url"] != "" {
				if realms == nil {
					continue // subjects would be others', without their issuer
				}
				reads(realms)
			}
			matches = append(matches, m)
		}
		return matches
	},
	Query: keycloakQuery,
	Opener: func(context.Context, *DB, Params, Keys) (source.Opener, error) {
		return &documentOpener{column: "token", take: takeKeycloak}, nil
	},
}

func keycloakQuery(p Params) string {
	from := tableSQL(p["table"]) + " AS t"
	if links := p["broker_links"]; links != "" && links != "none" {
		from = "(SELECT identity_provider, user_id, realm_id, federated_user_id, federated_username, token FROM " + tableSQL(p["table"]) +
			"\n  UNION ALL SELECT identity_provider, user_id, realm_id, broker_user_id, broker_username, token FROM " + tableSQL(links) + ") AS t"
	}
	scopes, given := "", strings.TrimSuffix(scopesSQL(p, "t.identity_provider"), " AS scopes")
	if p["providers_table"] != "" && p["providers_table"] != "none" {
		scopes = "(SELECT s.value FROM " + tableSQL(p["providers_table"]) + " AS i JOIN " + tableSQL(p["provider_settings"]) + " AS s ON s.identity_provider_id = i.internal_id" +
			" WHERE i.provider_alias = t.identity_provider AND i.realm_id = t.realm_id AND s.name = 'defaultScope' LIMIT 1)"
	}
	switch {
	case given != "" && scopes != "":
		scopes = "coalesce(" + given + ", " + scopes + ") AS scopes"
	case given+scopes != "":
		scopes = given + scopes + " AS scopes"
	}
	issuer := ""
	if base := strings.TrimRight(p["base_url"], "/"); base != "" && p["realms"] != "none" {
		issuer = literal(base+"/realms/") + " || (SELECT r.name FROM " + tableSQL(p["realms"]) + " AS r WHERE r.id = t.realm_id) AS subject_issuer"
	}
	return selectSQL(from,
		"t.identity_provider AS key", "t.user_id AS key_2", "t.identity_provider AS provider", "t.token",
		"t.user_id AS subject_id", issuer, "t.realm_id AS tenant", "t.federated_user_id AS external_subject", "t.federated_username AS name", scopes,
		"CASE WHEN coalesce(t.token, '') = '' THEN 'no_token' END AS skip")
}

// takeKeycloak takes the tokens out of what a provider answered: JSON, with the
// time of expiry that Keycloak adds to it, or a form, as older versions kept of
// some providers. SAML providers have their assertion there.
func takeKeycloak(text []byte, _ source.Values) (source.Values, source.Reason, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("<")) {
		return nil, skipNotOAuth, nil
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		form, err := url.ParseQuery(string(text))
		switch {
		case err == nil && form.Get("oauth_token") != "":
			return nil, skipOAuth1, nil
		case err != nil || form.Get("access_token") == "":
			return nil, "", errors.New("token: it is neither a JSON object nor a form with an access_token")
		}
		return withScopes(source.Values{"access_token": form.Get("access_token"), "refresh_token": form.Get("refresh_token")}, form.Get("scope")), "", nil
	}
	d, ok := parseDocument(text)
	switch {
	case !ok:
		return nil, "", errors.New("token: it is not a JSON object")
	case d.text("access_token") == "" && d.text("oauth_token") != "":
		return nil, skipOAuth1, nil
	case d.text("access_token") == "":
		return nil, skipNoToken, nil
	}
	values := source.Values{"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token")}
	at, lifetime := d.seconds("accessTokenExpiration"), d.seconds("expires_in")
	values["expires_at"] = unix(at)
	// The two tell when the answer came, from which the refresh token's lifetime counts.
	if refresh := d.seconds("refresh_expires_in"); at > 0 && lifetime > 0 && refresh > 0 {
		values["refresh_token_expires_at"] = unix(at - lifetime + refresh)
	}
	return withScopes(values, d.list("scope")), "", nil
}

// withScopes sets the scopes that a provider granted, if it told them; else those
// of the query stay.
func withScopes(values source.Values, scopes string) source.Values {
	if scopes != "" {
		values["scopes"] = scopes
	}
	return values
}

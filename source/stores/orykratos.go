package stores

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// oryKratos is Ory Kratos: the tokens of an identity's first sign-in with each
// social provider, in identity_credentials of type oidc. Facts: the sources and
// migrations of ory/kratos.
var oryKratos = &Store{
	Name: "ory-kratos", Aliases: []string{"kratos"},
	Title:   "Ory Kratos",
	Summary: "the first tokens of each linked provider, in the JSON of identity_credentials; hexadecimal, encrypted where the deployment says so",
	Params: []Param{
		{Name: "table", Default: "identity_credentials", Doc: "the table of credentials"},
		{Name: "types", Default: "identity_credential_types", Doc: "the table of their types"},
		{Name: "network", Default: "nid", Doc: "the column with the network's id, which is the tenant where a provider has no organisation"},
		scopesParam,
	},
	Keys: []Key{{Name: "secrets", Env: "SECRETS_CIPHER",
		Doc: "the entries of secrets.cipher, each of 32 characters, newest first, separated by commas; none where ciphers.algorithm always was noop"}},
	Cipher: "each token for itself, as hexadecimal: AES-256-GCM, XChaCha20-Poly1305, or none (noop, the default)",
	Skips:  skips(skipPassword, skipNotOAuth, skipNoToken),
	Warnings: []string{
		"Kratos keeps the tokens of the first sign-in or linking only, and never refreshes them: access tokens have mostly ended, and refresh tokens serve where the provider does not replace them.",
		"It keeps neither expiry nor scopes: each token is taken to end in an hour, so that Connect refreshes it, unless source.missing_expiry says otherwise.",
	},
	MissingExpiry: short(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "identity_id", "identity_credential_type_id", "config") {
			types := companion(c, given, "types", t, "identity_credential_types", "id", "name")
			if kind := t.Type("config"); types == nil || kind != "jsonb" && kind != "json" {
				continue
			}
			matches = append(matches, Match{
				Params:  Params{"table": t.String(), "types": types.String(), "network": t.First(given.or("network", "nid")...)},
				Variant: fmt.Sprintf("table %s", t.SQL()),
				Tables:  []*Table{t},
			})
		}
		return matches
	},
	Query: func(p Params) string {
		tenant := "nullif(e.value->>'organization', '')"
		if p["network"] != "" {
			tenant = "coalesce(" + tenant + ", c." + ident(p["network"]) + "::text)"
		}
		return selectSQL(tableSQL(p["table"])+` AS c
  LEFT JOIN `+tableSQL(p["types"])+` AS t ON t.id = c.identity_credential_type_id
  LEFT JOIN LATERAL (
    SELECT p.value, row_number() OVER (PARTITION BY p.value->>'provider', p.value->>'subject' ORDER BY p.ordinality) AS copy
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(c.config::jsonb->'providers') = 'array' THEN c.config::jsonb->'providers' ELSE '[]' END) WITH ORDINALITY AS p
  ) AS e ON true`,
			// An account's place in the array changes when another is unlinked; its name,
			// that of Kratos' own identifiers, does not.
			"c.id AS key", "concat_ws(':', e.value->>'provider', e.value->>'subject') || CASE WHEN e.copy > 1 THEN '#' || e.copy ELSE '' END AS key_2",
			"e.value->>'provider' AS provider",
			"e.value->>'initial_access_token' AS access_token", "e.value->>'initial_refresh_token' AS refresh_token",
			"c.identity_id AS subject_id", "e.value->>'subject' AS external_subject", tenant+" AS tenant",
			scopesSQL(p, "e.value->>'provider'"),
			`CASE WHEN t.name IN ('password', 'code', 'link_recovery', 'code_recovery') THEN 'password_login'
    WHEN t.name IS DISTINCT FROM 'oidc' THEN 'not_oauth'
    WHEN coalesce(e.value->>'initial_access_token', '') = '' THEN 'no_token' END AS skip`)
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewKratos(keys.ofLength("secrets", 32)...)
		if err != nil {
			return nil, err
		}
		return kratosOpener{c}, nil
	},
}

// kratosOpener opens both tokens. What noop wrote counts as plain.
type kratosOpener struct{ cipher cipher.Cipher }

func (o kratosOpener) Inputs() []string { return nil }

func (o kratosOpener) Open(in source.Values) (source.Opened, error) {
	out := source.Opened{Values: source.Values{}}
	for _, column := range []string{"access_token", "refresh_token"} {
		text := in[column]
		if text == "" {
			continue
		}
		plain, err := o.cipher.Open(cipher.Value{Data: []byte(text)})
		if err != nil {
			return out, fmt.Errorf("%s: %w", column, err)
		}
		if out.Values[column] = string(plain); isNoop(text) {
			out.Plain++
		} else {
			out.Decrypted++
		}
	}
	return out, nil
}

// isNoop reports whether a value is the hexadecimal of text. What is encrypted
// never is: it begins with a random nonce, and all of it would have to be text.
func isNoop(value string) bool {
	b, err := hex.DecodeString(strings.TrimSpace(value))
	return err == nil && utf8.Valid(b) && !strings.ContainsFunc(string(b), unicode.IsControl)
}

package stores

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// grafana is Grafana: the sign-in tokens of its users, in the table user_auth.
// Facts: authinfoimpl/store.go, the secrets manager, the encryption service and
// the migrations of grafana/grafana.
var grafana = &Store{
	Name:    "grafana",
	Title:   "Grafana",
	Summary: "one row per user and sign-in method in the table user_auth, tokens encrypted; their data keys lie in data_keys",
	Params: []Param{
		{Name: "table", Default: "user_auth", Doc: "the table of sign-ins"},
		{Name: "data_keys", Default: "data_keys", Doc: "the table of data keys; none: before Grafana 9"},
		{Name: "data_key_id", Default: "name", Doc: "its column with the key's id"},
		scopesParam,
	},
	Keys: []Key{{Name: "secret_key", Env: "GF_SECURITY_SECRET_KEY",
		Doc: "secret_key of section security; " + cipher.GrafanaDefaultKey + " where nobody set one. Former ones after it, separated by commas"}},
	Cipher: "AES-256 in CFB mode, or GCM, under a data key of the table data_keys, or, before 9.0, under secret_key; PBKDF2-SHA256",
	Skips:  skips(skipNotOAuth, skipNoToken, skipOlder, skipOtherForm),
	Warnings: []string{
		"These are the tokens by which people sign in to Grafana. Of several rows of a user with one method, the newest is migrated.",
		"Data keys that a key management service wraps (Grafana Enterprise) cannot be opened outside Grafana: such rows are left out.",
		"Grafana keeps no scopes; give them in the parameter scopes. Providers are called as auth_module has it, such as oauth_google.",
		"Grafana 12 and newer keep tokens of sessions in user_external_session, too, which is not read.",
	},
	MissingExpiry: lasting("oauth_github"),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "id", "user_id", "auth_module", "auth_id", "created", "o_auth_access_token", "o_auth_refresh_token", "o_auth_expiry") {
			m := Match{Params: Params{"table": t.String(), "data_keys": "none", "data_key_id": "name"}, Variant: "before 9.0, table " + t.SQL(), Tables: []*Table{t}}
			if given["data_keys"] != "none" {
				if keys := companion(c, given, "data_keys", t, "data_keys", "provider", "encrypted_data"); keys != nil {
					if id := keys.First(given.or("data_key_id", "name", "id")...); id != "" {
						m.Params["data_keys"], m.Params["data_key_id"] = keys.String(), id
						m.Variant = fmt.Sprintf("with data keys, table %s", t.SQL())
					}
				}
			}
			matches = append(matches, m)
		}
		return matches
	},
	Query: func(p Params) string {
		table := tableSQL(p["table"])
		return selectSQL(table+" AS t",
			"t.id AS key", "t.auth_module AS provider", "t.o_auth_access_token AS access_token", "t.o_auth_refresh_token AS refresh_token",
			"t.o_auth_expiry AS expires_at", "t.user_id AS subject_id", "t.auth_id AS external_subject", scopesSQL(p, "t.auth_module"),
			`CASE WHEN left(t.auth_module, 6) IS DISTINCT FROM 'oauth_' THEN 'not_oauth'
    WHEN coalesce(t.o_auth_access_token, '') = '' THEN 'no_token'
    WHEN EXISTS (SELECT FROM `+table+` AS n WHERE n.user_id = t.user_id AND n.auth_module = t.auth_module AND n.o_auth_access_token <> '' AND (n.created, n.id) > (t.created, t.id)) THEN 'older_copy' END AS skip`)
	},
	Opener: func(ctx context.Context, db *DB, p Params, keys Keys) (source.Opener, error) {
		var rows []cipher.GrafanaDataKey
		if p["data_keys"] != "" && p["data_keys"] != "none" {
			var err error
			rows, err = collect[cipher.GrafanaDataKey](ctx, db, "read Grafana's data keys",
				"SELECT "+ident(p["data_key_id"])+"::text, coalesce(provider, '')::text, encrypted_data FROM "+tableSQL(p["data_keys"]))
			if err != nil {
				return nil, err
			}
		}
		c, err := cipher.NewGrafana(rows, keys.anyText("secret_key")...)
		if err != nil {
			return nil, err
		}
		o := grafanaOpener{columnOpener: openColumns(c), managed: map[string]bool{}}
		o.strict = true
		for _, row := range rows {
			o.managed[row.ID] = !strings.HasPrefix(row.Provider, "secretKey")
		}
		return o, nil
	},
}

// grafanaOpener leaves out what a key management service holds the key of.
type grafanaOpener struct {
	*columnOpener
	managed map[string]bool // by data key
}

func (o grafanaOpener) Open(in source.Values) (source.Opened, error) {
	for _, column := range o.columns {
		if o.managed[grafanaDataKey(in[column])] {
			return source.Opened{Skip: skipOtherForm}, nil
		}
	}
	return o.columnOpener.Open(in)
}

// grafanaDataKey returns the id of the data key that a value names, or "".
func grafanaDataKey(value string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	rest, envelope := bytes.CutPrefix(raw, []byte("#"))
	id, _, found := bytes.Cut(rest, []byte("#"))
	if err != nil || !envelope || !found {
		return ""
	}
	name, _ := base64.RawStdEncoding.DecodeString(string(id))
	return string(name)
}

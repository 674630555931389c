package stores

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// nango is a self-hosted Nango: one row a connection, whose credentials are one
// JSON object, encrypted or plain. Facts: the migrations of NangoHQ/nango at
// 2f4c0af, its encryption, and its types of credentials.
var nango = &Store{
	Name:    "nango",
	Title:   "Nango (self-hosted)",
	Summary: "one row per connection in _nango_connections, with a JSON object of credentials, encrypted if NANGO_ENCRYPTION_KEY is set",
	Params: []Param{
		{Name: "table", Default: "nango._nango_connections", Doc: "the table of connections (schema NANGO_DB_SCHEMA)"},
		{Name: "environment", Doc: "only connections of the Nango environment of this name, such as prod; empty: of all"},
		{Name: "provider_by", Default: "provider_config_key", Doc: "what a row's provider is: the integration (provider_config_key, one OAuth client each) or its template (provider, such as google-calendar)",
			Choices: []string{"provider_config_key", "provider"}},
		{Name: "configs", Default: "nango._nango_configs", Doc: "the table of integrations"},
		{Name: "end_users", Default: "nango.end_users", Doc: "the table of end users; empty in old versions"},
		{Name: "environments", Default: "nango._nango_environments", Doc: "the table of environments"},
		{Name: "columns", Default: strings.Join(nangoColumns, ","), Doc: "which of these columns of newer versions the table of connections has"},
	},
	Keys: []Key{{Name: "encryption_key", Env: "NANGO_ENCRYPTION_KEY",
		Doc: "base64 of 32 bytes; where NANGO_ENCRYPTION_KEY_WRAPPED is in use, what KMS unwraps it to (encryption context purpose=global_dek, app=nango)"}},
	Cipher: "AES-256-GCM over the JSON of credentials, in the columns credentials, credentials_iv and credentials_tag; the key's hash in _nango_db_config is checked first",
	Skips:  skips(skipDeleted, skipDisconnected, skipNotOAuth, skipOAuth1, skipNoToken),
	Warnings: []string{
		"Nango refreshes tokens in place, 15 minutes before they expire: stop its servers and jobs before the last run, or run again for what changed since.",
		"Connections of all Nango environments (dev, prod) are read; the parameter environment chooses one.",
		"A connection with a config_override has an OAuth client of its own: Connect can refresh it only with that client.",
		"The user of a connection is its end user, else its tag end_user_id, else the connection id: see that the ids are those that your app asks Connect for. Of several connections of one user with one provider, one is imported, and the others are duplicates.",
		"A connection without a user's consent (OAUTH2_CC, APP) is imported as the app's own; its installation id is that of its connection_config, else its connection id.",
	},
	MissingExpiry: lasting("slack-user", "github-app-oauth"),
	Find:          findNango,
	Query:         nangoQuery,
	Opener:        openNango,
}

// nangoColumns are those of newer versions.
var nangoColumns = []string{"deleted", "config_id", "connection_config", "end_user_id", "tags", "refresh_exhausted"}

func findNango(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "id", "connection_id", "provider_config_key", "environment_id", "credentials", "credentials_iv", "credentials_tag") {
		p := Params{"table": t.String()}
		var columns, lacks []string
		for _, name := range nangoColumns {
			if t.Has(name) {
				columns = append(columns, name)
			} else {
				lacks = append(lacks, name)
			}
		}
		if given["columns"] != "" && !t.Has(given.List("columns")...) {
			continue
		}
		p["columns"] = strings.Join(columns, ",")
		found := true
		var beside []*Table
		for _, companion := range []struct {
			param, table string
			read         bool // by the query
			columns      []string
		}{
			{"configs", "_nango_configs", true, []string{"unique_key", "provider"}},
			{"environments", "_nango_environments", given["environment"] != "", []string{"name"}},
			{"end_users", "end_users", slices.Contains(columns, "end_user_id"), []string{"end_user_id"}},
		} {
			name := companion.param
			other := c.Beside(t, companion.table)
			if given[name] != "" {
				other = c.Table(given[name])
			}
			p[name] = ""
			if other != nil && other.Has(append(companion.columns, "id")...) {
				if p[name] = other.String(); companion.read {
					beside = append(beside, other)
				}
			}
			found = found && (p[name] != "" || given[name] == "")
		}
		wants := func(name, table string) bool { return given[name] == "" || p[table] != "" }
		if !found || !wants("environment", "environments") || given["provider_by"] == "provider" && p["configs"] == "" {
			continue
		}
		m := Match{Params: p, Variant: "table " + t.SQL(), Tables: []*Table{t}, Beside: beside}
		if len(lacks) > 0 {
			m.Variant += ", an older one without " + strings.Join(lacks, ", ")
		}
		matches = append(matches, m)
	}
	return matches
}

func nangoQuery(p Params) string {
	columns := p.List("columns")
	has := func(name string) bool { return slices.Contains(columns, name) }
	from := tableSQL(p["table"]) + " AS c"
	provider := "c.provider_config_key"
	scopes := []string{}
	tenant := []string{}
	subject := []string{}
	if has("connection_config") {
		scopes = append(scopes, "nullif(c.connection_config->>'oauth_scopes', '')")
	}
	if p["configs"] != "" {
		from += "\nLEFT JOIN LATERAL (SELECT i.provider, to_jsonb(i)->>'oauth_scopes' AS oauth_scopes FROM " + tableSQL(p["configs"]) + " AS i WHERE "
		if has("config_id") {
			from += "i.id = c.config_id LIMIT 1) AS i ON true"
		} else {
			from += "i.unique_key = c.provider_config_key AND i.environment_id = c.environment_id ORDER BY i.id DESC LIMIT 1) AS i ON true"
		}
		scopes = append(scopes, "i.oauth_scopes")
		if p["provider_by"] == "provider" {
			provider = "i.provider"
		}
	}
	if p["end_users"] != "" && has("end_user_id") {
		// Its columns differ by version, and rows are small: hence as JSON.
		from += "\nLEFT JOIN LATERAL (SELECT to_jsonb(u) AS u FROM " + tableSQL(p["end_users"]) + " AS u WHERE u.id = c.end_user_id LIMIT 1) AS e ON true"
		subject = append(subject, "nullif(e.u->>'end_user_id', '')")
		tenant = append(tenant, "nullif(e.u->>'organization_id', '')", "nullif(e.u->>'organization_display_name', '')")
	}
	if has("tags") {
		subject = append(subject, "nullif(c.tags->>'end_user_id', '')")
		tenant = append(tenant, "nullif(c.tags->>'organization_id', '')", "nullif(c.tags->>'organization_display_name', '')")
	}
	if p["environment"] != "" {
		from += "\nWHERE c.environment_id IN (SELECT n.id FROM " + tableSQL(p["environments"]) + " AS n WHERE n.name = " + literal(p["environment"]) + ")"
	}
	installation := ""
	if has("connection_config") {
		installation = "c.connection_config->>'installation_id' AS installation_id"
	}
	return selectSQL(from,
		"c.id AS key",
		provider+" AS provider",
		coalesce(append(subject, "c.connection_id"), "subject_id"),
		"c.connection_id AS name",
		coalesce(tenant, "tenant"),
		installation,
		coalesce(append(scopes, "NULL::text"), "default_scopes"),
		"c.credentials", "c.credentials_iv", "c.credentials_tag",
		skipSQL(
			when(has("deleted"), "c.deleted", skipDeleted),
			when(has("refresh_exhausted"), "c.refresh_exhausted", skipDisconnected)))
}

func openNango(ctx context.Context, db *DB, p Params, keys Keys) (source.Opener, error) {
	given := keys.List("encryption_key")
	c, err := cipher.NewNango(given...)
	if err != nil {
		return nil, err
	}
	if len(given) > 0 {
		if err := checkNangoKey(ctx, db, p, c); err != nil {
			return nil, err
		}
	}
	return &documentOpener{cipher: c, column: "credentials", inputs: []string{"credentials_iv", "credentials_tag", "default_scopes"}, take: takeNango}, nil
}

// checkNangoKey compares the key with the hash that Nango keeps of it, if any.
func checkNangoKey(ctx context.Context, db *DB, p Params, c *cipher.Nango) error {
	const op = "check the key of store nango"
	type row struct{ Hash string }
	table := sibling(p["table"], "_nango_db_config")
	rows, err := collectOf[row](ctx, db, op, table, "SELECT encryption_key_hash FROM "+table+" WHERE encryption_key_hash <> '' LIMIT 1")
	switch {
	case err != nil:
		return err
	case len(rows) > 0 && !c.Hashed(rows[0].Hash):
		return &source.ConfigError{Op: op, Problems: []string{
			"source.decrypt.encryption_key: it is not the key whose hash Nango keeps in _nango_db_config; give the NANGO_ENCRYPTION_KEY that the servers of this database run with"}}
	}
	return nil
}

// takeNango reads a credentials object.
func takeNango(doc []byte, in source.Values) (source.Values, source.Reason, error) {
	d, ok := parseDocument(doc)
	if !ok {
		return nil, "", errors.New("credentials is no JSON object")
	}
	kind := d.text("type")
	if kind == "CUSTOM" { // a GitHub App with the user's consent: the user's own token goes before the app's
		if user := d.object("user"); len(user) > 0 {
			d, kind = user, "OAUTH2"
		} else {
			d, kind = d.object("app"), "APP"
		}
	}
	out := source.Values{}
	raw := d.object("raw")
	switch kind {
	case "OAUTH2", "":
		if kind == "" && d.text("access_token") == "" {
			return nil, skipNotOAuth, nil // {}: the provider wants no credential
		}
		from := d
		if d.text("access_token") == "" { // Slack, where only a user's scopes were asked for
			from, raw = raw.object("authed_user"), raw.object("authed_user")
		}
		out["access_token"], out["refresh_token"] = from.text("access_token"), from.text("refresh_token")
	case "OAUTH2_CC":
		out["access_token"], out["subject_type"] = d.text("token"), "app"
	case "APP":
		out["access_token"], out["subject_type"] = d.text("access_token"), "app"
	case "OAUTH1":
		return nil, skipOAuth1, nil
	default:
		return nil, skipNotOAuth, nil
	}
	if out["access_token"] == "" {
		return nil, skipNoToken, nil
	}
	if out["subject_type"] == "app" && in["installation_id"] == "" { // nothing else tells one customer's from another's
		out["installation_id"] = in["name"]
	}
	out["expires_at"] = d.text("expires_at")
	out["scopes"] = raw.list("scope")
	if out["scopes"] == "" && kind != "APP" {
		out["scopes"] = in["default_scopes"]
	}
	out["refresh_token_expires_at"] = nangoRefreshExpiry(out["expires_at"], raw)
	return out, "", nil
}

// nangoRefreshExpiry returns when a refresh token ends: the provider told its
// lifetime beside that of the access token, whose end is known. "" if it did not.
func nangoRefreshExpiry(expires string, raw document) string {
	lasts, lifetime := raw.seconds("refresh_token_expires_in"), raw.seconds("expires_in")
	end, err := time.Parse(time.RFC3339, expires)
	if lasts == 0 || lifetime == 0 || err != nil {
		return ""
	}
	return unix(end.Unix() - lifetime + lasts)
}

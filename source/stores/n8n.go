package stores

import (
	"context"
	"errors"
	"slices"
	"strings"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// n8n keeps each credential as one encrypted JSON object; those of OAuth 2 have
// the provider's token response in it. Facts: npm packages n8n 2.41.3, n8n-core
// 2.41.1 and @n8n/db 1.41.2, and migrations of older versions.
var n8n = &Store{
	Name:    "n8n",
	Title:   "n8n",
	Summary: "one row per credential in credentials_entity, an encrypted JSON object; tokens of single users in dynamic_credential_entry",
	Params: []Param{
		{Name: "table", Default: "credentials_entity", Doc: "the table of credentials"},
		{Name: "prefix", Doc: "what all table names begin with (DB_TABLE_PREFIX)"},
		{Name: "entries", Default: "credentials", Doc: "which tokens: those of credentials, or of single users (dynamic credentials), by the identity of a workflow's caller (dynamic) or by n8n's own users (dynamic_user)",
			Choices: []string{"credentials", "dynamic", "dynamic_user"}},
		{Name: "ownership", Default: "project", Doc: "how credentials belong to somebody: by projects, by users with a role (role, or role_id in old versions), by users; or none",
			Choices: []string{"project", "role", "role_id", "user", "none"}},
		{Name: "updated_at", Default: "updatedAt", Doc: "the column with a row's last change, from which a token's lifetime counts; empty: none"},
	},
	Keys: []Key{{Name: "encryption_key", Env: "N8N_ENCRYPTION_KEY",
		Doc: "the instance key: encryptionKey in ~/.n8n/config where the variable is not set; keys in deployment_key are found by themselves"}},
	Cipher: "AES-256-CBC as OpenSSL salts it, with MD5; with rotated keys AES-256-GCM, their keys wrapped in deployment_key",
	Skips:  skips(skipNotOAuth, skipOAuth1, skipNever, skipNoToken, skipPlaceholder),
	Warnings: []string{
		"n8n refreshes tokens in place while workflows run: stop them before the last run, or run again for what changed since.",
		"n8n keeps an expiry only for tokens that a recent version refreshed. For others it is the row's last change plus the token's lifetime, which is too late where somebody only renamed the credential.",
		"A credential of a personal project is its user's; one of a team project is imported under the project's id, as user and as tenant.",
	},
	MissingExpiry: lasting("githubOAuth2Api", "slackOAuth2Api", "notionOAuth2Api", "clickUpOAuth2Api", "mailchimpOAuth2Api", "shopifyOAuth2Api", "todoistOAuth2Api", "webflowOAuth2Api"),
	Find:          findN8n,
	Query:         n8nQuery,
	Opener:        openN8n,
}

const n8nTable = "credentials_entity"

// n8nEntries are the tables of tokens by the parameter entries, each with its
// columns: credential, resolver, subject.
var n8nEntries = map[string]struct {
	table   string
	columns []string
}{
	"dynamic":      {"dynamic_credential_entry", []string{"credential_id", "resolver_id", "subject_id"}},
	"dynamic_user": {"dynamic_credential_user_entry", []string{"credentialId", "resolverId", "userId"}},
}

func findN8n(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "id", "name", "type", "data") {
		prefix, ok := strings.CutSuffix(t.Name, n8nTable)
		if !ok {
			prefix = given["prefix"]
		}
		if given["prefix"] != "" && prefix != given["prefix"] || !ok && given["table"] == "" {
			continue
		}
		p := Params{"table": t.String(), "prefix": prefix, "entries": "credentials", "ownership": n8nOwnership(c, t, prefix)}
		m := Match{Params: p, Variant: "credentials by " + p["ownership"] + ", table " + t.SQL(), Tables: []*Table{t}}
		if p["ownership"] == "none" {
			m.Variant = "credentials without owners, table " + t.SQL()
		}
		holder := t
		if entry, dynamic := n8nEntries[given["entries"]]; dynamic {
			holder = c.Beside(t, prefix+entry.table)
			if holder == nil || !holder.Readable || !holder.Has(append(entry.columns, "data")...) {
				continue
			}
			m.Variant, m.Tables = "dynamic credentials, table "+holder.SQL(), []*Table{holder}
		} else {
			for _, kind := range []string{"dynamic", "dynamic_user"} {
				if other := c.Beside(t, prefix+n8nEntries[kind].table); other != nil && other.Rows != 0 {
					m.Warnings = append(m.Warnings, "tokens of single users in "+other.String()+", if it has any, are another migration: with the parameter entries: "+kind)
				}
			}
		}
		p["updated_at"] = holder.pick(given, "updated_at", "updatedAt")
		if p["updated_at"] == "" && given["updated_at"] != "" {
			continue
		}
		matches = append(matches, m)
	}
	return matches
}

// n8nOwnership tells of what age the tables of owners are.
func n8nOwnership(c *Catalogue, t *Table, prefix string) string {
	table := func(name string, columns ...string) *Table {
		other := c.Beside(t, prefix+name)
		if other == nil || !other.Readable || !other.Has(columns...) {
			return nil
		}
		return other
	}
	shared := table("shared_credentials", "credentialsId")
	switch {
	case shared == nil:
	case shared.Has("projectId", "role") && table("project", "id", "type") != nil && table("project_relation", "projectId", "userId", "role") != nil:
		return "project"
	case shared.Has("userId", "role"):
		return "role"
	case shared.Has("userId", "roleId") && table("role", "id", "name") != nil:
		return "role_id"
	case shared.Has("userId"):
		return "user"
	}
	return "none"
}

func n8nQuery(p Params) string {
	table := func(name string) string { return sibling(p["table"], p["prefix"]+name) }
	updated := func(alias string) string {
		if p["updated_at"] == "" {
			return "NULL::bigint AS updated_ms"
		}
		return millis(alias+"."+ident(p["updated_at"])) + " AS updated_ms"
	}
	// gmailOAuth2 is one whose name does not end as the others' do.
	skip := skipSQL(when(true, "c.type ILIKE '%oauth1%'", skipOAuth1), when(true, "c.type NOT ILIKE '%oauth2%'", skipNotOAuth))
	if entry, dynamic := n8nEntries[p["entries"]]; dynamic {
		credential, resolver, subject := "e."+ident(entry.columns[0]), "e."+ident(entry.columns[1]), "e."+ident(entry.columns[2])
		return selectSQL(table(entry.table)+" AS e LEFT JOIN "+tableSQL(p["table"])+" AS c ON c.id = "+credential,
			credential+" AS key", resolver+" || ':' || "+subject+" AS key_2",
			"c.type AS provider", subject+" AS subject_id", "c.name", "e.data AS credential", updated("e"), skip)
	}
	owner, subject, tenant := n8nOwnerSQL(p["ownership"], table)
	return selectSQL(tableSQL(p["table"])+" AS c"+owner,
		"c.id AS key", "c.type AS provider", subject+" AS subject_id", tenant, "c.name", "c.data AS credential", updated("c"), skip)
}

// n8nOwnerSQL returns the join of a credential's one owner, o, and what it gives.
func n8nOwnerSQL(ownership string, table func(string) string) (join, subject, tenant string) {
	shared := table("shared_credentials") + ` AS s`
	lateral := func(query string) string {
		return "\nLEFT JOIN LATERAL (" + query + " LIMIT 1) AS o ON true"
	}
	switch ownership {
	case "project":
		return lateral(`SELECT p.id AS project, p.type, (SELECT r."userId" FROM ` + table("project_relation") + ` AS r WHERE r."projectId" = p.id AND r.role = 'project:personalOwner' LIMIT 1) AS person
  FROM ` + shared + ` JOIN ` + table("project") + ` AS p ON p.id = s."projectId" WHERE s."credentialsId" = c.id AND s.role = 'credential:owner'`),
			"coalesce(CASE WHEN o.type = 'personal' THEN o.person::text END, o.project)", "CASE WHEN o.type <> 'personal' THEN o.project END AS tenant"
	case "role":
		return lateral(`SELECT s."userId" AS person FROM ` + shared + ` WHERE s."credentialsId" = c.id AND s.role = 'credential:owner'`), "o.person", ""
	case "role_id":
		return lateral(`SELECT s."userId" AS person FROM ` + shared + ` JOIN ` + table("role") + ` AS r ON r.id = s."roleId" WHERE s."credentialsId" = c.id AND r.name = 'owner'`), "o.person", ""
	case "user":
		return lateral(`SELECT s."userId" AS person FROM ` + shared + ` WHERE s."credentialsId" = c.id`), "o.person", ""
	}
	return "", "NULL::text", ""
}

func openN8n(ctx context.Context, db *DB, p Params, keys Keys) (source.Opener, error) {
	type row struct{ ID, Algorithm, Value string }
	rows, err := collect[row](ctx, db, "read the data keys of store n8n",
		"SELECT id::text, coalesce(algorithm, '')::text, value::text FROM "+sibling(p["table"], p["prefix"]+"deployment_key")+" WHERE type = 'data_encryption' AND value <> ''")
	if err != nil && !missing(err) {
		return nil, err
	}
	var data []cipher.N8nDataKey
	for _, r := range rows {
		data = append(data, cipher.N8nDataKey{ID: r.ID, Algorithm: r.Algorithm, Value: connect.NewSecret(r.Value)})
	}
	instance := []connect.Secret{keys["encryption_key"]} // a comma may be part of it
	if list := keys.List("encryption_key"); len(list) > 1 {
		instance = slices.Concat(instance, list)
	}
	c, err := cipher.NewN8n(data, instance...)
	if err != nil {
		return nil, err
	}
	return &documentOpener{cipher: c, column: "credential", inputs: []string{"updated_ms"}, take: takeN8n}, nil
}

// takeN8n reads a credential's document.
func takeN8n(doc []byte, in source.Values) (source.Values, source.Reason, error) {
	d, ok := parseDocument(doc)
	if !ok {
		return nil, "", errors.New("credential: it is no JSON object")
	}
	t := d.object("oauthTokenData")
	if len(t) == 0 {
		return nil, skipNever, nil
	}
	access, refresh := t.text("access_token", "accessToken"), t.text("refresh_token", "refreshToken")
	switch {
	case access == "" && t.text("oauth_token") != "":
		return nil, skipOAuth1, nil
	case access == "":
		return nil, skipNoToken, nil
	case isExpression(access):
		return nil, skipPlaceholder, nil
	case isExpression(refresh):
		refresh = ""
	}
	out := source.Values{"access_token": access, "refresh_token": refresh, "scopes": t.list("scope"), "expires_at": t.text("n8n_expires_at")}
	if out["scopes"] == "" {
		out["scopes"] = d.list("scope")
	}
	// What the provider told counts from when the row was written.
	lifetime, updated := t.seconds("expires_in", "expiresIn"), seconds(in["updated_ms"])/1000
	if out["expires_at"] == "" && lifetime > 0 && updated > 0 {
		out["expires_at"] = unix(updated + lifetime)
	}
	if d.text("grantType") == "clientCredentials" {
		out["subject_type"] = "app"
	}
	return out, "", nil
}

// isExpression reports whether n8n computes a value when a workflow runs.
func isExpression(text string) bool {
	return strings.HasPrefix(text, "=") || strings.Contains(text, "{{") && strings.Contains(text, "$secrets")
}

package stores

import (
	"slices"
	"strings"
)

// tableQuery is Store.Query; more are columns for the cipher.
func tableQuery(p Params, more ...string) string {
	if p["access_token"]+p["response"] == "" || p["key"] == "" { // no database was looked at: told as an example
		usual := Params{"table": "your_table", "key": "id", "provider": "provider", "access_token": "access_token", "refresh_token": "refresh_token",
			"expires_at": "expires_at", "user_id": "user_id", "scopes": "scopes"}
		for name, column := range usual {
			if p[name] == "" && !(name == "provider" && p["provider_name"] != "") && !(strings.HasSuffix(name, "_token") && p["response"] != "") {
				p = p.With(Params{name: column})
			}
		}
	}
	provider := "NULL::text AS provider"
	if p["provider_name"] != "" {
		provider = literal(p["provider_name"]) + "::text AS provider"
	} else if p["provider"] != "" {
		provider = ident(p["provider"]) + "::text AS provider" // it may be an enum, which a filter cannot compare
	}
	columns := []string{keySQL(p.List("key")), provider, tokenSQL(p, "access_token"), tokenSQL(p, "refresh_token"),
		optional(p["response"], tableResponse)}
	for _, input := range tableTimes(p) {
		columns = append(columns, ident(p[strings.TrimSuffix(input, "_text")])+"::text AS "+input)
	}
	if !slices.Contains(tableTimes(p), tableExpiresAt) {
		columns = append(columns, optional(p["expires_at"], "expires_at"))
	}
	if !slices.Contains(tableTimes(p), tableRefreshAt) {
		columns = append(columns, optional(p["refresh_token_expires_at"], "refresh_token_expires_at"))
	}
	columns = append(columns, tableOwner(p)...)
	columns = append(columns, optional(p["external_subject"], "external_subject"), optional(p["scopes"], "scopes"), optional(p["name"], "name"), optional(p["environment"], "environment"))
	columns = append(columns, more...)
	return selectSQL(tableSQL(p["table"]), append(columns, tableSkip(p))...)
}

// tokenSQL selects a token. Where it is a JSON object of iv, tag and the like, the
// column's type may be JSON.
func tokenSQL(p Params, name string) string {
	if p[name] != "" && p["layout"] == "json" {
		return ident(p[name]) + "::text AS " + name
	}
	return optional(p[name], name)
}

// tableTimes lists the inputs from which the Opener makes the expiries: none where
// the columns as they are tell all.
func tableTimes(p Params) []string {
	var inputs []string
	if p["expires_at"] != "" && (p["timezone"] != "" || p["expires_in"] != "" || p["response"] != "") {
		inputs = append(inputs, tableExpiresAt)
	}
	if p["refresh_token_expires_at"] != "" && p["timezone"] != "" {
		inputs = append(inputs, tableRefreshAt)
	}
	if p["expires_in"] != "" {
		inputs = append(inputs, tableExpiresIn)
	}
	if p["issued_at"] != "" && (p["expires_in"] != "" || p["response"] != "") {
		inputs = append(inputs, tableIssuedAt)
	}
	return inputs
}

// tableOwner selects whose a row's token is.
func tableOwner(p Params) []string {
	id, tenant := optional(p["user_id"], "subject_id"), optional(p["tenant"], "tenant")
	if kind := p["subject_type"]; kind == "app" || kind == "user" {
		return []string{id, literal(kind) + "::text AS subject_type", tenant}
	} else if kind != "" {
		return []string{id, ident(kind) + "::text AS subject_type", tenant}
	}
	switch {
	case p["user_id"] == "":
		return []string{"'app'::text AS subject_type", tenant}
	case p["owner_type"] == "":
		return []string{id, tenant}
	}
	kind := ident(p["owner_type"]) + "::text"
	isUser := "coalesce(" + kind + `, 'User') ~* '(^|[^a-z])users?$'`
	if types := p.List("user_types"); len(types) > 0 {
		for i := range types {
			types[i] = literal(types[i])
		}
		isUser = "coalesce(" + kind + " IN (" + strings.Join(types, ", ") + "), true)"
	}
	if tenant = "NULL"; p["tenant"] != "" {
		tenant = ident(p["tenant"]) + "::text"
	}
	return []string{id, "CASE WHEN " + isUser + " THEN 'user' ELSE 'app' END AS subject_type",
		"CASE WHEN " + isUser + " THEN " + tenant + " ELSE " + kind + " || '/' || " + ident(p["user_id"]) + "::text END AS tenant"}
}

// tableSkip selects why a row is left out, as far as its columns tell.
func tableSkip(p Params) string {
	const none = "('', 'false', 'f', 'no', '0')"
	text := func(name string) string { return "coalesce(" + ident(p[name]) + "::text, '')" }
	var skip []string
	if p["deleted_at"] != "" {
		skip = append(skip, "WHEN "+text("deleted_at")+" NOT IN "+none+" THEN 'deleted'")
	}
	if p["revoked_at"] != "" {
		skip = append(skip, "WHEN "+text("revoked_at")+" NOT IN "+none+" THEN 'disconnected'")
	}
	if p["oauth1_secret"] != "" {
		no := ""
		if p["refresh_token"] != "" {
			no = " AND " + text("refresh_token") + ` IN ('', '\x')`
		}
		skip = append(skip, "WHEN "+text("oauth1_secret")+` NOT IN ('', '\x')`+no+" THEN 'oauth1'")
	}
	if p["response"] == "" {
		skip = append(skip, "WHEN "+text("access_token")+` IN ('', '\x') THEN 'no_token'`)
	}
	if len(skip) == 0 {
		return "NULL::text AS skip"
	}
	return "CASE " + strings.Join(skip, "\n    ") + " END AS skip"
}

package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// activepieces keeps each connection as one encrypted JSON object in
// app_connection. Facts: activepieces/activepieces, its encryption at 03c3239 and
// 5f0090a, its entity and OAuth services at 1094fa8.
var activepieces = &Store{
	Name:    "activepieces",
	Title:   "Activepieces",
	Summary: "one row per connection in app_connection, an encrypted JSON object",
	Params: []Param{
		{Name: "table", Default: "app_connection", Doc: "the table of connections"},
		{Name: "provider", Default: "pieceName", Doc: "the column with the piece (appName in the oldest versions)"},
		{Name: "name", Default: "displayName", Doc: "the column with a connection's name"},
		{Name: "owner", Default: "ownerId", Doc: "the column with the user who made a connection; empty in old versions"},
		{Name: "project", Default: "projectIds", Doc: "the column with a connection's projects, of which the first is its tenant (projectId in old versions)"},
		{Name: "platform", Default: "platformId", Doc: "the column with the platform, the tenant of what is in no project; empty in old versions"},
		{Name: "projects", Default: "project", Doc: "the table of projects, whose owner a connection without one belongs to; empty: none"},
		{Name: "updated_at", Default: "updated", Doc: "the column with a row's last change, from which a lifetime counts where the grant's own time is missing; empty: none"},
		{Name: "status", Default: "status", Doc: "the column with ACTIVE, ERROR or MISSING; empty: none"},
		{Name: "cloud", Default: "skip", Doc: "connections by the vendor's own OAuth client (CLOUD_OAUTH2), which nobody else can refresh: skip, or take (the access token alone, for as long as it lasts)",
			Choices: []string{"skip", "take"}},
	},
	Keys: []Key{{Name: "encryption_key", Env: "AP_ENCRYPTION_KEY",
		Doc: "32 characters; where it was never set, the one that the installation generated into its settings"}},
	Cipher: "AES-256-GCM, older rows AES-256-CBC, over the JSON of value, its parts in hexadecimal",
	Skips:  skips(skipNotOAuth, skipDisconnected, skipNever, skipNoToken, skipForeign),
	Warnings: []string{
		"Activepieces refreshes tokens in place, 15 minutes before they expire: stop it before the last run, or run again for what changed since.",
		"A token without a lifetime is taken to last an hour if it can be refreshed, and ten years if not: so does Activepieces.",
	},
	MissingExpiry: source.MissingExpiry{Default: 3650 * 24 * time.Hour},
	Find:          findActivepieces,
	Query: func(p Params) string {
		from := tableSQL(p["table"]) + " AS c"
		var owner, tenant []string
		if p["owner"] != "" {
			owner = append(owner, "c."+ident(p["owner"]))
		}
		project := ""
		switch p["project"] {
		case "":
		case "projectIds":
			project = `c."projectIds"[1]`
		default:
			project = "c." + ident(p["project"])
		}
		if project != "" {
			tenant = append(tenant, project)
		}
		if p["projects"] != "" && project != "" {
			owner = append(owner, `(SELECT p."ownerId" FROM `+tableSQL(p["projects"])+" AS p WHERE p.id = "+project+" LIMIT 1)")
		}
		if p["platform"] != "" {
			tenant = append(tenant, "c."+ident(p["platform"]))
		}
		status, cloud := "", when(p["cloud"] == "skip", "c.type = 'CLOUD_OAUTH2'", skipForeign)
		if p["status"] != "" {
			status = when(true, "c."+ident(p["status"])+" = 'MISSING'", skipNever) + "\n    " + when(true, "c."+ident(p["status"])+" = 'ERROR'", skipDisconnected)
		}
		updated := "NULL::bigint AS updated_ms"
		if p["updated_at"] != "" {
			updated = millis("c."+ident(p["updated_at"])) + " AS updated_ms"
		}
		name := ""
		if p["name"] != "" {
			name = "c." + ident(p["name"]) + " AS name"
		}
		return selectSQL(from,
			"c.id AS key", "c."+ident(p["provider"])+" AS provider",
			coalesce(append(owner, "NULL"), "subject_id"), coalesce(tenant, "tenant"), name,
			"c.type AS kind", "c.value AS connection", updated,
			skipSQL(
				when(true, "c.type NOT IN ('OAUTH2', 'PLATFORM_OAUTH2', 'CLOUD_OAUTH2', 'CUSTOM_AUTH')", skipNotOAuth),
				status, cloud))
	},
	Opener: func(_ context.Context, _ *DB, _ Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewActivepieces(keys.List("encryption_key")...)
		if err != nil {
			return nil, err
		}
		return &documentOpener{cipher: c, column: "connection", inputs: []string{"kind", "updated_ms"}, take: takeActivepieces}, nil
	},
}

func findActivepieces(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "id", "type", "value") {
		p := Params{"table": t.String(), "provider": t.pick(given, "provider", "pieceName", "appName")}
		optional := map[string][]string{"name": {"displayName", "name"}, "owner": {"ownerId"}, "project": {"projectIds", "projectId"},
			"platform": {"platformId"}, "updated_at": {"updated"}, "status": {"status"}}
		ok := p["provider"] != ""
		for param, columns := range optional {
			p[param] = t.pick(given, param, columns...)
			ok = ok && (p[param] != "" || given[param] == "")
		}
		if given["table"] == "" { // jsonb values of some type are not rare; these columns together are
			ok = ok && p["project"] != "" && p["name"] != "" && p["updated_at"] != "" && t.Has("created")
		}
		if !ok {
			continue
		}
		p["projects"] = ""
		var beside []*Table
		if projects := companion(c, given, "projects", t, "project", "id", "ownerId"); projects != nil {
			p["projects"], beside = projects.String(), []*Table{projects}
		} else if given["projects"] != "" {
			continue
		}
		age := "newer schema"
		switch {
		case p["project"] == "projectId":
			age = "older schema, one project a connection"
		case p["owner"] == "":
			age = "older schema, connections without owners"
		}
		matches = append(matches, Match{Params: p, Variant: fmt.Sprintf("%s, table %s", age, t.SQL()), Tables: []*Table{t}, Beside: beside})
	}
	return matches
}

// takeActivepieces reads a connection's value.
func takeActivepieces(doc []byte, in source.Values) (source.Values, source.Reason, error) {
	d, ok := parseDocument(doc)
	if !ok {
		return nil, "", errors.New("value: it is no JSON object")
	}
	if in["kind"] == "CUSTOM_AUTH" { // of a few pieces it holds a token, most have keys and passwords
		if d.text("access_token") == "" {
			d = d.object("props")
		}
		if d.text("access_token") == "" {
			return nil, skipNotOAuth, nil
		}
		return source.Values{
			"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token"),
			"expires_at": unix(d.seconds("token_expires_at")), "scopes": d.list("scope"),
		}, "", nil
	}
	out := source.Values{"access_token": d.text("access_token"), "refresh_token": d.text("refresh_token"), "scopes": d.list("scope")}
	if out["access_token"] == "" {
		return nil, skipNoToken, nil
	}
	if in["kind"] == "CLOUD_OAUTH2" {
		out["refresh_token"] = ""
	}
	lifetime, claimed := d.seconds("expires_in"), d.seconds("claimed_at")
	if lifetime == 0 && d.text("refresh_token") != "" {
		lifetime = 3600
	}
	if claimed == 0 {
		claimed = seconds(in["updated_ms"]) / 1000
	}
	if lifetime > 0 && claimed > 0 {
		out["expires_at"] = unix(claimed + lifetime)
	}
	if d.text("grant_type") == "client_credentials" {
		out["subject_type"], out["installation_id"] = "app", in["key"] // nothing else tells one of a project from another
	}
	return out, "", nil
}

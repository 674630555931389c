package stores

import "fmt"

// authentik is authentik: the connections of its users to OAuth sources. Facts:
// the models of goauthentik/authentik, a Django application whose connections
// lie in two tables.
var authentik = &Store{
	Name:    "authentik",
	Title:   "authentik",
	Summary: "one access token per user and OAuth source in authentik_sources_oauth_useroauthsourceconnection, plain, without refresh tokens",
	Params: []Param{
		{Name: "table", Default: "authentik_sources_oauth_useroauthsourceconnection", Doc: "the table of OAuth connections"},
		{Name: "connections", Default: "authentik_core_usersourceconnection", Doc: "the table of all connections, with their users"},
		{Name: "sources", Default: "authentik_core_source", Doc: "the table of sources; a source's slug is the provider"},
		{Name: "source_key", Default: "policybindingmodel_ptr_id", Doc: "its key"},
		{Name: "identifier", Default: "connections", Choices: []string{"connections", "table"}, Doc: "which of the tables has the column identifier"},
		{Name: "created", Default: "created", Doc: "the column of connections with the time of their making"},
		scopesParam,
	},
	Skips: skips(skipNoToken),
	Warnings: []string{
		"authentik keeps no refresh tokens: what is migrated lasts as long as the access token of the last sign-in, and no longer.",
		"It keeps no granted scopes; give them in the parameter scopes. An expiry that is the row's own time of making means that the provider named none.",
	},
	MissingExpiry: lasting(),
	Find: func(c *Catalogue, given Params) []Match {
		var matches []Match
		for _, t := range candidates(c, given, "usersourceconnection_ptr_id", "access_token", "expires") {
			connections := companion(c, given, "connections", t, "authentik_core_usersourceconnection", "id", "user_id", "source_id")
			sources := companion(c, given, "sources", t, "authentik_core_source", "slug", "name")
			if connections == nil || sources == nil {
				continue
			}
			key := sources.First(given.or("source_key", "policybindingmodel_ptr_id", "pbm_uuid", "id")...)
			m := Match{
				Params: Params{"table": t.String(), "connections": connections.String(), "sources": sources.String(), "source_key": key,
					"identifier": "connections", "created": connections.First(given.or("created", "created")...)},
				Variant: fmt.Sprintf("tables %s and %s", t.SQL(), connections.SQL()),
				Tables:  []*Table{t, connections},
				Beside:  []*Table{sources},
			}
			if t.Has("identifier") {
				m.Params["identifier"] = "table"
			}
			if key != "" && (t.Has("identifier") || connections.Has("identifier")) {
				matches = append(matches, m)
			}
		}
		return matches
	},
	Query: func(p Params) string {
		identifier, expires := "c.identifier", "t.expires"
		if p["identifier"] == "table" {
			identifier = "t.identifier"
		}
		if p["created"] != "" {
			expires = "CASE WHEN t.expires > c." + ident(p["created"]) + " + interval '1 minute' THEN t.expires END AS expires_at"
		} else {
			expires += " AS expires_at"
		}
		return selectSQL(tableSQL(p["table"])+" AS t\n  LEFT JOIN "+tableSQL(p["connections"])+" AS c ON c.id = t.usersourceconnection_ptr_id"+
			"\n  LEFT JOIN "+tableSQL(p["sources"])+" AS s ON s."+ident(p["source_key"])+" = c.source_id",
			"t.usersourceconnection_ptr_id AS key", "s.slug AS provider", "t.access_token", expires,
			"c.user_id AS subject_id", identifier+" AS external_subject", scopesSQL(p, "s.slug"),
			"CASE WHEN coalesce(t.access_token, '') = '' THEN 'no_token' END AS skip")
	},
}

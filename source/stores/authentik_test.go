package stores

func init() {
	for _, v := range []struct{ name, onTable, onConnections, created, expiry string }{
		{"newest", "", "identifier text NOT NULL, ", "created timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00', last_updated timestamptz NOT NULL DEFAULT now(), ", ""},
		{"older", ", identifier varchar(255) NOT NULL", "", "", ""},
	} {
		f := fixture{
			store: "authentik", name: v.name, variant: "tables public.authentik_sources_oauth_useroauthsourceconnection and public.authentik_core_usersourceconnection",
			sql: []string{
				"CREATE TABLE authentik_core_source (policybindingmodel_ptr_id uuid PRIMARY KEY, name text NOT NULL, slug varchar(50) NOT NULL UNIQUE, enabled boolean NOT NULL DEFAULT true)",
				"INSERT INTO authentik_core_source VALUES ('20000000-0000-4000-8000-000000000001', 'GitHub', 'github'), ('20000000-0000-4000-8000-000000000002', 'Google', 'google-work')",
				"CREATE TABLE authentik_core_usersourceconnection (id serial PRIMARY KEY, " + v.onConnections + v.created + "user_id integer NOT NULL, source_id uuid NOT NULL REFERENCES authentik_core_source)",
				"CREATE TABLE authentik_sources_oauth_useroauthsourceconnection (usersourceconnection_ptr_id integer PRIMARY KEY REFERENCES authentik_core_usersourceconnection, access_token text, expires timestamptz NOT NULL DEFAULT now()" + v.onTable + ")",
				"CREATE TABLE authentik_sources_oauth_oauthsource (source_ptr_id uuid PRIMARY KEY, provider_type varchar(255) NOT NULL, additional_scopes text NOT NULL)",
			},
			want: map[string]string{
				"1": `{"provider":"google-work","accessToken":"ya29.ä✓","expiresAt":1893456000000,"subject":"7","externalSubject":"ext-1"}`,
				"2": "no_token", "3": "no_token",
				"4": `{"provider":"github","accessToken":"gho_1","expiresAt":1767225600000,"subject":"7","externalSubject":"ext-4"}`,
				"5": "missing_expiry",
			},
		}
		if v.created != "" { // then the row's own time of making is told from an expiry
			f.want["4"] = `{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"7","externalSubject":"ext-4"}`
		}
		insert := func(id, source, access, expires string) {
			parent, parentValue, child, childValue := "", "", "", ""
			if v.onTable == "" {
				parent, parentValue = ", identifier", ", 'ext-"+id+"'"
			} else {
				child, childValue = ", identifier", ", 'ext-"+id+"'"
			}
			f.sql = append(f.sql,
				"INSERT INTO authentik_core_usersourceconnection (id, user_id, source_id"+parent+") VALUES ("+id+", 7, '20000000-0000-4000-8000-00000000000"+source+"'"+parentValue+")",
				"INSERT INTO authentik_sources_oauth_useroauthsourceconnection (usersourceconnection_ptr_id, access_token, expires"+child+") VALUES ("+id+", "+access+", '"+expires+"'"+childValue+")")
		}
		insert("1", "2", "'ya29.ä✓'", "2030-01-01 00:00:00+00")
		insert("2", "2", "NULL", "2030-01-01 00:00:00+00")
		insert("3", "1", "''", "infinity")
		insert("4", "1", "'gho_1'", "2026-01-01 00:00:00+00")
		insert("5", "2", "repeat('x', 65536)", "9999-12-31 00:00:00+00")
		// A connection of another kind has no row in the table of OAuth connections.
		f.sql = append(f.sql, "INSERT INTO authentik_core_usersourceconnection (id, user_id, source_id"+map[bool]string{true: ", identifier", false: ""}[v.onTable == ""]+
			") VALUES (6, 8, '20000000-0000-4000-8000-000000000001'"+map[bool]string{true: ", 'ldap'", false: ""}[v.onTable == ""]+")")
		fixtures = append(fixtures, f)
	}
}

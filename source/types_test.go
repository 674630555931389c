package source

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

// TestReader_ReadsEveryTypeOfEveryColumn sends each type through the server and
// looks at the field that it ends in.
func TestReader_ReadsEveryTypeOfEveryColumn(t *testing.T) {
	db := newDatabase(t, "CREATE TYPE mood AS ENUM ('user', 'preview')", "CREATE DOMAIN short AS varchar(20)", "CREATE DOMAIN shorts AS text[]", "CREATE DOMAIN doc AS jsonb")
	const at = "1800000000123"
	var (
		text = []string{"'%s'", "'%s'::text", "'%s'::varchar(99)", "'%s'::char(99)", "'%s'::name", "'%s'::short"}
		ids  = []string{"42", "42::smallint", "42::bigint"}
	)
	uuid := "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	get := func(t *connect.Token) map[string]any {
		return map[string]any{
			"access_token": t.AccessToken.Reveal(), "refresh_token": t.RefreshToken.Reveal(), "expires_at": t.ExpiresAt,
			"refresh_token_expires_at": t.RefreshTokenExpiresAt, "subject_type": t.Subject.Type, "subject_id": t.Subject.ID,
			"subject_issuer": t.Subject.Issuer, "environment": t.Environment, "scopes": t.Scopes, "audience": t.Audience,
			"resources": t.Resources, "authorization_details": t.AuthorizationDetails, "data": t.Data.Reveal(),
			"installation_id": t.InstallationID, "installation": t.Installation, "tenant": t.Tenant, "name": t.Name,
			"external_subject": t.ExternalSubject,
		}
	}
	type test struct {
		column, sql string
		want        any
	}
	var tests []test
	add := func(column string, want any, sqls ...string) {
		for _, sql := range sqls {
			tests = append(tests, test{column, sql, want})
		}
	}
	as := func(formats []string, v string) []string {
		var sqls []string
		for _, f := range formats {
			sqls = append(sqls, strings.Replace(f, "%s", v, 1))
		}
		return sqls
	}
	for _, column := range []string{"access_token", "refresh_token", "subject_id", "subject_issuer", "installation_id", "name", "external_subject"} {
		add(column, "va'lue", as(text, "va''lue")...)
	}
	for _, column := range []string{"subject_id", "installation_id", "external_subject"} {
		add(column, "42", ids...)
		add(column, uuid, "'"+uuid+"'::uuid")
	}
	for _, column := range []string{"installation", "tenant"} {
		add(column, connect.Party{ID: "T1"}, append(as(text, "T1"), `'"T1"'::json`, `'"T1"'::jsonb`, `'"T1"'::doc`)...)
		add(column, connect.Party{ID: "42"}, append([]string{`'42'::json`, `'42'::jsonb`}, ids...)...)
		add(column, connect.Party{ID: uuid}, "'"+uuid+"'::uuid")
		add(column, connect.Party{ID: "T1", Object: `{"id": "T1"}`}, `'{"id": "T1"}'::json`, `'{"id":"T1"}'::jsonb`)
		add(column, connect.Party{}, "NULL", "NULL::jsonb", "'null'::json", "''", "NULL::int")
	}
	add("access_token", "ä", `'\xc3a4'::bytea`)
	add("refresh_token", "ä", `'\xc3a4'::bytea`)
	add("refresh_token", "", "NULL", "''", `''::bytea`, "NULL::bytea")
	add("subject_type", "user", append(as(text, "user"), "'user'::mood", "NULL", "''")...)
	add("environment", "preview", append(as(text, "preview"), "'preview'::mood")...)
	add("environment", "production", "NULL", "''", "NULL::mood")
	for _, column := range []string{"expires_at", "refresh_token_expires_at"} {
		add(column, int64(1800000000000), "1800000000", "1800000000::bigint", "1800000000::float8", "1800000000::numeric", "1800000000::float4")
		add(column, int64(1800000000123), at+"::bigint", at+"::numeric", at+".9::numeric", at+"::float8", "1800000000.123::numeric", "1800000000.123::float8",
			"'"+at+"'", "'1800000000.1239'", "to_timestamp(1800000000.123)", "to_timestamp(1800000000.1234567)", "to_timestamp(1800000000.123) AT TIME ZONE 'UTC'",
			"to_timestamp(1800000000.123)::text", "to_char(to_timestamp(1800000000.123) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
			"to_json(to_timestamp(1800000000.123)) #>> '{}'")
	}
	add("refresh_token_expires_at", int64(0), "NULL", "NULL::timestamptz", "'infinity'::timestamptz", "'-infinity'::timestamp", "'infinity'::timestamp", "'NaN'::float8", "'Infinity'::float4",
		"'-Infinity'::float8", "'NaN'::numeric", "0", "-1", "32767::smallint", "'1999-12-31 23:59:59+00'::timestamptz", "'9999-01-01'::timestamp", "'4713-01-01 BC'::timestamptz", "'1999-12-31 BC'::timestamp::text", "1e300::float8")
	for _, column := range []string{"scopes", "audience", "resources"} {
		add(column, []string{"a", "b c"}, "ARRAY['a','b c']", "ARRAY['a','b c']::varchar[]", "ARRAY['a','b c']::char(3)[]", "'{a,NULL,\"\",\"b c\"}'::text[]", "'{{a},{b c}}'::text[]", "ARRAY['a','b c']::name[]",
			"ARRAY['a','b c']::short[]", "ARRAY['a','b c']::shorts", `'["a","b c"]'::json`, `'["a","b c"]'::jsonb`, `'["a","b c"]'`)
		add(column, []string{"user", "preview"}, "'{user,preview}'::mood[]", "'user,preview'", "'user preview'::varchar", "'\"user preview\"'::jsonb")
		add(column, []string(nil), "NULL", "NULL::text[]", "'{}'::text[]", "'{NULL}'::text[]", "'[]'::json", "'null'::jsonb", "''", "' , '")
	}
	add("authorization_details", `[{"type": "t"}]`, `'[{"type": "t"}]'::json`, `'[{"type":"t"}]'::jsonb`)
	add("authorization_details", "", "NULL::json", "'null'::jsonb")
	add("data", `{"a": {"b": [1, null]}}`, `'{"a": {"b": [1, null]}}'::json`, `'{"a":{"b":[1,null]}}'::jsonb`, `'{"a":{"b":[1,null]}}'::doc`)
	add("data", "", "NULL::json", "'null'::json")

	for _, test := range tests {
		base := map[string]string{"key": "1", "access_token": "'at'", "refresh_token": "'rt'", "subject_id": "'u'", "expires_at": "1800000000"}
		base[test.column] = test.sql
		var list []string
		for column, sql := range base {
			list = append(list, sql+" AS "+column)
		}
		r, err := Open(t.Context(), db.config(""), Options{Query: "SELECT " + strings.Join(list, ", "), Routes: slack})
		if err != nil {
			t.Errorf("%s AS %s: %v", test.sql, test.column, err)
			continue
		}
		rows, err := walkAll(t, r)
		r.Close()
		if err != nil || len(rows) != 1 || rows[0].Reason != "" {
			t.Errorf("%s AS %s: got %+v, %v", test.sql, test.column, rows, err)
			continue
		}
		got := get(&rows[0].Token)[test.column]
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s AS %s: got %#v, want %#v", test.sql, test.column, got, test.want)
		}
	}
	t.Logf("%d types", len(tests))
}

// TestReader_RefusesOtherTypes tries types that have no one reading, in every
// column that does not take them.
func TestReader_RefusesOtherTypes(t *testing.T) {
	db := newDatabase(t, "CREATE TYPE mood AS ENUM ('user')", "CREATE TYPE pair AS (a int, b int)")
	values := map[string]string{
		"bool": "true", "interval": "'1s'::interval", "date": "'2027-01-01'::date", "int[]": "'{1}'::int[]", "pair": "ROW(1,2)::pair",
		"json": "'[]'::json", "bytea": "''::bytea", "float8": "1::float8", "numeric": "1.5", "text[]": "'{a}'::text[]", "int": "1",
		"uuid": "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", "mood": "'user'::mood", "inet": "'::1'::inet", "xml": "'<a/>'::xml", "oid": "1::oid", "text": "'x'",
		"jsonb[]": "'{}'::jsonb[]", "timestamptz": "now()",
	}
	takes := map[string]string{
		"key": "int uuid text", "key_2": "int uuid text", "access_token": "text bytea mood", "refresh_token": "text bytea mood",
		"provider": "text mood", "connector": "text mood", "subject_type": "text mood", "subject_issuer": "text mood", "environment": "text mood", "name": "text mood",
		"subject_id": "text mood int uuid", "installation_id": "text mood int uuid", "external_subject": "text mood int uuid",
		"expires_at": "text mood int float8 numeric timestamptz", "refresh_token_expires_at": "text mood int float8 numeric timestamptz",
		"scopes": "text mood json text[]", "audience": "text mood json text[]", "resources": "text mood json text[]",
		"authorization_details": "json", "data": "json", "installation": "json text mood int uuid", "tenant": "json text mood int uuid",
	}
	if len(takes) != int(publicFields) {
		t.Fatalf("the test knows %d columns, want %d", len(takes), publicFields)
	}
	for name, sql := range values {
		var list []string
		for column := range takes {
			list = append(list, sql+" AS "+column)
		}
		r, err := Open(t.Context(), db.config(""), Options{Query: "SELECT " + strings.Join(list, ", "), Routes: slack})
		if r != nil {
			r.Close()
		}
		// Some column takes none of them, so that there always is an error.
		wantConfigError(t, err)
		for column, good := range takes {
			took := !strings.Contains(err.Error(), "column "+column+" is ")
			if want := slices.Contains(strings.Fields(good), name); took != want {
				t.Errorf("%s as %s: got taken %t, want %t", name, column, took, want)
			}
			if !took && !strings.Contains(err.Error(), " AS "+column+"\n") && !strings.HasSuffix(err.Error(), " AS "+column) {
				t.Errorf("%s as %s: got %q, want it to tell the cast", name, column, err)
			}
		}
	}
}

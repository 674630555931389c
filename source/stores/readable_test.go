package stores

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/source"
)

// reader makes a role that may read all tables but these, and returns the
// configuration with which it connects.
func reader(t *testing.T, config *pgx.ConnConfig, but ...string) *pgx.ConnConfig {
	t.Helper()
	role := ident("reader_of_" + config.Database)
	statements := []string{"CREATE ROLE " + role + " LOGIN PASSWORD 'x'",
		`DO $$ DECLARE s text; BEGIN FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema' LOOP
			EXECUTE format('GRANT USAGE ON SCHEMA %I TO ` + role + `; GRANT SELECT ON ALL TABLES IN SCHEMA %I TO ` + role + `', s, s); END LOOP; END $$`}
	for _, table := range but {
		statements = append(statements, "REVOKE SELECT ON "+table+" FROM "+role)
	}
	execute(t, config, statements...)
	t.Cleanup(func() {
		conn, err := pgx.ConnectConfig(context.WithoutCancel(t.Context()), config)
		if err == nil {
			_, err = conn.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role, pgx.QueryExecModeSimpleProtocol)
			_ = conn.Close(context.WithoutCancel(t.Context()))
		}
		if err != nil {
			t.Errorf("drop the role: %v", err)
		}
	})
	as := config.Copy()
	as.User, as.Password = strings.Trim(role, `"`), "x"
	return as
}

// fixtureOf returns one of a store's fixtures.
func fixtureOf(t *testing.T, store, name string) *fixture {
	t.Helper()
	for i := range fixtures {
		if f := &fixtures[i]; f.store == store && (name == "" || f.name == name) {
			return f
		}
	}
	t.Fatalf("store %s has no fixture %q", store, name)
	return nil
}

// Without one of the tables that say whose a row is, rows would change owners, and
// nothing would tell.
func TestPrepare_RefusesATableThatTheRoleMayNotRead(t *testing.T) {
	for _, test := range []struct {
		store, fixture, table string
		given                 Params
	}{
		{store: "nango", fixture: "plain", table: "nango.end_users"},
		{store: "nango", fixture: "plain", table: "nango._nango_configs"},
		{store: "nango", fixture: "plain", table: "nango._nango_environments", given: Params{"environment": "prod"}},
		{store: "nango", fixture: "encrypted", table: "nango._nango_db_config"},
		{store: "twenty", table: `core."userWorkspace"`},
		{store: "logto", table: "public.secret_social_connector_relations"},
		{store: "ory-kratos", table: "public.identity_credential_types"},
		{store: "keycloak", table: "public.realm", given: Params{"base_url": "https://sso.example.com"}},
		{store: "keycloak", table: "public.identity_provider_config"},
		{store: "authentik", table: "public.authentik_core_source"},
		{store: "django-allauth", table: "public.socialaccount_socialaccount"},
		{store: "superset", table: "public.dbs"},
		{store: "windmill", table: "public.workspace_key"},
		{store: "n8n", table: "public.project_relation"},
		{store: "n8n", table: "public.deployment_key"},
	} {
		t.Run(test.store+"/"+test.table, func(t *testing.T) {
			t.Parallel()
			f := *fixtureOf(t, test.store, test.fixture)
			f.given = f.given.With(test.given)
			config := newDatabase(t, f.sql...)
			s, _ := ByName(f.store)
			if test.table == "public.deployment_key" {
				execute(t, config, "CREATE TABLE IF NOT EXISTS deployment_key (id varchar(36), type varchar(64), value text, algorithm varchar(20))")
			}
			// A table of the same columns is none the better for being readable.
			execute(t, config, "CREATE TABLE teams (id varchar(36) PRIMARY KEY, name text, slug text)")
			_, err := s.Prepare(t.Context(), reader(t, config, test.table), f.given, f.keys)
			var refused *source.ConfigError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "GRANT SELECT ON "+test.table+" TO reader_of_") {
				t.Errorf("got %v, want a refusal with the GRANT for %s", err, test.table)
			}
		})
	}
}

// Generic columns tell nothing: without the table of types Kratos' rows cannot be
// read, whatever else has an id and a name.
func TestCompanion_TakesNoTableForItsGenericColumns(t *testing.T) {
	table := func(name string, columns ...string) *Table {
		tab := &Table{Schema: "public", Name: name, InPath: true, Readable: true}
		for _, c := range columns {
			tab.Columns = append(tab.Columns, Column{Name: c})
		}
		return tab
	}
	main := table("tokens", "id")
	for _, test := range []struct {
		name    string
		tables  []*Table
		columns []string
		given   Params
		want    string
	}{
		{"generic", []*Table{table("teams", "id", "name")}, []string{"id", "name"}, nil, ""},
		{"named", []*Table{table("teams", "id", "name"), table("types", "id", "name")}, []string{"id", "name"}, nil, "types"},
		{"given", []*Table{table("teams", "id", "name"), table("types", "id", "name")}, []string{"id", "name"}, Params{"types": "teams"}, "teams"},
		{"renamed", []*Table{table("my_types", "id", "uid", "extra_data")}, []string{"id", "uid", "extra_data"}, nil, "my_types"},
		{"two of them", []*Table{table("a", "id", "uid", "extra_data"), table("b", "id", "uid", "extra_data")}, []string{"id", "uid", "extra_data"}, nil, ""},
		{"another of that name", []*Table{table("types", "id"), table("b", "id", "uid", "extra_data")}, []string{"id", "uid", "extra_data"}, nil, ""},
	} {
		c := &Catalogue{Tables: append([]*Table{main}, test.tables...)}
		got := companion(c, test.given, "types", main, "types", test.columns...)
		if name := ""; got != nil {
			if name = got.Name; name != test.want {
				t.Errorf("%s: got %s, want %q", test.name, name, test.want)
			}
		} else if test.want != "" {
			t.Errorf("%s: got none, want %s", test.name, test.want)
		}
	}
}

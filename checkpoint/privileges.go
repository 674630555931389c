package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tokenmigrate/checkpoint/pgerr"
)

// uses are the privileges that a run uses, by table. All are read.
var uses = []struct{ table, privileges string }{
	{"schema_version", "SELECT"},
	{"migrations", "SELECT, INSERT, UPDATE"},
	{"tokens", "SELECT, INSERT, UPDATE"},
	{"pages", "SELECT, INSERT, UPDATE"},
	{"revisions", "SELECT, INSERT, UPDATE"},
	{"calls", "SELECT, INSERT, UPDATE, DELETE"},
	{"runs", "SELECT, INSERT, UPDATE"},
	{"leases", "SELECT, INSERT, UPDATE"},
	{"paces", "SELECT, INSERT, UPDATE"},
}

// MissingPrivileges lists what the role lacks to run: each a sentence that names
// what to grant. state is what Ready said: without tables it is the right to make
// them; with older ones, the right to change them; else the use of each table. It
// writes nothing.
//
// Errors: a *pgerr.Error.
func (s *Store) MissingPrivileges(ctx context.Context, state error) ([]string, error) {
	const op = "look at the checkpoint's privileges"
	var schema, create, usage, createIn, language bool
	var database, role string
	err := s.pool.QueryRow(ctx, `
		SELECT n.oid IS NOT NULL, has_database_privilege(current_database(), 'CREATE'),
			coalesce(has_schema_privilege(n.oid, 'USAGE'), false), coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
			quote_ident(current_database()), quote_ident(current_user),
			EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))
		FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`, s.schema).
		Scan(&schema, &create, &usage, &createIn, &database, &role, &language)
	if err != nil {
		return nil, pgerr.Wrap(op, err)
	}
	switch {
	case !language && (!schema && create || createIn && (errors.Is(state, ErrNoSchema) || errors.Is(state, ErrOlderSchema))):
		return []string{fmt.Sprintf("role %s may not make triggers; GRANT USAGE ON LANGUAGE plpgsql TO %s, or let a DBA run what `tokenmigrate checkpoint ddl` prints", role, role)}, nil
	case !schema && create, errors.Is(state, ErrNoSchema) && createIn:
		return nil, nil
	case !schema:
		return []string{fmt.Sprintf("role %s may not make the schema; GRANT CREATE ON DATABASE %s TO %s, or let a DBA run what `tokenmigrate checkpoint ddl` prints", role, database, role)}, nil
	case !usage:
		return []string{fmt.Sprintf("role %s may not use schema %s; GRANT USAGE ON SCHEMA %s TO %s", role, s.quoted, s.quoted, role)}, nil
	case errors.Is(state, ErrNoSchema):
		return []string{fmt.Sprintf("role %s may not make tables in schema %s; GRANT CREATE ON SCHEMA %s TO %s, or let a DBA run what `tokenmigrate checkpoint ddl` prints", role, s.quoted, s.quoted, role)}, nil
	}
	if errors.Is(state, ErrOlderSchema) {
		return s.missingToUpgrade(ctx, op, role, createIn)
	}
	return s.missingOnTables(ctx, op, role)
}

// missingToUpgrade looks whether the tables are the role's own, to which it may add.
func (s *Store) missingToUpgrade(ctx context.Context, op, role string, createIn bool) ([]string, error) {
	version, err := s.version(ctx)
	if err != nil {
		return nil, err
	}
	var owner bool
	err = s.pool.QueryRow(ctx, `SELECT coalesce(bool_and(pg_has_role(c.relowner, 'USAGE')), false) FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`, s.schema).Scan(&owner)
	if err != nil {
		return nil, pgerr.Wrap(op, err)
	}
	if owner && createIn {
		return nil, nil
	}
	return []string{fmt.Sprintf("role %s may not upgrade the tables; %s", role, s.upgradeRemedy(version))}, nil
}

// missingOnTables looks for the privileges of uses.
func (s *Store) missingOnTables(ctx context.Context, op, role string) ([]string, error) {
	var missing []string
	for _, u := range uses {
		var lacks []string
		for privilege := range strings.SplitSeq(u.privileges, ", ") {
			var has bool
			if err := s.pool.QueryRow(ctx, `SELECT coalesce(has_table_privilege(to_regclass($1), $2), false)`, s.quoted+"."+u.table, privilege).Scan(&has); err != nil {
				return nil, pgerr.Wrap(op, err)
			}
			if !has {
				lacks = append(lacks, privilege)
			}
		}
		if list := strings.Join(lacks, ", "); list != "" {
			missing = append(missing, fmt.Sprintf("role %s may not %s on %s.%s; GRANT %s ON %s.%s TO %s", role, list, s.quoted, u.table, list, s.quoted, u.table, role))
		}
	}
	return missing, nil
}

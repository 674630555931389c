package checkpoint

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Errors about the state of the tables; each needs somebody to act.
var (
	// ErrNoSchema: the tables are not there. A run makes them; the commands that
	// only read take it for an empty checkpoint.
	ErrNoSchema = errors.New("the checkpoint's tables do not exist yet")
	// ErrNewerSchema: a newer tokenmigrate has upgraded the tables.
	ErrNewerSchema = errors.New("the checkpoint was upgraded by a newer version of tokenmigrate; use that version")
	// ErrOlderSchema: the tables are older than this program, and the command
	// may not upgrade them.
	ErrOlderSchema = errors.New("the checkpoint was made by an older version of tokenmigrate; `run` upgrades it")
	// ErrRowSecurity: policies decide which rows of the tables the role sees. What
	// it does not see would be taken for never sent, and be sent again.
	ErrRowSecurity = errors.New("row-level security may hide rows of the checkpoint's tables")
	// ErrNoTriggers: triggers on the table of tokens are missing or disabled, so that
	// pages may be remembered whose tokens have changed.
	ErrNoTriggers = errors.New("triggers of the checkpoint's table tokens are missing or disabled")
)

// steps returns the numbered statements of schema/, in order; step i+1 is at i.
func steps() ([]string, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(names))
	for i, name := range names {
		base := strings.TrimPrefix(name, "schema/")
		number, err := strconv.Atoi(base[:strings.IndexByte(base, '_')])
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("schema file %s: expected number %03d", base, i+1)
		}
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, string(text))
	}
	return out, nil
}

// DDL returns the statements that make the checkpoint's tables, or bring those of
// version from to this program's, for somebody who may run them where the program may
// not. It fails where there is no such version; that of no tables is 0.
func DDL(schema string, from int) (string, error) {
	all, err := steps()
	if err != nil {
		return "", err
	}
	if from < 0 || from > len(all) {
		return "", fmt.Errorf("there is no version %d of the checkpoint's tables; the newest is %d, and schema_version tells which one yours have", from, len(all))
	}
	quoted := pgx.Identifier{schema}.Sanitize()
	var b strings.Builder
	if from == 0 {
		fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n", quoted)
	}
	// A step that fails must not leave its version behind.
	for _, step := range all[from:] {
		fmt.Fprintf(&b, "BEGIN;\n%sCOMMIT;\n", strings.ReplaceAll(step, "{schema}", quoted))
	}
	return b.String(), nil
}

// Migrate makes the tables, or brings them to this program's version, in one
// transaction each. Several workers may do so at once: they take turns.
//
// Errors: ErrNewerSchema, ErrRowSecurity, ErrNoTriggers; a *pgerr.Error of class Stop where a
// privilege is missing, which names what to grant.
func (s *Store) Migrate(ctx context.Context) error {
	all, err := steps()
	if err != nil {
		return err
	}
	version, err := s.version(ctx)
	switch {
	case err == nil && version == len(all):
		return nil
	case err != nil && !errors.Is(err, ErrNoSchema):
		return err
	case version > len(all):
		return fmt.Errorf("schema %q has version %d, this program knows %d: %w", s.schema, version, len(all), ErrNewerSchema)
	}
	wanted, done := "CREATE on the database", 0
	err = s.begin(ctx, func(tx pgx.Tx) error {
		// Looked for first: CREATE SCHEMA wants a privilege even where it exists.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('tokenmigrate.schema'), hashtext($1))`, s.schema); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, s.quoted).Scan(&exists); err != nil {
			return err
		}
		if exists {
			wanted = "CREATE on schema " + s.quoted
		} else {
			if _, err := tx.Exec(ctx, `CREATE SCHEMA `+s.quoted); err != nil {
				return err
			}
		}
		var tables bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, s.quoted+".schema_version").Scan(&tables); err != nil {
			return err
		}
		if tables {
			if err := tx.QueryRow(ctx, s.in(`SELECT version FROM {schema}.schema_version`)).Scan(&done); err != nil {
				return err
			}
		}
		for i := done; i < len(all); i++ {
			// The simple protocol takes a file of many statements at once.
			if _, err := tx.Conn().PgConn().Exec(ctx, s.in(all[i])).ReadAll(); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return nil
	})
	if err = pgerr.Wrap("create the checkpoint's tables", err); pgerr.CodeOf(err) == "42501" {
		if done > 0 {
			return fmt.Errorf("%w; %s", err, s.upgradeRemedy(done))
		}
		return fmt.Errorf("%w; grant %s (or let a DBA run what `tokenmigrate checkpoint ddl` prints, and grant USAGE on schema %s and SELECT, INSERT, UPDATE, DELETE on its tables)", err, wanted, s.quoted)
	}
	return err
}

// upgradeRemedy says what helps where the role may not upgrade tables of a version.
func (s *Store) upgradeRemedy(version int) string {
	return fmt.Sprintf("run once as the owner of the tables in schema %s, or let a DBA run what `tokenmigrate checkpoint ddl --from %d` prints, and grant SELECT, INSERT, UPDATE, DELETE on the new ones", s.quoted, version)
}

// Ready checks that the tables are there in this program's version, without
// changing anything.
//
// Errors: ErrNoSchema, ErrOlderSchema, ErrNewerSchema, ErrRowSecurity, ErrNoTriggers; a
// *pgerr.Error of class Stop where a privilege is missing, which names what to
// grant.
func (s *Store) Ready(ctx context.Context) error {
	all, err := steps()
	if err != nil {
		return err
	}
	version, err := s.version(ctx)
	switch {
	case err != nil:
		return err
	case version > len(all):
		return fmt.Errorf("schema %q has version %d, this program knows %d: %w", s.schema, version, len(all), ErrNewerSchema)
	case version < len(all):
		return fmt.Errorf("schema %q has version %d, this program needs %d: %w", s.schema, version, len(all), ErrOlderSchema)
	}
	return nil
}

// version returns the version of the tables, ErrNoSchema, ErrRowSecurity or
// ErrNoTriggers.
func (s *Store) version(ctx context.Context) (int, error) {
	var exists bool
	var guarded, role string
	tables := make([]string, len(uses))
	for i, u := range uses {
		tables[i] = u.table
	}
	err := s.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL, quote_ident(current_user), coalesce((
		SELECT string_agg(quote_ident(c.relname), ', ' ORDER BY c.relname) FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $2 AND c.relname = ANY($3::text[]) AND row_security_active(c.oid)), '')`,
		s.quoted+".schema_version", s.schema, tables).Scan(&exists, &role, &guarded)
	if err != nil {
		return 0, s.readable(pgerr.Wrap("look for the checkpoint's tables", err))
	}
	if !exists {
		return 0, fmt.Errorf("schema %q: %w", s.schema, ErrNoSchema)
	}
	if guarded != "" {
		return 0, fmt.Errorf("schema %q: %w (%s), from which role %s is not exempt; ALTER TABLE ... DISABLE ROW LEVEL SECURITY, or use their owner or a role with BYPASSRLS", s.schema, ErrRowSecurity, guarded, role)
	}
	var version, triggers int
	err = s.pool.QueryRow(ctx, s.in(`SELECT version, (SELECT count(*) FROM pg_catalog.pg_trigger
			WHERE tgrelid = to_regclass($1) AND tgname = ANY($2::text[]) AND tgenabled IN ('O', 'A'))
		FROM {schema}.schema_version`), s.quoted+".tokens", tokensTriggers).Scan(&version, &triggers)
	if err == nil && version > 1 && triggers < len(tokensTriggers) {
		return 0, fmt.Errorf("schema %q: %w; ALTER TABLE %s.tokens ENABLE TRIGGER USER, or make them again (`tokenmigrate checkpoint ddl --from 1` shows how), and DELETE FROM %s.pages", s.schema, ErrNoTriggers, s.quoted, s.quoted)
	}
	return version, s.readable(pgerr.Wrap("read the checkpoint's version", err))
}

// tokensTriggers are the triggers that raise the revision.
var tokensTriggers = []string{"tokens_updated", "tokens_deleted", "tokens_truncated"}

// readable adds to a refusal what the role must be granted to see the tables.
func (s *Store) readable(err error) error {
	if pgerr.CodeOf(err) != "42501" {
		return err
	}
	return fmt.Errorf("%w; grant USAGE on schema %s and SELECT on its tables (a run also wants INSERT, UPDATE and DELETE)", err, s.quoted)
}

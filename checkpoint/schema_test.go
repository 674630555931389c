package checkpoint

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
)

func TestMigrate_MakesTheTablesOnce(t *testing.T) {
	t.Parallel()
	s := openStore(t, localpg.Database(t), testSchema)
	if err := s.Ready(t.Context()); !errors.Is(err, ErrNoSchema) {
		t.Errorf("Ready before: got %v, want ErrNoSchema", err)
	}
	if _, err := s.Migration(t.Context(), "acme"); !errors.Is(err, ErrNoMigration) {
		t.Errorf("Migration before: got %v, want ErrNoMigration", err)
	}
	for i := range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatalf("time %d: %v", i+1, err)
		}
		execute(t, s, `INSERT INTO {schema}.paces (destination, team) VALUES ($1, '')`, strings.Repeat("x", i+1))
	}
	must(t, s.Ready(t.Context()))
	equal(t, "rows kept", lines(t, s, `SELECT destination FROM {schema}.paces ORDER BY 1`), "x", "xx")
	equal(t, "versions", lines(t, s, `SELECT version::text FROM {schema}.schema_version`), "2")
}

func TestMigrate_ByEightAtOnce(t *testing.T) {
	t.Parallel()
	url := localpg.Database(t)
	g, ctx := errgroup.WithContext(t.Context())
	start := make(chan struct{})
	for range 8 {
		s := openStore(t, url, testSchema)
		g.Go(func() error {
			<-start
			return s.Migrate(ctx)
		})
	}
	close(start)
	must(t, g.Wait())
	s := openStore(t, url, testSchema)
	must(t, s.Ready(t.Context()))
	equal(t, "versions", lines(t, s, `SELECT version::text FROM {schema}.schema_version`), "2")
}

func TestMigrate_TellsOtherVersions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, c := range []struct {
		version        int
		ready, migrate error
		words          string
	}{
		{0, ErrOlderSchema, nil, "has version 0, this program needs 2"},
		{2, nil, nil, ""},
		{7, ErrNewerSchema, ErrNewerSchema, "has version 7, this program knows 2"},
	} {
		execute(t, s, `UPDATE {schema}.schema_version SET version = $1`, c.version)
		err := s.Ready(t.Context())
		if !errors.Is(err, c.ready) || c.ready == nil && err != nil {
			t.Errorf("version %d: Ready: got %v, want %v", c.version, err, c.ready)
		} else if err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("version %d: Ready: got %q, want it to say %q", c.version, err, c.words)
		}
		if _, err := s.Migration(t.Context(), "acme"); c.ready != nil && !errors.Is(err, c.ready) {
			t.Errorf("version %d: Migration: got %v, want %v", c.version, err, c.ready)
		}
		if c.version == 0 {
			continue // there was never a version 0 to upgrade
		}
		if err := s.Migrate(t.Context()); !errors.Is(err, c.migrate) || c.migrate == nil && err != nil {
			t.Errorf("version %d: Migrate: got %v, want %v", c.version, err, c.migrate)
		}
	}
}

func TestMigrate_QuotesTheSchema(t *testing.T) {
	t.Parallel()
	url := localpg.Database(t)
	for _, name := range []string{
		`Token Migrate`, `to"ken`, `a.b`, `o'clock`, `{schema}`, `$1`, `select`, `日本語`, `semi;colon --`,
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, url, name)
			must(t, s.Migrate(t.Context()))
			must(t, s.Ready(t.Context()))
			b := begin(t, s, "acme-slack", "first")
			b.call(imported("k"))
			equal(t, "schema of the tables", lines(t, s,
				`SELECT DISTINCT schemaname::text FROM pg_tables WHERE tablename = 'tokens' AND schemaname = $1`, name), name)
			totals, err := s.Totals(t.Context(), b.lease.Migration)
			if err != nil || totals[Imported] != 1 {
				t.Errorf("Totals: got %v, %v, want one imported", totals, err)
			}
		})
	}
}

func TestMigrate_NamesTheMissingGrant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare string // {role} and {db} are filled in
		want    []string
	}{
		{"nothing granted", ``,
			[]string{"permission denied for database", "grant CREATE on the database", "checkpoint ddl"}},
		{"schema without usage", `CREATE SCHEMA tokenmigrate`,
			[]string{"permission denied for schema tokenmigrate", `grant USAGE on schema "tokenmigrate"`}},
		{"schema without create", `CREATE SCHEMA tokenmigrate; GRANT USAGE ON SCHEMA tokenmigrate TO {role}`,
			[]string{"permission denied for schema tokenmigrate", `grant CREATE on schema "tokenmigrate"`, "checkpoint ddl"}},
		{"tables without select", `{ddl}; GRANT USAGE ON SCHEMA tokenmigrate TO {role}`,
			[]string{"permission denied for table schema_version", `SELECT on its tables`}},
		{"enough to make the schema", `GRANT CREATE ON DATABASE {db} TO {role}`, nil},
		{"schema exists, database closed", `CREATE SCHEMA tokenmigrate; GRANT USAGE, CREATE ON SCHEMA tokenmigrate TO {role}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			role := newRole(t)
			url := localpg.Database(t)
			admin := openStore(t, url, testSchema)
			ddl, err := DDL(testSchema, 0)
			must(t, err)
			simple(t, url, strings.NewReplacer("{role}", role, "{db}", pgx.Identifier{parse(t, url).Database}.Sanitize(), "{ddl}", ddl).Replace(c.prepare))
			err = openAs(t, url, role, testSchema).Migrate(t.Context())
			if c.want == nil {
				must(t, err)
				must(t, admin.Ready(t.Context()))
				return
			}
			if pgerr.CodeOf(err) != "42501" || pgerr.ClassOf(err) != pgerr.Stop {
				t.Fatalf("got %v, want a refusal of class Stop", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q, want it to say %q", err, w)
				}
			}
		})
	}
}

func TestDDL_ServesARoleThatMayCreateNothing(t *testing.T) {
	t.Parallel()
	const schema = `Odd "schema"`
	role := newRole(t)
	url := localpg.Database(t)
	ddl, err := DDL(schema, 0)
	must(t, err)
	quoted := pgx.Identifier{schema}.Sanitize()
	simple(t, url, ddl+"GRANT USAGE ON SCHEMA "+quoted+" TO "+role+";"+
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+quoted+" TO "+role)

	s := openAs(t, url, role, schema)
	must(t, s.Migrate(t.Context()))
	b := begin(t, s, "acme-slack", "first")
	b.call(imported("a"), refused("b"))
	must(t, s.Renew(t.Context(), b.lease))
	finish(t, s, b.run, 3, []byte(`{"read": 2}`), "")
	must(t, s.Release(t.Context(), b.lease))
	totals, err := s.Totals(t.Context(), b.lease.Migration)
	if err != nil || totals[Imported] != 1 || totals[Failed] != 1 {
		t.Errorf("Totals: got %v, %v, want one imported and one failed", totals, err)
	}
}

// What MissingPrivileges has a role granted is enough for all that a run does.
func TestMissingPrivileges_GrantsSuffice(t *testing.T) {
	t.Parallel()
	role := newRole(t)
	url := localpg.Database(t)
	admin := openStore(t, url, testSchema)
	must(t, admin.Migrate(t.Context()))
	s := openAs(t, url, role, testSchema)
	for range 2 { // the schema first, then its tables
		missing, err := s.MissingPrivileges(t.Context(), s.Ready(t.Context()))
		must(t, err)
		if len(missing) == 0 {
			t.Fatal("nothing is missing of what was not granted")
		}
		for _, sentence := range missing {
			_, grant, _ := strings.Cut(sentence, "; ")
			simple(t, url, grant)
		}
	}
	must(t, s.Migrate(t.Context()))
	if missing, err := s.MissingPrivileges(t.Context(), s.Ready(t.Context())); err != nil || missing != nil {
		t.Fatalf("after the grants: got %v, %v, want nothing missing", missing, err)
	}
	b := begin(t, s, "acme-slack", "first")
	b.call(imported("a"), refused("b"))
	b.record(Batch{Locals: []Local{{Key: "c", Outcome: Skipped, Reason: "expired"}}})
	left := intent(imported("d"))
	left.Settle = 0
	b.record(Batch{Intents: []Intent{left}})
	must(t, s.Renew(t.Context(), b.lease))
	next := b.takeOver("second")
	if _, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{left.ID}); err != nil {
		t.Errorf("Settle: %v", err)
	}
	must(t, s.SetTarget(t.Context(), b.lease.Migration, map[string]string{}))
	must(t, s.LowerCeiling(t.Context(), b.lease.Migration, 10))
	must(t, s.SetPaused(t.Context(), b.lease.Migration, false))
	finish(t, next, next.run, 0, []byte(`{}`), "")
	must(t, next.Release(t.Context(), next.lease))
}

// A checkpoint of which policies hide rows looks as if nothing had been sent.
func TestReady_RefusesRowSecurity(t *testing.T) {
	t.Parallel()
	role := newRole(t)
	url := localpg.Database(t)
	admin := openStore(t, url, testSchema)
	must(t, admin.Migrate(t.Context()))
	simple(t, url, `GRANT USAGE ON SCHEMA tokenmigrate TO `+role+`; GRANT ALL ON ALL TABLES IN SCHEMA tokenmigrate TO `+role+
		`; CREATE TABLE tokenmigrate.other (); ALTER TABLE tokenmigrate.other ENABLE ROW LEVEL SECURITY`)
	s := openAs(t, url, role, testSchema)
	must(t, s.Ready(t.Context())) // another's table is no matter
	for _, table := range []string{"tokens", "calls", "schema_version"} {
		simple(t, url, `ALTER TABLE tokenmigrate.`+table+` ENABLE ROW LEVEL SECURITY`)
		_, migration := s.Migration(t.Context(), "acme")
		for name, err := range map[string]error{"Ready": s.Ready(t.Context()), "Migrate": s.Migrate(t.Context()), "Migration": migration} {
			if !errors.Is(err, ErrRowSecurity) || !strings.Contains(err.Error(), table) || !strings.Contains(err.Error(), role) {
				t.Errorf("%s with policies on %s: got %v, want ErrRowSecurity that names table and role", name, table, err)
			}
		}
	}
	must(t, admin.Ready(t.Context())) // an owner is exempt
}

// Users read these tables: their columns are a contract.
func TestMigrate_MakesTheDocumentedColumns(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	equal(t, "columns", lines(t, s, `
		SELECT format('%s(%s)', table_name, string_agg(column_name, ', ' ORDER BY ordinal_position))
		FROM information_schema.columns WHERE table_schema = $1 GROUP BY table_name ORDER BY table_name`, testSchema),
		`calls(id, migration_id, shard, run_id, connector, environments, keys, fingerprints, identities, started_at, settle_after)`,
		`leases(migration_id, shard, shards, holder, epoch, expires_at)`,
		`migrations(id, name, fingerprint_key, target, shards, chunk_ceiling, paused, created_at)`,
		`paces(destination, team, requests_per_minute, next_at, paused_until, reason)`,
		`pages(migration_id, shard, number, digest, rest, run_id, revision)`,
		`revisions(migration_id, revision)`,
		`runs(id, migration_id, shard, version, mode, started_at, finished_at, heartbeat_at, exit_code, counts, waiting, last_error)`,
		`schema_version(version)`,
		`tokens(migration_id, key, connector, environment, outcome, succeeded, reason, detail, attempts, fingerprint, identity, imported_fingerprint, imported_at, run_id, call_id, updated_at, superseded)`)
	equal(t, "types and keys", lines(t, s, `
		SELECT format('%s %s %s', column_name, data_type, coalesce(collation_name, '-')) FROM information_schema.columns
		WHERE table_schema = $1 AND table_name = 'tokens' AND column_name IN ('key', 'succeeded', 'attempts', 'fingerprint', 'call_id', 'imported_at')
		UNION ALL
		SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{schema}.tokens'::regclass AND contype = 'p'
		ORDER BY 1`, testSchema),
		`PRIMARY KEY (migration_id, key)`, `attempts integer -`, `call_id uuid -`, `fingerprint bytea -`,
		`imported_at timestamp with time zone -`, `key text C`, `succeeded boolean -`)
}

// simple runs any number of statements as the database's owner.
func simple(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// simpleIn is simple with {schema} filled in, on a store's own connection.
func simpleIn(t *testing.T, s *Store, sql string) {
	t.Helper()
	conn, err := s.pool.Acquire(t.Context())
	must(t, err)
	defer conn.Release()
	if _, err := conn.Conn().PgConn().Exec(t.Context(), s.in(sql)).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

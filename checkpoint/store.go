package checkpoint

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tokenmigrate/checkpoint/pgerr"
)

// Store is the checkpoint of all migrations in one schema. It is safe for
// concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	schema string
	quoted string
}

// maxConns bounds the pool: the recorder, the lease, lookups and one to spare.
const maxConns = 4

// Open connects to the checkpoint's database and checks that it answers. The
// schema's tables need not exist.
//
// Errors: a *pgerr.Error; class Again where the database cannot be reached.
func Open(ctx context.Context, cfg *pgx.ConnConfig, schema string) (*Store, error) {
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, pgerr.Wrap("configure the checkpoint's connections", err)
	}
	pc.ConnConfig = cfg.Copy()
	// Descriptions are kept on this side and statements stay unnamed, which is
	// what PgBouncer's transaction mode can carry.
	pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "tokenmigrate"
	}
	pc.MaxConns = maxConns
	pc.MinConns = 0
	pc.MaxConnIdleTime = 5 * time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, pgerr.Wrap("configure the checkpoint's connections", err)
	}
	s := &Store{pool: pool, schema: schema, quoted: pgx.Identifier{schema}.Sanitize()}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, pgerr.Wrap("connect to the checkpoint database", err)
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// idleInTransaction is how long the server waits for the next statement of a
// transaction. A worker that is frozen or cut off between two of them would else
// keep its locks, and so the lease, from everyone for as long as TCP is patient.
const idleInTransaction = 15 * time.Second

// readCommitted is the isolation of what takes turns: whoever got a lock has to see
// what was written by those who had it before, whatever the role's or the database's
// default_transaction_isolation.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// begin calls do in a transaction, which it commits unless do fails.
func (s *Store) begin(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL idle_in_transaction_session_timeout = %d`, idleInTransaction.Milliseconds())); err != nil {
			return err
		}
		return do(tx)
	})
}

// in puts the schema's quoted name into a statement.
func (s *Store) in(sql string) string { return strings.ReplaceAll(sql, "{schema}", s.quoted) }

// Migration is one row of migrations.
type Migration struct {
	ID             int64
	Name           string
	FingerprintKey []byte
	Target         map[string]string
	Shards         int // into how many parts the keys are divided, one worker each
	ChunkCeiling   int // 0: none met
	Paused         bool
}

// ErrNoMigration: the checkpoint does not know a migration of that name.
var ErrNoMigration = errors.New("no such migration in the checkpoint")

// Migration returns the migration of that name. A checkpoint without tables has
// none.
//
// Errors: ErrNoMigration, and those of Ready but ErrNoSchema.
func (s *Store) Migration(ctx context.Context, name string) (Migration, error) {
	if err := s.Ready(ctx); errors.Is(err, ErrNoSchema) {
		return Migration{}, ErrNoMigration
	} else if err != nil {
		return Migration{}, err
	}
	m := Migration{Name: name}
	var target []byte
	var ceiling *int
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT id, fingerprint_key, target, shards, chunk_ceiling, paused
		FROM {schema}.migrations WHERE name = $1`), name).
		Scan(&m.ID, &m.FingerprintKey, &target, &m.Shards, &ceiling, &m.Paused)
	if errors.Is(err, pgx.ErrNoRows) {
		return Migration{}, ErrNoMigration
	}
	if err != nil {
		return Migration{}, pgerr.Wrap("read the migration", err)
	}
	if ceiling != nil {
		m.ChunkCeiling = *ceiling
	}
	if err := json.Unmarshal(target, &m.Target); err != nil {
		return Migration{}, errors.New("read the migration: its target is not an object of texts")
	}
	return m, nil
}

// CreateMigration returns the migration of that name, made with a new random
// fingerprint key and the given target where there was none.
func (s *Store) CreateMigration(ctx context.Context, name string, target func(key []byte) map[string]string) (Migration, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	text, err := json.Marshal(target(key))
	if err != nil {
		return Migration{}, err
	}
	_, err = s.pool.Exec(ctx, s.in(`
		INSERT INTO {schema}.migrations (name, fingerprint_key, target) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO NOTHING`), name, key, text)
	if err != nil {
		return Migration{}, pgerr.Wrap("write the migration", err)
	}
	return s.Migration(ctx, name)
}

// SetTarget replaces what the migration is between.
func (s *Store) SetTarget(ctx context.Context, migration int64, target map[string]string) error {
	text, err := json.Marshal(target)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, s.in(`UPDATE {schema}.migrations SET target = $2 WHERE id = $1`), migration, text)
	return pgerr.Wrap("write the migration's target", err)
}

// Used tells how far a migration has come: whether any of its tokens was ever sent
// or is about to be, and how many were imported by any run. One that was never
// sent anything, though its rows may have been found invalid, is bound to nothing.
func (s *Store) Used(ctx context.Context, migration int64) (sent bool, imported int64, err error) {
	err = s.pool.QueryRow(ctx, s.in(`
		SELECT EXISTS (SELECT FROM {schema}.calls WHERE migration_id = $1) OR EXISTS (SELECT FROM {schema}.tokens
				WHERE migration_id = $1 AND (outcome NOT IN ('invalid', 'skipped') OR attempts > 0 OR imported_at IS NOT NULL)),
			(SELECT count(*) FROM {schema}.tokens WHERE migration_id = $1 AND imported_at IS NOT NULL)`), migration).Scan(&sent, &imported)
	return sent, imported, pgerr.Wrap("count what was sent", err)
}

// LowerCeiling keeps that no call may carry more than tokens tokens. A ceiling
// never rises again.
func (s *Store) LowerCeiling(ctx context.Context, migration int64, tokens int) error {
	_, err := s.pool.Exec(ctx, s.in(`
		UPDATE {schema}.migrations SET chunk_ceiling = least(chunk_ceiling, $2) WHERE id = $1`), migration, tokens)
	return pgerr.Wrap("write the chunk ceiling", err)
}

// Changed returns the names of the parts in which two targets differ, sorted.
func Changed(was, is map[string]string) []string {
	var names []string
	for name, v := range is {
		if w, ok := was[name]; !ok || w != v {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

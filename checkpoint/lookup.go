package checkpoint

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tokenmigrate/checkpoint/pgerr"
)

// Prior is what the checkpoint knows of a token. The zero Prior: nothing.
type Prior struct {
	Connector   string
	Environment string
	Outcome     Outcome // empty: the token is not known
	Reason      string
	Detail      string
	Succeeded   *bool // the endpoint's answer when it was sent last; nil: it gave none
	Attempts    int
	Fingerprint Hash // of what was sent last; zero: nothing was
	Imported    Hash // of what was imported last; zero: nothing was
	RunID       int64
}

// Asked is a token that is asked for.
type Asked struct {
	Key         string
	Fingerprint Hash // of what it is now; zero: not known
}

// Priors returns what is known of each token, in the order in which they are asked
// for. Of those that were imported as they are now, nearly all of a migration that
// is done, it tells Outcome, Imported and RunID alone.
func (s *Store) Priors(ctx context.Context, migration int64, asked []Asked) ([]Prior, error) {
	const op = "look up tokens"
	keys, fingerprints := make([]string, len(asked)), make(pgtype.FlatArray[[]byte], len(asked))
	for i := range asked {
		keys[i] = asked[i].Key
		if asked[i].Fingerprint != (Hash{}) {
			fingerprints[i] = asked[i].Fingerprint[:]
		}
	}
	// OFFSET leaves the planner one way, a look into the index for each token. Without
	// statistics, as in every first run, it would rather read the whole migration.
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT n, coalesce(run_id, 0), CASE WHEN NOT settled THEN outcome END,
			CASE WHEN NOT settled THEN coalesce(connector, '') END, CASE WHEN NOT settled THEN coalesce(environment, '') END,
			CASE WHEN NOT settled THEN coalesce(reason, '') END, CASE WHEN NOT settled THEN coalesce(detail, '') END,
			CASE WHEN NOT settled THEN succeeded END, CASE WHEN NOT settled THEN attempts END,
			CASE WHEN NOT settled THEN sent END, CASE WHEN NOT settled THEN imported END
		FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS a (key, fingerprint, n), LATERAL (
			SELECT t.run_id, t.outcome, t.connector, t.environment, t.reason, t.detail, t.succeeded, t.attempts,
				t.fingerprint AS sent, t.imported_fingerprint AS imported,
				coalesce(t.outcome = 'imported' AND t.imported_fingerprint = a.fingerprint, false) AS settled
			FROM {schema}.tokens AS t WHERE t.migration_id = $1 AND t.key = a.key OFFSET 0) AS t`), migration, keys, fingerprints)
	if err != nil {
		return nil, pgerr.Wrap(op, err)
	}
	defer rows.Close()
	priors := make([]Prior, len(asked))
	for rows.Next() {
		n, run, settled := settledRow(rows)
		if settled {
			priors[n-1] = Prior{Outcome: Imported, Imported: asked[n-1].Fingerprint, RunID: run}
			continue
		}
		var p Prior
		var sent, imported []byte
		if err := rows.Scan(nil, &p.RunID, (*string)(&p.Outcome), &p.Connector, &p.Environment, &p.Reason, &p.Detail, &p.Succeeded, &p.Attempts, &sent, &imported); err != nil {
			return nil, pgerr.Wrap(op, err)
		}
		copy(p.Fingerprint[:], sent)
		copy(p.Imported[:], imported)
		priors[n-1] = p
	}
	return priors, pgerr.Wrap(op, rows.Err())
}

// settledRow reads the first columns of a row of Priors, both of them bigint, in
// binary as pgx asks for them, and whether the third is NULL. Most rows of a
// second run need no more.
func settledRow(rows pgx.Rows) (n, run int64, settled bool) {
	raw := rows.RawValues()
	return int64(binary.BigEndian.Uint64(raw[0])), int64(binary.BigEndian.Uint64(raw[1])), raw[2] == nil
}

// Owners returns which keys were last sent for the given identities: those that
// were imported, the first import first, and then the others by key. The first of
// them whose row still exists owns the identity. Identities that the checkpoint
// does not know are missing from the map.
func (s *Store) Owners(ctx context.Context, migration int64, identities []Hash) (map[Hash][]string, error) {
	return s.owners(ctx, migration, identities, false)
}

// OwnersShared is Owners where other shards make calls for the same migration: the
// keys of the calls that stand come last.
func (s *Store) OwnersShared(ctx context.Context, migration int64, identities []Hash) (map[Hash][]string, error) {
	return s.owners(ctx, migration, identities, true)
}

func (s *Store) owners(ctx context.Context, migration int64, identities []Hash, shared bool) (map[Hash][]string, error) {
	owners := make(map[Hash][]string)
	raw := make(pgtype.FlatArray[[]byte], len(identities))
	for i := range identities {
		raw[i] = identities[i][:]
	}
	each := func(do func(Hash, string)) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			var identity []byte
			var key string
			_, err := pgx.ForEachRow(rows, []any{&identity, &key}, func() error { do(Hash(identity), key); return nil })
			return err
		}
	}
	var q pgx.Batch
	var calling []Sent
	if shared { // before the tokens: what is recorded in between is seen in both, and not in none
		q.Queue(s.in(`
			SELECT o.identity, o.key FROM {schema}.calls, unnest(identities, keys) AS o (identity, key)
			WHERE migration_id = $1 AND o.identity = ANY($2::bytea[]) ORDER BY started_at`), migration, raw).
			Query(each(func(identity Hash, key string) { calling = append(calling, Sent{Identity: identity, Key: key}) }))
	}
	q.Queue(s.in(`
		SELECT t.identity, t.key FROM (SELECT DISTINCT identity FROM unnest($2::bytea[]) AS identity) AS a, LATERAL (
			SELECT t.identity, t.key, t.imported_at FROM {schema}.tokens AS t WHERE t.identity = a.identity AND t.migration_id = $1 OFFSET 0) AS t
		ORDER BY t.identity, t.imported_at, t.key`), migration, raw).
		Query(each(func(identity Hash, key string) { owners[identity] = append(owners[identity], key) }))
	if err := s.pool.SendBatch(ctx, &q).Close(); err != nil {
		return nil, pgerr.Wrap("look up identities", err)
	}
	for _, c := range calling {
		if !slices.Contains(owners[c.Identity], c.Key) {
			owners[c.Identity] = append(owners[c.Identity], c.Key)
		}
	}
	return owners, nil
}

// Blank reports whether nothing at all is known of a migration's tokens: none has an
// outcome, and no call stands.
func (s *Store) Blank(ctx context.Context, migration int64) (bool, error) {
	var known bool
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT EXISTS (SELECT FROM {schema}.tokens WHERE migration_id = $1) OR EXISTS (SELECT FROM {schema}.calls WHERE migration_id = $1)`), migration).Scan(&known)
	return !known, pgerr.Wrap("look for earlier outcomes", err)
}

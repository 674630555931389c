package checkpoint

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// Prior is what the checkpoint knows of a token.
type Prior struct {
	Connector   string
	Environment string
	Outcome     Outcome
	Reason      string
	Detail      string
	Succeeded   *bool // the endpoint's answer when it was sent last; nil: it gave none
	Attempts    int
	Fingerprint Hash // of what was sent last; zero: nothing was
	Imported    Hash // of what was imported last; zero: nothing was
	RunID       int64
}

// Lookup returns what is known of the given keys, and which keys were last sent
// for the given identities: those that were imported, the first import first, and
// then the others by key. The first of them whose row still exists owns the
// identity. Keys and identities that the checkpoint does not know are missing from
// the maps.
func (s *Store) Lookup(ctx context.Context, migration int64, keys []string, identities []Hash) (map[string]Prior, map[Hash][]string, error) {
	return s.lookup(ctx, migration, keys, identities, false)
}

// LookupShared is Lookup where other shards make calls for the same migration: the
// keys of the calls that stand come last among those that were sent.
func (s *Store) LookupShared(ctx context.Context, migration int64, keys []string, identities []Hash) (map[string]Prior, map[Hash][]string, error) {
	return s.lookup(ctx, migration, keys, identities, true)
}

func (s *Store) lookup(ctx context.Context, migration int64, keys []string, identities []Hash, shared bool) (map[string]Prior, map[Hash][]string, error) {
	priors := make(map[string]Prior, len(keys))
	owners := make(map[Hash][]string)
	var q pgx.Batch
	q.Queue(s.in(`
		SELECT key, coalesce(connector, ''), coalesce(environment, ''), outcome, coalesce(reason, ''), coalesce(detail, ''), succeeded, attempts, fingerprint, imported_fingerprint, coalesce(run_id, 0)
		FROM {schema}.tokens WHERE migration_id = $1 AND key = ANY($2::text[])`), migration, keys).
		Query(func(rows pgx.Rows) error {
			var key string
			var p Prior
			var fingerprint, imported []byte
			_, err := pgx.ForEachRow(rows, []any{&key, &p.Connector, &p.Environment, (*string)(&p.Outcome), &p.Reason, &p.Detail, &p.Succeeded, &p.Attempts, &fingerprint, &imported, &p.RunID}, func() error {
				p.Fingerprint, p.Imported = Hash{}, Hash{}
				copy(p.Fingerprint[:], fingerprint)
				copy(p.Imported[:], imported)
				priors[key] = p
				return nil
			})
			return err
		})
	raw := make([][]byte, len(identities))
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
	var calling []Sent
	if shared { // before the tokens: what is recorded in between is seen in both, and not in none
		q.Queue(s.in(`
			SELECT o.identity, o.key FROM {schema}.calls, unnest(identities, keys) AS o (identity, key)
			WHERE migration_id = $1 AND o.identity = ANY($2::bytea[]) ORDER BY started_at`), migration, raw).
			Query(each(func(identity Hash, key string) { calling = append(calling, Sent{Identity: identity, Key: key}) }))
	}
	q.Queue(s.in(`
		SELECT identity, key
		FROM {schema}.tokens WHERE migration_id = $1 AND identity = ANY($2::bytea[])
		ORDER BY identity, imported_at, key`), migration, raw).
		Query(each(func(identity Hash, key string) { owners[identity] = append(owners[identity], key) }))
	if err := s.pool.SendBatch(ctx, &q).Close(); err != nil {
		return nil, nil, pgerr.Wrap("look up tokens", err)
	}
	for _, c := range calling {
		if !slices.Contains(owners[c.Identity], c.Key) {
			owners[c.Identity] = append(owners[c.Identity], c.Key)
		}
	}
	return priors, owners, nil
}

package checkpoint

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Sent is one token of a call.
type Sent struct {
	Key         string
	Environment string
	Fingerprint Hash
	Identity    Hash
	Others      int    // other keys that Owners told for the identity when this one was chosen
	Seen        string // Owners.Seen of it then; of exclusive intents
	Known       bool   // the checkpoint may have a row for the key; false is a hint that spares looking
}

// Intent is the note that a call is about to be made.
type Intent struct {
	ID        uuid.UUID
	Connector string
	Tokens    []Sent
	// Settle is how long after the commit the call may still be under way: its
	// timeout and a margin.
	Settle time.Duration
	// Exclusive: other shards are at work. The intent is not written if another key was
	// sent for one of its identities since that was Seen, or a call for one is under way.
	Exclusive bool
}

// queueTurn has the workers of a migration write their exclusive intents one
// after the other, so that each sees those before it. It comes before the lease is
// locked: who adopts another number of shards takes both locks in this order, too.
func (s *Store) queueTurn(q *pgx.Batch, migration int64) {
	q.Queue(s.in(`SELECT FROM {schema}.migrations WHERE id = $1 FOR NO KEY UPDATE`), migration)
}

// queueIntent writes an intent. It stands behind queueLease.
func (s *Store) queueIntent(q *pgx.Batch, l Lease, run int64, in *Intent, out *Recorded) {
	n := len(in.Tokens)
	keys, environments, seen := make([]string, n), make([]string, n), make([]string, n)
	fingerprints, identities := make(pgtype.FlatArray[[]byte], n), make(pgtype.FlatArray[[]byte], n)
	alike := true
	for i := range in.Tokens {
		t := &in.Tokens[i]
		keys[i], environments[i], seen[i] = t.Key, t.Environment, t.Seen
		fingerprints[i], identities[i] = t.Fingerprint[:], t.Identity[:]
		alike = alike && t.Environment == in.Tokens[0].Environment
	}
	if alike {
		environments = environments[:min(n, 1)]
	}
	const insert = `
		INSERT INTO {schema}.calls
			(migration_id, id, shard, run_id, connector, environments, keys, fingerprints, identities, started_at, settle_after)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, t, t + $10::bigint * interval '1 microsecond' FROM clock_timestamp() AS t`
	const repeated = `
		ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, settle_after = excluded.settle_after`
	args := []any{l.Migration, in.ID, l.Shard, run, in.Connector, environments, keys, fingerprints, identities, in.Settle.Microseconds()}
	if !in.Exclusive {
		q.Queue(s.in(insert+repeated), args...)
		return
	}
	q.Queue(s.in(`
		WITH mine AS MATERIALIZED (
			SELECT * FROM unnest($7::text[], $9::bytea[], $11::text[]) AS o (key, identity, seen)
		), contested AS (
			SELECT mine.key FROM mine, LATERAL (
				SELECT coalesce(string_agg(t.key || ':' || t.attempts, ',' ORDER BY t.key), '') AS seen FROM (
					SELECT key, attempts, migration_id FROM {schema}.tokens WHERE identity = mine.identity OFFSET 0) AS t
				WHERE t.migration_id = $1 AND t.key <> mine.key) AS known
			WHERE known.seen <> mine.seen
			UNION SELECT mine.key FROM mine JOIN (
				SELECT o.key, o.identity FROM {schema}.calls, unnest(keys, identities) AS o (key, identity)
				WHERE migration_id = $1 AND o.identity = ANY($9::bytea[]) AND `+mayBeUnderWay+`) AS calling USING (identity)
			WHERE calling.key <> mine.key
		), claimed AS MATERIALIZED ( -- unless it was written already, and the answer to that was lost
			SELECT key FROM contested WHERE NOT EXISTS (SELECT FROM {schema}.calls WHERE id = $2)
		), written AS (`+insert+` WHERE NOT EXISTS (SELECT FROM claimed)`+repeated+`
		)
		SELECT key FROM claimed`), append(args, seen)...).
		Query(func(rows pgx.Rows) error {
			keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if len(keys) > 0 {
				if out.Claimed == nil {
					out.Claimed = make(map[uuid.UUID][]string)
				}
				out.Claimed[in.ID] = keys
			}
			return err
		})
}

// supersedes reports whether other keys were sent for one of the identities.
func (in *Intent) supersedes() bool {
	return slices.ContainsFunc(in.Tokens, func(t Sent) bool { return t.Others > 0 })
}

// queueSuperseded notes of the other keys of an intent's identities that what was
// imported of them may be overwritten from now on, whatever becomes of the call. An
// intent that was not written, since others have claimed an identity, does nothing.
func (s *Store) queueSuperseded(q *pgx.Batch, migration int64, in *Intent) {
	var keys []string
	var identities pgtype.FlatArray[[]byte]
	for i := range in.Tokens {
		if t := &in.Tokens[i]; t.Others > 0 {
			keys, identities = append(keys, t.Key), append(identities, t.Identity[:])
		}
	}
	q.Queue(s.in(`
		UPDATE {schema}.tokens SET superseded = true
		WHERE EXISTS (SELECT FROM {schema}.calls WHERE id = $4) AND migration_id = $1 AND key = ANY(ARRAY(
			SELECT t.key FROM unnest($2::text[], $3::bytea[]) AS a (key, identity), LATERAL (
				SELECT key, migration_id FROM {schema}.tokens AS t WHERE t.identity = a.identity
					AND t.key <> a.key AND t.imported_at IS NOT NULL AND t.superseded IS NOT TRUE OFFSET 0) AS t
			WHERE t.migration_id = $1))`), migration, keys, identities, in.ID)
}

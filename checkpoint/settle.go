package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// Unsettled is an intent that another run left behind: its call was made or
// not, and nobody recorded an answer.
type Unsettled struct {
	ID           uuid.UUID
	Connector    string
	Keys         []string
	Fingerprints []Hash
	Identities   []Hash
	// Due is how long until its call is certainly over; zero or less: it is. It is
	// never longer than the call can last, whatever became of the database's clock.
	Due time.Duration
}

// ErrDamaged: somebody has changed what the tables hold, and it cannot be right.
var ErrDamaged = errors.New("the checkpoint is damaged")

// Unsettled returns the intents of a shard that stand from other runs than run,
// with those of all shards that stand from before the number of shards changed, or
// that would if l were acquired now.
//
// Errors: one that wraps ErrDamaged and names the row.
func (s *Store) Unsettled(ctx context.Context, l Lease, run int64) ([]Unsettled, error) {
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT id, connector, keys, fingerprints, identities, extract(epoch FROM settle_after - greatest(started_at, clock_timestamp()))::float8
		FROM {schema}.calls WHERE migration_id = $1 AND run_id <> $3 AND (shard IN ($2, $4)
			OR $5 <> (SELECT shards FROM {schema}.migrations WHERE id = $1)) ORDER BY started_at`),
		l.Migration, l.Shard, run, everybodys, max(l.Shards, 1))
	if err != nil {
		return nil, pgerr.Wrap("read the calls in doubt", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Unsettled, error) {
		var u Unsettled
		var fingerprints, identities [][]byte
		var due float64
		err := row.Scan(&u.ID, &u.Connector, &u.Keys, &fingerprints, &identities, &due)
		u.Due = time.Duration(due * float64(time.Second))
		u.Fingerprints, u.Identities = hashes(fingerprints), hashes(identities)
		return u, err
	})
	if err != nil {
		return nil, pgerr.Wrap("read the calls in doubt", err)
	}
	for i := range out {
		if u := &out[i]; len(u.Fingerprints) != len(u.Keys) || len(u.Identities) != len(u.Keys) {
			return nil, fmt.Errorf("%w: the row %s of %s has %d keys, %d fingerprints and %d identities; restore it from a backup, or delete it: its tokens are then judged as if that call had never been made",
				ErrDamaged, u.ID, s.in("{schema}.calls"), len(u.Keys), len(u.Fingerprints), len(u.Identities))
		}
	}
	return out, nil
}

// InDoubt is how many calls of a migration, with how many tokens, stand of other runs
// than those that alive lists: whose worker holds no lease any more, or has another one
// by now. What they brought is not on record, and a run that follows settles them.
func (s *Store) InDoubt(ctx context.Context, migration int64, alive []int64) (calls, tokens int64, err error) {
	err = s.pool.QueryRow(ctx, s.in(`
		SELECT count(*), coalesce(sum(cardinality(keys)), 0) FROM {schema}.calls WHERE migration_id = $1 AND run_id <> ALL (coalesce($2::bigint[], '{}'))`),
		migration, alive).Scan(&calls, &tokens)
	return calls, tokens, pgerr.Wrap("count the calls in doubt", err)
}

// Settle turns the tokens of the given intents into unknown ones, in doubt, and
// removes the intents, in one transaction. Intents whose call may still be under
// way are left alone; it returns those that stand no more. An intent that seems to
// be of the future was written before the database's clock was set back: that its
// call is over is known to the caller only, who has waited for Due. It is safe to
// repeat.
func (s *Store) Settle(ctx context.Context, l Lease, run int64, ids []uuid.UUID) (settled []uuid.UUID, err error) {
	// call_id stays empty: it tells of a recorded answer, and there is none. What a
	// later call has told of a token stands.
	_, err = s.pool.Exec(ctx, s.in(`
		WITH settled AS (
			DELETE FROM {schema}.calls
			WHERE id = ANY($4::uuid[]) AND migration_id = $1 AND shard IN ($2, $5)
				AND (settle_after <= clock_timestamp() OR started_at > clock_timestamp())
			RETURNING id, run_id, connector, environments, keys, fingerprints, identities, started_at
		)
		INSERT INTO {schema}.tokens AS t
			(migration_id, key, connector, environment, outcome, reason, detail, attempts, fingerprint, identity, run_id, updated_at)
		SELECT DISTINCT ON (o.key) $1::bigint, o.key, settled.connector, coalesce(o.environment, settled.environments[1]), 'unknown', 'in_doubt',
			'the run ended before the answer to its call was recorded', 1, o.fingerprint, o.identity, $3, now()
		FROM settled, unnest(keys, environments, fingerprints, identities) AS o (key, environment, fingerprint, identity)
		WHERE NOT EXISTS (SELECT FROM {schema}.tokens known
			WHERE known.migration_id = $1 AND known.key = o.key
				AND (known.updated_at > settled.started_at OR known.run_id > settled.run_id))
		ORDER BY o.key, settled.started_at DESC
		ON CONFLICT (migration_id, key) DO UPDATE SET
			connector = excluded.connector, environment = excluded.environment,
			outcome = excluded.outcome, succeeded = NULL, reason = excluded.reason, detail = excluded.detail,
			attempts = t.attempts + 1, fingerprint = excluded.fingerprint, identity = excluded.identity,
			run_id = excluded.run_id, call_id = NULL, updated_at = excluded.updated_at`),
		l.Migration, l.Shard, run, ids, everybodys)
	if err != nil {
		return nil, pgerr.Wrap("settle the calls in doubt", err)
	}
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT id FROM unnest($1::uuid[]) AS asked (id) WHERE NOT EXISTS (SELECT FROM {schema}.calls WHERE calls.id = asked.id)`), ids)
	if err != nil {
		return nil, pgerr.Wrap("settle the calls in doubt", err)
	}
	settled, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return settled, pgerr.Wrap("settle the calls in doubt", err)
}

// hashes makes hashes of the bytes that a column holds.
func hashes(raw [][]byte) []Hash {
	out := make([]Hash, len(raw))
	for i, b := range raw {
		copy(out[i][:], b)
	}
	return out
}

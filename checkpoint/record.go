package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"tokenmigrate/checkpoint/pgerr"
)

// Outcome is how a token ended.
type Outcome string

// The outcomes that the tokens table knows. The report has two more, unchanged
// and pending, which need no row.
const (
	Imported Outcome = "imported"
	Failed   Outcome = "failed"
	Invalid  Outcome = "invalid"
	Skipped  Outcome = "skipped"
	Unknown  Outcome = "unknown"
)

// Hash is a fingerprint or an identity: a version byte and 15 bytes of an HMAC.
type Hash [16]byte

// Sent is one token of a call.
type Sent struct {
	Key         string
	Environment string
	Fingerprint Hash
	Identity    Hash
	Others      int  // other keys that Owners told for the identity when this one was chosen
	Known       bool // the checkpoint may have a row for the key; false is a hint that spares looking
}

// Intent is the note that a call is about to be made.
type Intent struct {
	ID        uuid.UUID
	Connector string
	Tokens    []Sent
	// Settle is how long after the commit the call may still be under way: its
	// timeout and a margin.
	Settle time.Duration
	// Exclusive: other shards are at work. The intent is not written if another key
	// was sent for one of its identities meanwhile, or is about to be.
	Exclusive bool
}

// Ending is how one token of a call ended.
type Ending struct {
	Sent
	Outcome   Outcome
	Succeeded *bool // the endpoint's own answer; nil: it gave none
	Reason    string
	Detail    string
}

// Answer is a call whose intent is to be removed: with the endings of all its
// tokens, in the order in which the intent has them, or with none where the call was
// certainly not made.
type Answer struct {
	Call    uuid.UUID
	Endings []Ending
}

// Local is the outcome of a row that was decided without a call: invalid,
// skipped, or imported again after having been one of these.
type Local struct {
	Key         string
	Connector   string
	Environment string
	Outcome     Outcome
	Reason      string
	Detail      string
}

// Batch is what one transaction of Record writes.
type Batch struct {
	Intents []Intent
	Answers []Answer
	Locals  []Local
	Counts  []byte // the run's counts, as JSON, true once this batch is written; nil leaves the run's row as it is
	Waiting string // written with the counts
}

// Recorded tells what of a batch took effect.
type Recorded struct {
	// LeaseLost: the intents and locals were not written, since another worker
	// holds the shard now. Everything else was.
	LeaseLost bool
	// Settled lists the calls whose intent another worker had settled before:
	// their endings were not written.
	Settled []uuid.UUID
	// Claimed lists, of each exclusive intent that was not written, the keys whose
	// identities others have claimed.
	Claimed map[uuid.UUID][]string
}

// recordTimeout bounds one transaction of Record; after it the outcome of the
// COMMIT is not known, and the batch is repeated.
const recordTimeout = 30 * time.Second

// Record writes a batch in one transaction. It is safe to repeat after an error
// of class Again, also when the first attempt had in fact committed.
//
// Each key may stand in one answer of the batch only. Of several locals for one
// key the last counts, and a local counts after an answer.
func (s *Store) Record(ctx context.Context, l Lease, run int64, b Batch) (Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	insert := b.allNew()
	out, stood, err := s.record(ctx, l, run, &b, insert)
	if insert && pgerr.CodeOf(err) == uniqueViolation { // some had a row all the same
		out, stood, err = s.record(ctx, l, run, &b, false)
	}
	if err != nil {
		return Recorded{}, err
	}
	for _, a := range b.Answers {
		if stood[a.Call] || len(a.Endings) == 0 {
			continue
		}
		mine, err := s.recordedBefore(ctx, l.Migration, a)
		if err != nil {
			return Recorded{}, err
		}
		if !mine {
			out.Settled = append(out.Settled, a.Call)
		}
	}
	return out, nil
}

const uniqueViolation = "23505"

// allNew reports whether no answered token is known to have a row. To insert these
// without looking for one costs a third less.
func (b *Batch) allNew() bool {
	for i := range b.Answers {
		if slices.ContainsFunc(b.Answers[i].Endings, func(e Ending) bool { return e.Known }) {
			return false
		}
	}
	return true
}

// record writes a batch in one transaction and tells which of its calls stood.
func (s *Store) record(ctx context.Context, l Lease, run int64, b *Batch, insert bool) (out Recorded, stood map[uuid.UUID]bool, err error) {
	// One round trip, since it ends with one Sync. BEGIN is for its isolation: see
	// readCommitted.
	var q pgx.Batch
	q.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	stood = make(map[uuid.UUID]bool, len(b.Answers))
	if slices.ContainsFunc(b.Intents, func(in Intent) bool { return in.Exclusive }) {
		s.queueTurn(&q, l.Migration)
	}
	if len(b.Answers) > 0 {
		s.queueAnswers(&q, l.Migration, run, b.Answers, insert, stood)
	}
	if len(b.Locals) > 0 {
		s.queueLocals(&q, l, run, b.Locals, &out)
	}
	for _, in := range b.Intents {
		s.queueIntent(&q, l, run, in, &out)
	}
	// A transaction that was cut short may still commit, after the run's end is written:
	// what that says of the run stays.
	if b.Counts != nil {
		q.Queue(s.in(`UPDATE {schema}.runs SET counts = $2, waiting = $3, heartbeat_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL`),
			run, b.Counts, b.Waiting)
	}
	q.Queue(`COMMIT`)
	if err := s.pool.SendBatch(ctx, &q).Close(); err != nil {
		return Recorded{}, nil, pgerr.Wrap("record outcomes", err)
	}
	return out, stood, nil
}

// queueAnswers removes the intents and, for those that still stood, writes the
// endings of their tokens. What the intents say of these is not sent a second time:
// only how they ended, once a call, and token by token where one ended otherwise.
// insert is for tokens that have no row yet.
func (s *Store) queueAnswers(q *pgx.Batch, migration, run int64, answers []Answer, insert bool, stood map[uuid.UUID]bool) {
	calls := make([]uuid.UUID, len(answers))
	var usual, others endings
	for i := range answers {
		a := &answers[i]
		calls[i] = a.Call
		for n := range a.Endings {
			if e := &a.Endings[n]; n == 0 {
				usual.add(a.Call, 0, e)
			} else if !e.endsLike(&a.Endings[0]) {
				others.add(a.Call, n+1, e)
			}
		}
	}
	sql := removeIntents + endedAlike
	args := append([]any{migration, run, calls}, usual.args()...)
	if len(others.call) > 0 {
		sql = removeIntents + endedEach
		args = append(append(args, others.args()...), others.place)
	}
	sql += insertEnded
	if !insert {
		sql += orUpdateEnded
	}
	q.Queue(s.in(sql+`) SELECT id FROM standing`), args...).
		Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { stood[id] = true; return nil })
			return err
		})
}

// The parts of the statement that records answers.
const (
	removeIntents = `
		WITH standing AS (
			DELETE FROM {schema}.calls WHERE id = ANY($3::uuid[]) RETURNING id, connector, keys, environments, fingerprints, identities
		), said AS (
			SELECT * FROM unnest($4::uuid[], $5::text[], $6::boolean[], $7::text[], $8::text[]) AS o (id, outcome, succeeded, reason, detail)
		), `
	endedAlike = `ended AS (
			SELECT c.id, c.connector, o.key, coalesce(o.environment, c.environments[1]) AS environment, o.fingerprint, o.identity,
				said.outcome, said.succeeded, said.reason, said.detail
			FROM standing c JOIN said USING (id),
				unnest(c.keys, c.environments, c.fingerprints, c.identities) AS o (key, environment, fingerprint, identity)
		), `
	endedEach = `otherwise AS (
			SELECT * FROM unnest($9::uuid[], $10::text[], $11::boolean[], $12::text[], $13::text[], $14::integer[])
				AS o (id, outcome, succeeded, reason, detail, place)
		), ended AS (
			SELECT c.id, c.connector, o.key, coalesce(o.environment, c.environments[1]) AS environment, o.fingerprint, o.identity,
				coalesce(x.outcome, said.outcome) AS outcome,
				CASE WHEN x.id IS NULL THEN said.succeeded ELSE x.succeeded END AS succeeded,
				CASE WHEN x.id IS NULL THEN said.reason ELSE x.reason END AS reason,
				CASE WHEN x.id IS NULL THEN said.detail ELSE x.detail END AS detail
			FROM standing c JOIN said USING (id)
				CROSS JOIN LATERAL unnest(c.keys, c.environments, c.fingerprints, c.identities)
					WITH ORDINALITY AS o (key, environment, fingerprint, identity, place)
				LEFT JOIN otherwise x ON x.id = c.id AND x.place = o.place
		), `
	insertEnded = `written AS (
			INSERT INTO {schema}.tokens AS t
				(migration_id, key, connector, environment, outcome, succeeded, reason, detail, attempts,
				 fingerprint, identity, imported_fingerprint, imported_at, run_id, call_id, updated_at)
			SELECT $1, key, connector, environment, outcome, succeeded, reason, detail, 1, fingerprint, identity,
				CASE WHEN outcome = 'imported' THEN fingerprint END, CASE WHEN outcome = 'imported' THEN now() END, $2, id, now()
			FROM ended`
	orUpdateEnded = `
			ON CONFLICT (migration_id, key) DO UPDATE SET
				connector = excluded.connector, environment = excluded.environment,
				outcome = excluded.outcome, succeeded = excluded.succeeded,
				reason = excluded.reason, detail = excluded.detail,
				attempts = t.attempts + 1,
				fingerprint = excluded.fingerprint, identity = excluded.identity,
				imported_fingerprint = coalesce(excluded.imported_fingerprint, t.imported_fingerprint),
				imported_at = coalesce(excluded.imported_at, t.imported_at),
				run_id = excluded.run_id, call_id = excluded.call_id, updated_at = excluded.updated_at`
)

// endings are columns of how tokens ended.
type endings struct {
	call      []uuid.UUID
	outcome   []string
	succeeded pgtype.FlatArray[*bool]
	reason    pgtype.FlatArray[*string]
	detail    pgtype.FlatArray[*string]
	place     []int32 // in the call, from 1
}

func (c *endings) add(call uuid.UUID, place int, e *Ending) {
	c.call, c.place = append(c.call, call), append(c.place, int32(place))
	c.outcome, c.succeeded = append(c.outcome, string(e.Outcome)), append(c.succeeded, e.Succeeded)
	c.reason, c.detail = append(c.reason, orNull(e.Reason)), append(c.detail, orNull(e.Detail))
}

func (c *endings) args() []any { return []any{c.call, c.outcome, c.succeeded, c.reason, c.detail} }

// endsLike reports whether two tokens ended alike.
func (e *Ending) endsLike(o *Ending) bool {
	return e.Outcome == o.Outcome && e.Reason == o.Reason && e.Detail == o.Detail &&
		(e.Succeeded == o.Succeeded || e.Succeeded != nil && o.Succeeded != nil && *e.Succeeded == *o.Succeeded)
}

// queueLocals writes outcomes that needed no call, if the lease is still this
// holder's. What the endpoint last said, and what was sent and imported last,
// stay as they are; so does the run of what is imported without a call: an
// earlier import that holds again.
func (s *Store) queueLocals(q *pgx.Batch, l Lease, run int64, locals []Local, out *Recorded) {
	n := len(locals)
	var (
		key         = make([]string, 0, n)
		connector   = make([]*string, 0, n)
		environment = make([]*string, 0, n)
		outcome     = make([]string, 0, n)
		reason      = make([]*string, 0, n)
		detail      = make([]*string, 0, n)
	)
	// One statement may not write a row twice. Two walks over a small source can
	// bring a key twice into one batch.
	last := make(map[string]int, n)
	for i := range locals {
		last[locals[i].Key] = i
	}
	for i := range locals {
		o := &locals[i]
		if last[o.Key] != i {
			continue
		}
		key, outcome = append(key, o.Key), append(outcome, string(o.Outcome))
		connector, environment = append(connector, orNull(o.Connector)), append(environment, orNull(o.Environment))
		reason, detail = append(reason, orNull(o.Reason)), append(detail, orNull(o.Detail))
	}
	q.Queue(s.in(`
		INSERT INTO {schema}.tokens AS t
			(migration_id, key, connector, environment, outcome, reason, detail, run_id, updated_at)
		SELECT $1, o.key, o.connector, o.environment, o.outcome, o.reason, o.detail, $2, now()
		FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
			AS o (key, connector, environment, outcome, reason, detail)
		WHERE EXISTS (SELECT FROM {schema}.leases
			WHERE migration_id = $1 AND shard = $9 AND holder = $10 AND epoch = $11 FOR KEY SHARE)
		ON CONFLICT (migration_id, key) DO UPDATE SET
			connector = excluded.connector, environment = excluded.environment,
			outcome = excluded.outcome, reason = excluded.reason, detail = excluded.detail,
			run_id = CASE WHEN excluded.outcome = 'imported' THEN t.run_id ELSE excluded.run_id END, updated_at = excluded.updated_at`),
		l.Migration, run, key, connector, environment, outcome, reason, detail, l.Shard, l.Holder, l.Epoch).
		Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				out.LeaseLost = true
			}
			return nil
		})
}

// queueTurn has the workers of a migration write their exclusive intents one
// after the other, so that each sees those before it. It comes before the lease is
// locked: who adopts another number of shards takes both locks in this order, too.
func (s *Store) queueTurn(q *pgx.Batch, migration int64) {
	q.Queue(s.in(`SELECT FROM {schema}.migrations WHERE id = $1 FOR NO KEY UPDATE`), migration)
}

// queueIntent writes an intent, if the lease is still this holder's. It locks the
// lease: whoever takes the shard then finds the intent, or it is not written.
func (s *Store) queueIntent(q *pgx.Batch, l Lease, run int64, in Intent, out *Recorded) {
	n := len(in.Tokens)
	keys, environments, others := make([]string, n), make([]string, n), make([]int32, n)
	fingerprints, identities := make(pgtype.FlatArray[[]byte], n), make(pgtype.FlatArray[[]byte], n)
	alike := true
	for i := range in.Tokens {
		t := &in.Tokens[i]
		keys[i], environments[i], others[i] = t.Key, t.Environment, int32(t.Others)
		fingerprints[i], identities[i] = t.Fingerprint[:], t.Identity[:]
		alike = alike && t.Environment == in.Tokens[0].Environment
	}
	if alike {
		environments = environments[:min(n, 1)]
	}
	const insert = `
		INSERT INTO {schema}.calls
			(id, migration_id, shard, run_id, connector, environments, keys, fingerprints, identities, started_at, settle_after)
		SELECT $1, l.migration_id, l.shard, $6, $7, $8, $9, $10, $11, t, t + $12::bigint * interval '1 microsecond'
		FROM {schema}.leases AS l, clock_timestamp() AS t
		WHERE l.migration_id = $2 AND l.shard = $3 AND l.holder = $4 AND l.epoch = $5 `
	const repeated = ` FOR KEY SHARE OF l
		ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, settle_after = excluded.settle_after
		RETURNING NULL::text`
	sql := insert + repeated
	args := []any{in.ID, l.Migration, l.Shard, l.Holder, l.Epoch, run, in.Connector, environments, keys, fingerprints, identities, in.Settle.Microseconds()}
	if in.Exclusive {
		sql = `
		WITH mine AS MATERIALIZED (
			SELECT * FROM unnest($9::text[], $11::bytea[], $13::integer[]) AS o (key, identity, others)
		), known AS (
			SELECT t.key, t.identity FROM mine, LATERAL (
				SELECT key, identity FROM {schema}.tokens WHERE identity = mine.identity AND migration_id = $2 OFFSET 0) AS t
			UNION SELECT o.key, o.identity FROM {schema}.calls, unnest(keys, identities) AS o (key, identity)
			WHERE migration_id = $2 AND o.identity = ANY($11::bytea[])
		), claimed AS MATERIALIZED (
			SELECT mine.key FROM mine JOIN known USING (identity) WHERE known.key <> mine.key
			GROUP BY mine.key, mine.others HAVING count(*) > mine.others
		), written AS (` + insert + ` AND NOT EXISTS (SELECT FROM claimed)` + repeated + `
		)
		SELECT * FROM written UNION ALL SELECT key FROM claimed`
		args = append(args, others)
	}
	q.Queue(s.in(sql), args...).Query(func(rows pgx.Rows) error {
		answered := false
		var key *string // of one that is claimed; NULL: the intent is written
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			answered = true
			if key != nil {
				if out.Claimed == nil {
					out.Claimed = make(map[uuid.UUID][]string)
				}
				out.Claimed[in.ID] = append(out.Claimed[in.ID], *key)
			}
			return nil
		})
		if err == nil && !answered {
			out.LeaseLost = true
		}
		return err
	})
}

// recordedBefore tells whether an answer whose intent is gone was recorded by
// an earlier attempt, of which only the COMMIT's answer was lost.
func (s *Store) recordedBefore(ctx context.Context, migration int64, a Answer) (bool, error) {
	keys := make([]string, len(a.Endings))
	for i := range a.Endings {
		keys[i] = a.Endings[i].Key
	}
	var n int
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT count(*) FROM unnest($2::text[]) AS k (key), LATERAL (
			SELECT call_id FROM {schema}.tokens t WHERE t.migration_id = $1 AND t.key = k.key OFFSET 0) AS t
		WHERE t.call_id = $3`),
		migration, keys, a.Call).Scan(&n)
	return n > 0, pgerr.Wrap(fmt.Sprintf("look for the outcomes of call %s", a.Call), err)
}

// orNull returns nil for no text. What no text column holds (NUL bytes, invalid
// UTF-8) is replaced: a strange detail of one token must not stop the run.
func orNull(s string) *string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if s == "" {
		return nil
	}
	return &s
}

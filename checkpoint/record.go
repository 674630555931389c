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
	Pages   []Page
	Counts  []byte // the run's counts, as JSON, true once this batch is written; nil leaves the run's row as it is
	Waiting string // written with the counts
}

// Recorded tells what of a batch took effect.
type Recorded struct {
	// LeaseLost: the intents, locals and pages were not written, since another worker
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
	out, stood, err := s.recordSomehow(ctx, l, run, b)
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

// recordSomehow writes what can be written of a batch. It tries first what is all but
// always right, and costs the least: the lease is held, and what is new has no row.
// Where it is not, nothing is written, and it tries again without.
func (s *Store) recordSomehow(ctx context.Context, l Lease, run int64, b Batch) (out Recorded, stood map[uuid.UUID]bool, err error) {
	insert, lost := b.allNew(), false
	for {
		out, stood, err = s.record(ctx, l, run, &b, insert)
		switch code := pgerr.CodeOf(err); {
		case insert && code == uniqueViolation:
			insert = false
		case !lost && code == divisionByZero: // by queueLease, and by nothing else
			lost, b.Intents, b.Locals, b.Pages = true, nil, nil, nil
		default:
			out.LeaseLost = lost
			return out, stood, err
		}
	}
}

const (
	divisionByZero  = "22012"
	uniqueViolation = "23505"
)

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
	if len(b.Locals) > 0 || len(b.Intents) > 0 || len(b.Pages) > 0 {
		s.queueLease(&q, l)
	}
	if len(b.Locals) > 0 {
		s.queueLocals(&q, l.Migration, run, b.Locals)
	}
	for i := range b.Intents {
		s.queueIntent(&q, l, run, &b.Intents[i], &out)
		if b.Intents[i].supersedes() {
			s.queueSuperseded(&q, l.Migration, &b.Intents[i])
		}
	}
	s.queuePages(&q, l, b.Pages)
	// A transaction that was cut short may still commit, after the run's end is written:
	// what that says of the run stays.
	if b.Counts != nil {
		q.Queue(s.in(`UPDATE {schema}.runs SET counts = $2, waiting = $3, heartbeat_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL`),
			run, b.Counts, b.Waiting)
	}
	q.Queue(`COMMIT`)
	// After an error the connection is still in the transaction, which has the pool close it.
	if err := s.pool.SendBatch(ctx, &q).Close(); err != nil {
		return Recorded{}, nil, pgerr.Wrap("record outcomes", err)
	}
	return out, stood, nil
}

// queueAnswers removes the intents and, for those that still stood, writes the
// endings of their tokens. What the intents say of these is not sent a second time,
// only how they ended. insert is for tokens that have no row yet.
func (s *Store) queueAnswers(q *pgx.Batch, migration, run int64, answers []Answer, insert bool, stood map[uuid.UUID]bool) {
	var imported, others []*Answer
	for i := range answers {
		if a := &answers[i]; a.allImported() {
			imported = append(imported, a)
		} else {
			others = append(others, a)
		}
	}
	if len(imported) > 0 {
		s.queueImported(q, migration, run, imported, insert, stood)
	}
	if len(others) > 0 {
		s.queueEndings(q, migration, run, others, insert, stood)
	}
}

// queueImported is queueAnswers for calls whose tokens were all imported, which
// nearly all are. Planning this statement costs half of what the general one does.
func (s *Store) queueImported(q *pgx.Batch, migration, run int64, answers []*Answer, insert bool, stood map[uuid.UUID]bool) {
	var tokens int64
	calls := make([]uuid.UUID, len(answers))
	for i, a := range answers {
		calls[i] = a.Call
		tokens += int64(len(a.Endings))
	}
	q.Queue(s.in(withStanding+insertTokens+`
			SELECT $1, o.key, c.connector, coalesce(o.environment, c.environments[1]), 'imported', true, NULL, NULL, 1,
				o.fingerprint, o.identity, o.fingerprint, now(), $2, c.id, now()
			FROM standing c, unnest(c.keys, c.environments, c.fingerprints, c.identities) AS o (key, environment, fingerprint, identity)`+
		onConflict(insert)), migration, run, calls).
		Exec(func(tag pgconn.CommandTag) error {
			for _, a := range answers { // if some did not stand, their tokens tell which
				stood[a.Call] = tag.RowsAffected() == tokens
			}
			return nil
		})
}

// queueEndings is queueAnswers for any calls: how the tokens of a call ended is sent
// once, and token by token where one ended otherwise than the first.
func (s *Store) queueEndings(q *pgx.Batch, migration, run int64, answers []*Answer, insert bool, stood map[uuid.UUID]bool) {
	calls := make([]uuid.UUID, len(answers))
	var usual, others endings
	for i, a := range answers {
		calls[i] = a.Call
		for n := range a.Endings {
			if e := &a.Endings[n]; n == 0 {
				usual.add(a.Call, 0, e)
			} else if !e.endsLike(&a.Endings[0]) {
				others.add(a.Call, n+1, e)
			}
		}
	}
	args := append([]any{migration, run, calls}, usual.args()...)
	args = append(append(args, others.args()...), others.place)
	q.Queue(s.in(withStanding+`, usual AS (
			SELECT * FROM unnest($4::uuid[], $5::text[], $6::boolean[], $7::text[], $8::text[]) AS o (id, outcome, succeeded, reason, detail)
		), otherwise AS (
			SELECT * FROM unnest($9::uuid[], $10::text[], $11::boolean[], $12::text[], $13::text[], $14::integer[])
				AS o (id, outcome, succeeded, reason, detail, place)
		), ended AS (
			SELECT c.id, c.connector, o.key, coalesce(o.environment, c.environments[1]) AS environment, o.fingerprint, o.identity,
				coalesce(x.outcome, usual.outcome) AS outcome,
				CASE WHEN x.id IS NULL THEN usual.succeeded ELSE x.succeeded END AS succeeded,
				CASE WHEN x.id IS NULL THEN usual.reason ELSE x.reason END AS reason,
				CASE WHEN x.id IS NULL THEN usual.detail ELSE x.detail END AS detail
			FROM standing c JOIN usual USING (id)
				CROSS JOIN LATERAL unnest(c.keys, c.environments, c.fingerprints, c.identities)
					WITH ORDINALITY AS o (key, environment, fingerprint, identity, place)
				LEFT JOIN otherwise x ON x.id = c.id AND x.place = o.place
		), written AS (`+insertTokens+`
			SELECT $1, key, connector, environment, outcome, succeeded, reason, detail, 1, fingerprint, identity,
				CASE WHEN outcome = 'imported' THEN fingerprint END, CASE WHEN outcome = 'imported' THEN now() END, $2, id, now()
			FROM ended`+onConflict(insert)+`
		) SELECT id FROM standing`), args...).
		Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { stood[id] = true; return nil })
			return err
		})
}

// What the statements that record answers have in common.
const (
	withStanding = `
		WITH standing AS (
			DELETE FROM {schema}.calls WHERE id = ANY($3::uuid[]) RETURNING id, connector, keys, environments, fingerprints, identities
		)`
	insertTokens = `
			INSERT INTO {schema}.tokens AS t
				(migration_id, key, connector, environment, outcome, succeeded, reason, detail, attempts,
				 fingerprint, identity, imported_fingerprint, imported_at, run_id, call_id, updated_at)`
)

// onConflict is what becomes of a row that a token has; nothing where insert says
// that there is none.
func onConflict(insert bool) string {
	if insert {
		return ""
	}
	return `
			ON CONFLICT (migration_id, key) DO UPDATE SET
				connector = excluded.connector, environment = excluded.environment,
				outcome = excluded.outcome, succeeded = excluded.succeeded,
				reason = excluded.reason, detail = excluded.detail,
				attempts = t.attempts + 1,
				fingerprint = excluded.fingerprint, identity = excluded.identity,
				imported_fingerprint = coalesce(excluded.imported_fingerprint, t.imported_fingerprint),
				imported_at = coalesce(excluded.imported_at, t.imported_at),
				superseded = CASE WHEN excluded.imported_at IS NULL THEN t.superseded END,
				run_id = excluded.run_id, call_id = excluded.call_id, updated_at = excluded.updated_at`
}

// allImported reports whether a call was answered, and all of its tokens were imported.
func (a *Answer) allImported() bool {
	return len(a.Endings) > 0 && !slices.ContainsFunc(a.Endings, func(e Ending) bool {
		return e.Outcome != Imported || e.Succeeded == nil || !*e.Succeeded || e.Reason != "" || e.Detail != ""
	})
}

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

// queueLease locks the lease, if it is still this holder's: whoever takes the shard
// then finds what the transaction writes. Else it divides by zero, which undoes the
// transaction.
func (s *Store) queueLease(q *pgx.Batch, l Lease) {
	q.Queue(s.in(`
		SELECT 1 / count(*) FROM (
			SELECT FROM {schema}.leases WHERE migration_id = $1 AND shard = $2 AND holder = $3 AND epoch = $4 FOR KEY SHARE) AS held`),
		l.Migration, l.Shard, l.Holder, l.Epoch)
}

// queueLocals writes outcomes that needed no call. What the endpoint last said, and
// what was sent and imported last, stay as they are; so does the run of what is
// imported without a call: an earlier import that holds again.
func (s *Store) queueLocals(q *pgx.Batch, migration, run int64, locals []Local) {
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
		ON CONFLICT (migration_id, key) DO UPDATE SET
			connector = excluded.connector, environment = excluded.environment,
			outcome = excluded.outcome, reason = excluded.reason, detail = excluded.detail,
			run_id = CASE WHEN excluded.outcome = 'imported' THEN t.run_id ELSE excluded.run_id END, updated_at = excluded.updated_at`),
		migration, run, key, connector, environment, outcome, reason, detail)
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

package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	Identity    Hash // of whom that was sent for; zero: nothing was
	Imported    Hash // of what was imported last; zero: nothing was
	Superseded  bool // another key was sent for the same identity since
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
	priors := make([]Prior, len(asked))
	if err := s.settled(ctx, migration, asked, priors); err != nil {
		return nil, pgerr.Wrap("look up tokens", err)
	}
	return priors, pgerr.Wrap("look up tokens", s.unsettled(ctx, migration, asked, priors))
}

// settled fills in the priors of the tokens that were imported as they are now. They
// come as one row, since a row for each costs as much as finding it.
func (s *Store) settled(ctx context.Context, migration int64, asked []Asked, priors []Prior) error {
	keys, fingerprints := make([]string, 0, len(asked)), make(pgtype.FlatArray[[]byte], 0, len(asked))
	places := make([]int, 0, len(asked))
	for i := range asked {
		if asked[i].Fingerprint != (Hash{}) {
			keys, fingerprints, places = append(keys, asked[i].Key), append(fingerprints, asked[i].Fingerprint[:]), append(places, i)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	// OFFSET leaves the planner one way, a look into the index for each token. Without
	// statistics, as in every first run, it would rather read the whole migration.
	var found, runs []int64
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT array_agg(n), array_agg(coalesce(run_id, 0))
		FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS a (key, fingerprint, n), LATERAL (
			SELECT t.run_id FROM {schema}.tokens AS t WHERE t.migration_id = $1 AND t.key = a.key
				AND t.outcome = 'imported' AND t.imported_fingerprint = a.fingerprint AND t.superseded IS NOT TRUE OFFSET 0) AS t`), migration, keys, fingerprints).
		Scan(&found, &runs)
	if err != nil {
		return err
	}
	for i, n := range found {
		place := places[n-1]
		priors[place] = Prior{Outcome: Imported, Imported: asked[place].Fingerprint, RunID: runs[i]}
	}
	return nil
}

// unsettled fills in the priors of all others.
func (s *Store) unsettled(ctx context.Context, migration int64, asked []Asked, priors []Prior) error {
	var keys []string
	var places []int
	for i := range asked {
		if priors[i].Outcome == "" {
			keys, places = append(keys, asked[i].Key), append(places, i)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT n, coalesce(connector, ''), coalesce(environment, ''), outcome, coalesce(reason, ''), coalesce(detail, ''),
			succeeded, attempts, fingerprint, identity, imported_fingerprint, superseded IS TRUE, coalesce(run_id, 0)
		FROM unnest($2::text[]) WITH ORDINALITY AS a (key, n), LATERAL (
			SELECT * FROM {schema}.tokens AS t WHERE t.migration_id = $1 AND t.key = a.key OFFSET 0) AS t`), migration, keys)
	if err != nil {
		return err
	}
	var n int64
	var p Prior
	var sent, identity, imported []byte
	_, err = pgx.ForEachRow(rows, []any{&n, &p.Connector, &p.Environment, (*string)(&p.Outcome), &p.Reason, &p.Detail,
		&p.Succeeded, &p.Attempts, &sent, &identity, &imported, &p.Superseded, &p.RunID}, func() error {
		p.Fingerprint, p.Identity, p.Imported = Hash{}, Hash{}, Hash{}
		copy(p.Fingerprint[:], sent)
		copy(p.Identity[:], identity)
		copy(p.Imported[:], imported)
		priors[places[n-1]] = p
		return nil
	})
	return err
}

// Owners tells whose identities are. What is not known is missing from the maps.
type Owners struct {
	// Sent has the keys that were last sent for an identity: first the one that was
	// imported and not superseded since, then others that were imported, the first
	// import first, and then the rest by key. The first of them whose row still exists
	// owns the identity. Of OwnersShared, the keys of calls that are over and not
	// settled come last.
	Sent map[Hash][]string
	// Calling has the keys of calls for an identity that may be under way: they own it
	// whether or not their rows exist. Only OwnersShared tells them.
	Calling map[Hash][]string

	attempts map[string]int32 // of the keys in Sent that have a row
}

// Seen tells what was known of the other keys of an identity, in a text that differs
// once another of them was sent, or one of them again. It is what an exclusive intent
// rests on, and needs no clock.
func (o *Owners) Seen(identity Hash, key string) string {
	var seen []string
	for _, other := range slices.Sorted(slices.Values(o.Sent[identity])) {
		if n, known := o.attempts[other]; known && other != key {
			seen = append(seen, fmt.Sprintf("%s:%d", other, n))
		}
	}
	return strings.Join(seen, ",")
}

// mayBeUnderWay is of a row of calls whether its call may be.
const mayBeUnderWay = `settle_after > clock_timestamp()`

// Owners returns whose the given identities are.
func (s *Store) Owners(ctx context.Context, migration int64, identities []Hash) (Owners, error) {
	return s.owners(ctx, migration, identities, false)
}

// OwnersShared is Owners where other shards make calls for the same migration.
func (s *Store) OwnersShared(ctx context.Context, migration int64, identities []Hash) (Owners, error) {
	return s.owners(ctx, migration, identities, true)
}

func (s *Store) owners(ctx context.Context, migration int64, identities []Hash, shared bool) (Owners, error) {
	owners := Owners{Sent: make(map[Hash][]string), Calling: make(map[Hash][]string), attempts: make(map[string]int32)}
	raw := make(pgtype.FlatArray[[]byte], len(identities))
	for i := range identities {
		raw[i] = identities[i][:]
	}
	var q pgx.Batch
	var calls, tokens []sender
	if shared { // before the tokens: what is recorded in between is seen in both, and not in none
		q.Queue(s.in(`
			SELECT o.identity, o.key, CASE WHEN `+mayBeUnderWay+` THEN 1 ELSE 0 END
			FROM {schema}.calls, unnest(identities, keys) AS o (identity, key)
			WHERE migration_id = $1 AND o.identity = ANY($2::bytea[]) ORDER BY started_at`), migration, raw).Query(into(&calls))
	}
	// The migration stands outside, lest its primary key be read for each identity where
	// nobody has analyzed the table: an identity is of one migration anyway.
	q.Queue(s.in(`
		SELECT t.identity, t.key, t.attempts FROM (SELECT DISTINCT identity FROM unnest($2::bytea[]) AS identity) AS a, LATERAL (
			SELECT identity, key, attempts, migration_id, imported_at, superseded FROM {schema}.tokens WHERE identity = a.identity OFFSET 0) AS t
		WHERE t.migration_id = $1
		ORDER BY t.identity, t.imported_at IS NULL OR t.superseded IS TRUE, t.imported_at, t.key`), migration, raw).Query(into(&tokens))
	if err := s.pool.SendBatch(ctx, &q).Close(); err != nil {
		return Owners{}, pgerr.Wrap("look up identities", err)
	}
	for _, t := range tokens {
		owners.Sent[t.identity] = append(owners.Sent[t.identity], t.key)
		if shared {
			owners.attempts[t.key] = t.n
		}
	}
	for _, c := range calls {
		switch {
		case c.n > 0:
			owners.Calling[c.identity] = append(owners.Calling[c.identity], c.key)
		case !slices.Contains(owners.Sent[c.identity], c.key):
			owners.Sent[c.identity] = append(owners.Sent[c.identity], c.key)
		}
	}
	return owners, nil
}

// sender is a key that was or is being sent for an identity, with a number that is told
// of it.
type sender struct {
	identity Hash
	key      string
	n        int32
}

// into returns what appends the rows of a query to senders.
func into(senders *[]sender) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var identity []byte
		var s sender
		_, err := pgx.ForEachRow(rows, []any{&identity, &s.key, &s.n}, func() error {
			s.identity = Hash(identity)
			*senders = append(*senders, s)
			return nil
		})
		return err
	}
}

// Blank reports whether nothing at all is known of a migration's tokens: none has an
// outcome, and no call stands.
func (s *Store) Blank(ctx context.Context, migration int64) (bool, error) {
	var known bool
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT EXISTS (SELECT FROM {schema}.tokens WHERE migration_id = $1) OR EXISTS (SELECT FROM {schema}.calls WHERE migration_id = $1)`), migration).Scan(&known)
	return !known, pgerr.Wrap("look for earlier outcomes", err)
}

package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// Page is what a lookup found of a page of the source, to be written with a Batch: its
// tokens were imported as they are, all but Rest. While none of the migration's tokens
// is changed or removed, a page of the same tokens in the same place needs no lookup of
// each.
type Page struct {
	Number   int               // in the walk of the lease's shard, from 1
	Digest   [sha256.Size]byte // of its tokens' keys and fingerprints
	Rest     []int32           // places of the tokens that are not settled
	Run      int64             // the newest run that imported one of the others
	Revision int64             // of the migration's tokens, from before they were looked up
	Server   time.Time         // when the server that told began: another one may know less
}

// PagePriors is Priors of a whole page, the number-th of the shard's walk. One that is
// remembered costs a single look, and one more for what was not settled in it. Of
// another it returns what to remember.
//
// run is the run that asks, 0 for none. A page is not remembered to the run that
// imported some of it, which has to know which.
func (s *Store) PagePriors(ctx context.Context, migration, run int64, shard, number int, asked []Asked) ([]Prior, *Page, error) {
	// Before the tokens: what changes them in between makes the page worthless.
	page, remembered, err := s.page(ctx, migration, shard, number, digest(asked))
	if err != nil {
		return nil, nil, pgerr.Wrap("look up a page", err)
	}
	outside := func(place int32) bool { return place < 0 || int(place) >= len(asked) }
	if remembered && (run == 0 || page.Run < run) && !slices.ContainsFunc(page.Rest, outside) {
		priors, err := s.recall(ctx, migration, page, asked)
		return priors, nil, err
	}
	priors := make([]Prior, len(asked))
	if err := s.settled(ctx, migration, asked, priors); err != nil {
		return nil, nil, pgerr.Wrap("look up tokens", err)
	}
	page.Run, page.Rest = 0, []int32{}
	for i := range priors {
		if priors[i].Outcome == "" {
			page.Rest = append(page.Rest, int32(i))
		}
		page.Run = max(page.Run, priors[i].RunID)
	}
	return priors, page, pgerr.Wrap("look up tokens", s.unsettled(ctx, migration, asked, priors))
}

// page looks for what is remembered of a page. Of one that is not it tells the revision
// and the server alone.
func (s *Store) page(ctx context.Context, migration int64, shard, number int, sum [sha256.Size]byte) (page *Page, remembered bool, err error) {
	const now = `SELECT coalesce((SELECT revision FROM {schema}.revisions WHERE migration_id = $1), 0), pg_postmaster_start_time()`
	page = &Page{Number: number, Digest: sum}
	var was int64
	var digest []byte
	// A join would take longer to plan than to run.
	err = s.pool.QueryRow(ctx, s.in(now+`, revision, digest, run_id, array_replace(rest, NULL, -1)
		FROM {schema}.pages WHERE migration_id = $1 AND shard = $2 AND number = $3`), migration, shard, number).
		Scan(&page.Revision, &page.Server, &was, &digest, &page.Run, &page.Rest)
	if errors.Is(err, pgx.ErrNoRows) {
		return page, false, s.pool.QueryRow(ctx, s.in(now), migration).Scan(&page.Revision, &page.Server)
	}
	return page, was == page.Revision && bytes.Equal(digest, sum[:]), err
}

// recall returns the priors of a page that is remembered.
func (s *Store) recall(ctx context.Context, migration int64, page *Page, asked []Asked) ([]Prior, error) {
	priors := make([]Prior, len(asked))
	for i := range priors {
		priors[i] = Prior{Outcome: Imported, Imported: asked[i].Fingerprint, RunID: page.Run}
	}
	for _, i := range page.Rest {
		priors[i] = Prior{}
	}
	return priors, pgerr.Wrap("look up tokens", s.unsettled(ctx, migration, asked, priors))
}

// digest is equal for equal tokens in an equal order.
func digest(asked []Asked) (sum [sha256.Size]byte) {
	h := sha256.New()
	var b []byte
	for i := range asked {
		b = binary.AppendUvarint(b[:0], uint64(len(asked[i].Key)))
		b = append(append(b, asked[i].Key...), asked[i].Fingerprint[:]...)
		h.Write(b)
	}
	h.Sum(sum[:0])
	return sum
}

// queuePages writes what is remembered of pages. It stands behind queueLease.
func (s *Store) queuePages(q *pgx.Batch, l Lease, pages []Page) {
	for i := range pages {
		p := &pages[i]
		q.Queue(s.in(`
			INSERT INTO {schema}.pages (migration_id, shard, number, digest, rest, run_id, revision)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE pg_postmaster_start_time() = $8
			ON CONFLICT (migration_id, shard, number) DO UPDATE SET
				digest = excluded.digest, rest = excluded.rest, run_id = excluded.run_id, revision = excluded.revision`),
			l.Migration, l.Shard, p.Number, p.Digest[:], p.Rest, p.Run, p.Revision, p.Server)
	}
}

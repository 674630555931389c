package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// LeaseTTL is how long a lease holds after its last renewal, and so the longest
// that a killed worker keeps the next one waiting.
const LeaseTTL = 30 * time.Second

// Lease is the right of one holder to work on one shard. Its epoch grows each
// time the shard changes hands, so that a holder that was away can tell.
type Lease struct {
	Migration int64
	Shard     int
	Holder    string
	Epoch     int64
}

// HeldError says that another worker holds the lease.
type HeldError struct {
	Shard   int
	Holder  string
	Expires time.Duration // until the lease lapses, if it is not renewed
}

// Error names the holder and the time its lease still has.
func (e *HeldError) Error() string {
	return fmt.Sprintf("shard %d is held by %s (its lease lapses in %s unless renewed)", e.Shard, e.Holder, e.Expires.Round(time.Second))
}

// ErrLeaseLost: another worker has taken the shard meanwhile.
var ErrLeaseLost = errors.New("the lease was lost: another worker has taken this shard")

// Acquire takes the lease of a shard if nobody holds it, or if dead reports
// that its holder is known to be gone (nil: that is known of none). A holder
// takes its own lease again. No lease lasts longer than LeaseTTL: where the
// database's clock was set back, the time that one seems to have beyond that is
// taken from it.
//
// Errors: *HeldError where another holder's lease has not lapsed.
func (s *Store) Acquire(ctx context.Context, migration int64, shard, shards int, holder string, dead func(holder string) bool) (Lease, error) {
	lease := Lease{Migration: migration, Shard: shard, Holder: holder}
	var held *HeldError
	err := s.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.in(`
			INSERT INTO {schema}.leases (migration_id, shard, shards, holder, epoch, expires_at)
			VALUES ($1, $2, $3, '', 0, clock_timestamp()) ON CONFLICT DO NOTHING`), migration, shard, shards); err != nil {
			return err
		}
		var was string
		var left float64
		if err := tx.QueryRow(ctx, s.in(`
			SELECT holder, extract(epoch FROM expires_at - clock_timestamp())::float8
			FROM {schema}.leases WHERE migration_id = $1 AND shard = $2 FOR UPDATE`), migration, shard).
			Scan(&was, &left); err != nil {
			return err
		}
		if left > 0 && was != "" && was != holder && (dead == nil || !dead(was)) {
			held = &HeldError{Shard: shard, Holder: was, Expires: min(time.Duration(left*float64(time.Second)), LeaseTTL)}
			if left <= LeaseTTL.Seconds() {
				return nil
			}
			_, err := tx.Exec(ctx, s.in(`
				UPDATE {schema}.leases SET expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
				WHERE migration_id = $1 AND shard = $2`), migration, shard, LeaseTTL.Microseconds())
			return err
		}
		return tx.QueryRow(ctx, s.in(`
			UPDATE {schema}.leases
			SET holder = $3, shards = $4, epoch = epoch + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 microsecond'
			WHERE migration_id = $1 AND shard = $2 RETURNING epoch`),
			migration, shard, holder, shards, LeaseTTL.Microseconds()).Scan(&lease.Epoch)
	})
	if err == nil && held != nil {
		return Lease{}, held
	}
	return lease, pgerr.Wrap("take the lease", err)
}

// Renew makes the lease last LeaseTTL from now. A lapsed lease that nobody took
// is renewed like any other.
//
// Errors: ErrLeaseLost.
func (s *Store) Renew(ctx context.Context, l Lease) error {
	tag, err := s.pool.Exec(ctx, s.in(`
		UPDATE {schema}.leases SET expires_at = clock_timestamp() + $5::bigint * interval '1 microsecond'
		WHERE migration_id = $1 AND shard = $2 AND holder = $3 AND epoch = $4`),
		l.Migration, l.Shard, l.Holder, l.Epoch, LeaseTTL.Microseconds())
	if err != nil {
		return pgerr.Wrap("renew the lease", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrLeaseLost
	}
	return nil
}

// Release gives the lease up, so that the next worker need not wait. A lease
// that another worker has taken is left alone.
func (s *Store) Release(ctx context.Context, l Lease) error {
	_, err := s.pool.Exec(ctx, s.in(`
		UPDATE {schema}.leases SET expires_at = clock_timestamp(), holder = ''
		WHERE migration_id = $1 AND shard = $2 AND holder = $3 AND epoch = $4`),
		l.Migration, l.Shard, l.Holder, l.Epoch)
	return pgerr.Wrap("release the lease", err)
}

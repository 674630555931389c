package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	Shards    int // how many there are; 0 stands for 1
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
	return fmt.Sprintf("shard %d is held by %s (its lease lapses in %s unless renewed)", e.Shard, HolderName(e.Holder), e.Expires.Round(time.Second))
}

// HolderName is what a person calls a holder: its text up to " start ", behind which
// stands what tells two processes of one number apart.
func HolderName(holder string) string {
	name, _, _ := strings.Cut(holder, " start ")
	return name
}

// ShardsError says that a worker holds a lease under another number of shards, so
// that the keys cannot be divided anew.
type ShardsError struct {
	Shards, Wanted int // the number in force, and the one that was asked for
	Shard          int // of the lease that lapses last
	Holder         string
	Expires        time.Duration // until that lease lapses, if it is not renewed
}

// Error names both numbers, the holder and the time its lease still has.
func (e *ShardsError) Error() string {
	return fmt.Sprintf("the migration is at work with %d shards and not %d: shard %d is held by %s (its lease lapses in %s unless renewed)",
		e.Shards, e.Wanted, e.Shard, HolderName(e.Holder), e.Expires.Round(time.Second))
}

// ErrLeaseLost: another worker has taken the shard meanwhile.
var ErrLeaseLost = errors.New("the lease was lost: another worker has taken this shard")

// Acquire takes the lease of a shard if nobody holds it, or if dead reports
// that its holder is known to be gone (nil: that is known of none). A holder
// takes its own lease again. No lease lasts longer than LeaseTTL: where the
// database's clock was set back, the time that one seems to have beyond that is
// taken from it.
//
// Another number of shards than the one in force is adopted when no lease under
// that one is alive: its leases are lost to their holders for good, and the calls
// that they left in doubt become everybody's.
//
// Errors: *HeldError where another holder's lease has not lapsed; *ShardsError
// where a lease under another number of shards has not.
func (s *Store) Acquire(ctx context.Context, migration int64, shard, shards int, holder string, dead func(holder string) bool) (Lease, error) {
	lease := Lease{Migration: migration, Shard: shard, Shards: shards, Holder: holder}
	if dead == nil {
		dead = func(string) bool { return false }
	}
	var taken error // by others
	err := s.begin(ctx, func(tx pgx.Tx) (err error) {
		if taken, err = s.adopt(ctx, tx, lease, dead); err != nil || taken != nil {
			return err
		}
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
		if left > 0 && was != "" && was != holder && !dead(was) {
			taken = &HeldError{Shard: shard, Holder: was, Expires: lasting(left)}
			return nil
		}
		return tx.QueryRow(ctx, s.in(`
			UPDATE {schema}.leases
			SET holder = $3, shards = $4, epoch = epoch + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 microsecond'
			WHERE migration_id = $1 AND shard = $2 RETURNING epoch`),
			migration, shard, holder, shards, LeaseTTL.Microseconds()).Scan(&lease.Epoch)
	})
	if err == nil && taken != nil {
		return Lease{}, taken
	}
	return lease, pgerr.Wrap("take the lease", err)
}

// lasting is how long a lease lasts at most that seems to last for so many seconds.
func lasting(seconds float64) time.Duration {
	return min(time.Duration(seconds*float64(time.Second)), LeaseTTL)
}

// adopt makes the lease's number of shards the migration's. Workers that acquire
// leases take turns here. It returns a *ShardsError as taken where somebody is at
// work under another number.
func (s *Store) adopt(ctx context.Context, tx pgx.Tx, l Lease, dead func(string) bool) (taken, err error) {
	var was int
	if err := tx.QueryRow(ctx, s.in(`SELECT shards FROM {schema}.migrations WHERE id = $1 FOR NO KEY UPDATE`), l.Migration).Scan(&was); err != nil {
		return nil, err
	}
	// The clock was set back: such a lease began before that.
	if _, err := tx.Exec(ctx, s.in(`
		UPDATE {schema}.leases SET expires_at = clock_timestamp() + $2::bigint * interval '1 microsecond'
		WHERE migration_id = $1 AND expires_at > clock_timestamp() + $2::bigint * interval '1 microsecond'`), l.Migration, LeaseTTL.Microseconds()); err != nil {
		return nil, err
	}
	if was == l.Shards {
		return nil, nil
	}
	// Locked: an intent that is being written is committed before, or not written.
	rows, err := tx.Query(ctx, s.in(`
		SELECT shard, holder, extract(epoch FROM expires_at - clock_timestamp())::float8 FROM {schema}.leases
		WHERE migration_id = $1 AND shards <> $2 ORDER BY expires_at DESC FOR UPDATE`), l.Migration, l.Shards)
	if err != nil {
		return nil, err
	}
	other := &ShardsError{Shards: was, Wanted: l.Shards}
	var shard int
	var holder string
	var left float64
	_, err = pgx.ForEachRow(rows, []any{&shard, &holder, &left}, func() error {
		if taken == nil && holder != "" && left > 0 && !dead(holder) {
			other.Shard, other.Holder, other.Expires = shard, holder, lasting(left)
			taken = other
		}
		return nil
	})
	if err != nil || taken != nil {
		return taken, err
	}
	if _, err := tx.Exec(ctx, s.in(`UPDATE {schema}.migrations SET shards = $2 WHERE id = $1`), l.Migration, l.Shards); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, s.in(`
		UPDATE {schema}.leases SET holder = '', epoch = epoch + 1, expires_at = clock_timestamp()
		WHERE migration_id = $1 AND shards <> $2`), l.Migration, l.Shards); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, s.in(`UPDATE {schema}.calls SET shard = $2 WHERE migration_id = $1`), l.Migration, everybodys)
	return nil, err
}

// everybodys is the shard of an intent that was written under another number of
// shards: its keys may be any worker's now.
const everybodys = -1

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

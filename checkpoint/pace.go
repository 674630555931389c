package checkpoint

import (
	"context"
	"time"

	"tokenmigrate/checkpoint/pgerr"
)

// Steering is what operators and other workers ask of a running worker.
type Steering struct {
	Paused            bool          // the migration is paused
	RequestsPerMinute float64       // 0: as configured
	PausedFor         time.Duration // all workers of the destination, for what the endpoint said to one
	Workers           int           // alive, of all migrations of the same destination
}

// longestPause is more than any pause lasts. What seems to last longer is from
// before the database's clock was set back, and counts no more.
const longestPause = 15 * time.Minute

// Steering returns what is asked of the workers of a migration right now.
// target is the destination as the migrations' targets name it, team included.
func (s *Store) Steering(ctx context.Context, migration int64, destination, team, target string) (Steering, error) {
	var out Steering
	var paused float64
	err := s.pool.QueryRow(ctx, s.in(`
		SELECT coalesce((SELECT paused FROM {schema}.migrations WHERE id = $1), false),
			coalesce((SELECT requests_per_minute FROM {schema}.paces WHERE destination = $2 AND team = $3), 0),
			coalesce((SELECT extract(epoch FROM paused_until - clock_timestamp())::float8 FROM {schema}.paces
				WHERE destination = $2 AND team = $3 AND paused_until <= clock_timestamp() + $5::bigint * interval '1 microsecond'), 0),
			(SELECT count(*) FROM {schema}.leases l JOIN {schema}.migrations m ON m.id = l.migration_id
				WHERE m.target->>'destination' = $4 AND l.holder <> '' AND l.expires_at > clock_timestamp())`),
		migration, destination, team, target, longestPause.Microseconds()).Scan(&out.Paused, &out.RequestsPerMinute, &paused, &out.Workers)
	out.PausedFor = max(time.Duration(paused*float64(time.Second)), 0)
	return out, pgerr.Wrap("read the steering", err)
}

// TakeSlot takes the next call of the budget that all workers of a destination
// and team share, calls being every apart, and returns how long to wait for it.
// Calls that are taken further ahead than a thousand waiting senders would, after
// the longest pause, were taken before the database's clock was set back.
func (s *Store) TakeSlot(ctx context.Context, destination, team string, every time.Duration) (time.Duration, error) {
	var wait float64
	err := s.pool.QueryRow(ctx, s.in(`
		INSERT INTO {schema}.paces AS p (destination, team, next_at)
		VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 microsecond')
		ON CONFLICT (destination, team) DO UPDATE
		SET next_at = $3::bigint * interval '1 microsecond' + greatest(clock_timestamp(),
			CASE WHEN p.next_at <= clock_timestamp() + ($4::bigint + 1000 * $3::bigint) * interval '1 microsecond' THEN p.next_at END,
			CASE WHEN p.paused_until <= clock_timestamp() + $4::bigint * interval '1 microsecond' THEN p.paused_until END)
		RETURNING extract(epoch FROM next_at - $3::bigint * interval '1 microsecond' - clock_timestamp())::float8`),
		destination, team, every.Microseconds(), longestPause.Microseconds()).Scan(&wait)
	return max(time.Duration(wait*float64(time.Second)), 0), pgerr.Wrap("take a call of the shared budget", err)
}

// PauseAll keeps all workers that share a budget from calling for d.
func (s *Store) PauseAll(ctx context.Context, destination, team string, d time.Duration, reason string) error {
	_, err := s.pool.Exec(ctx, s.in(`
		INSERT INTO {schema}.paces AS p (destination, team, paused_until, reason)
		VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 microsecond', $4)
		ON CONFLICT (destination, team) DO UPDATE
		SET paused_until = greatest(excluded.paused_until,
				CASE WHEN p.paused_until <= clock_timestamp() + $5::bigint * interval '1 microsecond' THEN p.paused_until END),
			reason = excluded.reason`),
		destination, team, d.Microseconds(), reason, longestPause.Microseconds())
	return pgerr.Wrap("pause the shared budget", err)
}

// SetPaused pauses a migration's workers, now and in later runs, or lets them go on.
func (s *Store) SetPaused(ctx context.Context, migration int64, paused bool) error {
	_, err := s.pool.Exec(ctx, s.in(`UPDATE {schema}.migrations SET paused = $2 WHERE id = $1`), migration, paused)
	return pgerr.Wrap("write the pause", err)
}

// SetPace sets the pace of all workers of a destination and team, now and in
// later runs; 0 gives it back to their configurations.
func (s *Store) SetPace(ctx context.Context, destination, team string, requestsPerMinute float64) error {
	_, err := s.pool.Exec(ctx, s.in(`
		INSERT INTO {schema}.paces (destination, team, requests_per_minute) VALUES ($1, $2, nullif($3::float8, 0))
		ON CONFLICT (destination, team) DO UPDATE SET requests_per_minute = excluded.requests_per_minute, next_at = NULL`),
		destination, team, requestsPerMinute)
	return pgerr.Wrap("write the pace", err)
}

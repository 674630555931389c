package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// Run is one row of runs.
type Run struct {
	ID          int64
	Shard       int
	Version     string
	Mode        string
	StartedAt   time.Time
	FinishedAt  time.Time // zero: it has not finished, or it died
	HeartbeatAt time.Time
	ExitCode    *int
	Counts      []byte // JSON; its "shards" is the number of shards, where that is not 1
	Waiting     string
	LastError   string
	Alive       bool // its shard's lease has not lapsed
	Holder      string
}

// inForce chooses among the runs r of the migration m those under its present
// number of shards. The counts tell it, they are of that part of the keys: whoever
// writes counts keeps their "shards".
const inForce = `coalesce((r.counts->>'shards')::integer, 1) = m.shards`

// StartRun writes the row of a run that begins and returns its id.
func (s *Store) StartRun(ctx context.Context, l Lease, version, mode string) (int64, error) {
	var id int64
	err := s.pool.QueryRow(ctx, s.in(`
		INSERT INTO {schema}.runs (migration_id, shard, version, mode, counts)
		VALUES ($1, $2, $3, $4, jsonb_build_object('shards', $5::integer)) RETURNING id`),
		l.Migration, l.Shard, version, mode, max(l.Shards, 1)).Scan(&id)
	return id, pgerr.Wrap("write the run", err)
}

// FinishRun writes how a run ended. Nil counts leave those of the last Record. It
// reports whether that was the last shard to finish: the newest run of each, under
// the present number of shards, came to the end of the source (finished lists the
// exit codes that say so, unless the counts' "stoppedBy" tells otherwise). Of shards
// that finish at once exactly one is the last.
func (s *Store) FinishRun(ctx context.Context, l Lease, run int64, exitCode int, counts []byte, lastError string, finished ...int) (last bool, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.in(`SELECT FROM {schema}.migrations WHERE id = $1 FOR NO KEY UPDATE`), l.Migration); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.in(`
			UPDATE {schema}.runs
			SET finished_at = clock_timestamp(), heartbeat_at = clock_timestamp(), exit_code = $2, counts = coalesce($3, counts), waiting = NULL, last_error = $4
			WHERE id = $1`), run, exitCode, counts, orNull(lastError)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, s.in(`
			WITH newest AS (
				SELECT DISTINCT ON (r.shard) r.exit_code, r.counts FROM {schema}.runs r JOIN {schema}.migrations m ON m.id = r.migration_id
				WHERE m.id = $1 AND `+inForce+` ORDER BY r.shard, r.id DESC)
			SELECT count(*) FILTER (WHERE exit_code = ANY($2::integer[]) AND counts->>'stoppedBy' IS NULL) = (SELECT shards FROM {schema}.migrations WHERE id = $1) FROM newest`),
			l.Migration, finished).Scan(&last)
	})
	return last && slices.Contains(finished, exitCode), pgerr.Wrap("write the end of the run", err)
}

// Runs returns the newest run of each shard, by shard, of those under the present
// number of shards.
func (s *Store) Runs(ctx context.Context, migration int64) ([]Run, error) {
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT DISTINCT ON (r.shard) r.id, r.shard, r.version, r.mode, r.started_at, r.finished_at, r.heartbeat_at,
			r.exit_code, r.counts, coalesce(r.waiting, ''), coalesce(r.last_error, ''),
			r.finished_at IS NULL AND coalesce(l.holder <> '' AND l.expires_at > clock_timestamp(), false), coalesce(l.holder, '')
		FROM {schema}.runs r JOIN {schema}.migrations m ON m.id = r.migration_id LEFT JOIN {schema}.leases l USING (migration_id, shard)
		WHERE r.migration_id = $1 AND `+inForce+` ORDER BY r.shard, r.id DESC`), migration)
	if err != nil {
		return nil, pgerr.Wrap("read the runs", err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) {
		var r Run
		var finished *time.Time
		err := row.Scan(&r.ID, &r.Shard, &r.Version, &r.Mode, &r.StartedAt, &finished, &r.HeartbeatAt,
			&r.ExitCode, &r.Counts, &r.Waiting, &r.LastError, &r.Alive, &r.Holder)
		if finished != nil {
			r.FinishedAt = *finished
		}
		return r, err
	})
	return runs, pgerr.Wrap("read the runs", err)
}

// Totals returns the number of tokens by outcome, over all runs.
func (s *Store) Totals(ctx context.Context, migration int64) (map[Outcome]int64, error) {
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT outcome, count(*) FROM {schema}.tokens WHERE migration_id = $1 GROUP BY outcome`), migration)
	if err != nil {
		return nil, pgerr.Wrap("count the tokens", err)
	}
	totals := make(map[Outcome]int64)
	var outcome string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&outcome, &n}, func() error { totals[Outcome(outcome)] = n; return nil })
	return totals, pgerr.Wrap("count the tokens", err)
}

// Failure is a token that is not imported.
type Failure struct {
	Key         string
	Connector   string
	Environment string
	Outcome     Outcome
	Reason      string
	Detail      string
	Attempts    int
	UpdatedAt   time.Time
}

// Filter chooses among failures; empty fields choose all.
type Filter struct {
	Connector string
	Reason    string
	Limit     int
}

// failuresWindow is how many tokens one statement of Failures looks at.
const failuresWindow = 5000

// byPrimaryKey begins a transaction whose statements follow the primary key.
// Where statistics are old, as after a run of an hour, the planner thinks that
// sorting a whole migration is cheaper, for each window again.
var byPrimaryKey = pgx.TxOptions{BeginQuery: "BEGIN READ ONLY; SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"}

// Failures calls each for every token that is not imported, in the order of
// their keys, and stops at each's first error. It looks at windows of the primary
// key, however many or few of the tokens in one are failures: ten million need
// neither memory nor a snapshot, and no statement takes long.
func (s *Store) Failures(ctx context.Context, migration int64, f Filter, each func(Failure) error) error {
	after := ""
	for left, first := f.Limit, true; ; first = false {
		page, last, err := s.failures(ctx, migration, f, after, first)
		if err != nil {
			return pgerr.Wrap("read the failures", err)
		}
		for _, x := range page {
			if f.Limit > 0 && left == 0 {
				return nil
			}
			left--
			if err := each(x); err != nil {
				return err
			}
		}
		if last == "" {
			return nil
		}
		after = last
	}
}

// failures returns the failures of the window behind after, or of the first one,
// and the window's last key; "": there is no further window.
func (s *Store) failures(ctx context.Context, migration int64, f Filter, after string, first bool) (page []Failure, last string, err error) {
	compare := ">"
	if first {
		compare = ">=" // also the empty key
	}
	err = pgx.BeginTxFunc(ctx, s.pool, byPrimaryKey, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.in(`
			WITH seen AS MATERIALIZED (
				SELECT key, connector, environment, outcome, reason, detail, attempts, updated_at
				FROM {schema}.tokens WHERE migration_id = $1 AND key `+compare+` $2 ORDER BY key LIMIT $3)
			SELECT key, coalesce(connector, ''), coalesce(environment, ''), outcome, coalesce(reason, ''), coalesce(detail, ''), attempts, updated_at
			FROM seen WHERE outcome <> 'imported' AND ($4 = '' OR connector = $4) AND ($5 = '' OR reason = $5)
			UNION ALL SELECT max(key), '', '', '', '', '', count(*)::integer, now() FROM seen HAVING count(*) = $3`),
			migration, after, failuresWindow, f.Connector, f.Reason)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Failure, error) {
			var x Failure
			err := row.Scan(&x.Key, &x.Connector, &x.Environment, (*string)(&x.Outcome), &x.Reason, &x.Detail, &x.Attempts, &x.UpdatedAt)
			return x, err
		})
		return err
	})
	slices.SortFunc(page, func(a, b Failure) int { // the query need not keep it
		return cmp.Or(cmp.Compare(a.Key, b.Key), -cmp.Compare(a.Outcome, b.Outcome))
	})
	if n := len(page); n > 0 && page[n-1].Outcome == "" { // the window is full
		last, page = page[n-1].Key, page[:n-1]
	}
	return page, last, err
}

// ErrNoRun: the migration has not been run yet.
var ErrNoRun = errors.New("the migration has not been run yet")

package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// TokenRecord is all that the checkpoint knows of one token.
type TokenRecord struct {
	Prior
	ImportedAt time.Time // of the last import; zero: there was none
	UpdatedAt  time.Time
	RunVersion string    // of the program that wrote it; "" where the run is not known
	RunStarted time.Time // likewise zero
}

// Standing is an intent that stands for a token: a call that carries it is under
// way, or was, and no answer is recorded.
type Standing struct {
	Call      uuid.UUID
	Run       int64
	Connector string
	StartedAt time.Time
	Over      bool // the call is certainly over; the next run settles it
}

// Token returns what is known of one key, and the intents that stand for it, the
// newest first. The record is nil where the checkpoint does not know the key,
// which may be while an intent stands.
func (s *Store) Token(ctx context.Context, migration int64, key string) (*TokenRecord, []Standing, error) {
	const op = "read a token"
	standing, err := s.standing(ctx, migration, key)
	if err != nil {
		return nil, nil, pgerr.Wrap(op, err)
	}
	priors, err := s.Priors(ctx, migration, []Asked{{Key: key}})
	if err != nil {
		return nil, nil, err
	}
	if priors[0].Outcome == "" {
		return nil, standing, nil
	}
	record := TokenRecord{Prior: priors[0]}
	var imported, started *time.Time
	err = s.pool.QueryRow(ctx, s.in(`
		SELECT t.imported_at, t.updated_at, coalesce(r.version, ''), r.started_at
		FROM {schema}.tokens t LEFT JOIN {schema}.runs r ON r.id = t.run_id
		WHERE t.migration_id = $1 AND t.key = $2`), migration, key).
		Scan(&imported, &record.UpdatedAt, &record.RunVersion, &started)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, standing, nil
	}
	if imported != nil {
		record.ImportedAt = *imported
	}
	if started != nil {
		record.RunStarted = *started
	}
	return &record, standing, pgerr.Wrap(op, err)
}

func (s *Store) standing(ctx context.Context, migration int64, key string) ([]Standing, error) {
	rows, err := s.pool.Query(ctx, s.in(`
		SELECT id, run_id, connector, started_at, settle_after <= clock_timestamp()
		FROM {schema}.calls WHERE migration_id = $1 AND $2 = ANY(keys) ORDER BY started_at DESC`), migration, key)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Standing, error) {
		var c Standing
		err := row.Scan(&c.Call, &c.Run, &c.Connector, &c.StartedAt, &c.Over)
		return c, err
	})
}

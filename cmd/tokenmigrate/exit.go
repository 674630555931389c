package main

import (
	"context"
	"errors"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate"
	"tokenmigrate/source"
)

// exitCode is the one place that knows the numbers. Where several errors apply
// the first of these wins: signal, 78, 4, 5, 6, 3.
func exitCode(err error) int {
	var usage *usageError
	var config *configError
	var src *source.ConfigError
	var nothing *nothingFound
	switch {
	case err == nil:
		return 0
	case errors.Is(err, migrate.ErrStopped), errors.Is(err, context.Canceled):
		return 75
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &src), errors.As(err, &nothing),
		errors.Is(err, migrate.ErrConfig),
		errors.Is(err, checkpoint.ErrNewerSchema), errors.Is(err, checkpoint.ErrOlderSchema), errors.Is(err, checkpoint.ErrRowSecurity), errors.Is(err, checkpoint.ErrNoTriggers), errors.Is(err, checkpoint.ErrDamaged),
		errors.Is(err, migrate.ErrUnknownKey), errors.Is(err, checkpoint.ErrNoMigration), errors.Is(err, checkpoint.ErrNoRun):
		return 78
	case errors.Is(err, migrate.ErrRefused):
		return 4
	case errors.Is(err, migrate.ErrUnavailable):
		return 5
	case errors.Is(err, migrate.ErrHeld), errors.Is(err, checkpoint.ErrLeaseLost):
		return 6
	case errors.Is(err, migrate.ErrNotImported):
		return 3
	}
	var pg *pgerr.Error
	if errors.As(err, &pg) {
		switch pg.Class {
		case pgerr.Again:
			return 5
		case pgerr.Ended:
			return 75
		}
		return 78
	}
	return 1
}

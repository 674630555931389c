package migrate

import (
	"context"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// Failures returns the first tokens of a migration that are not imported, as a
// report lists them.
func Failures(ctx context.Context, store *checkpoint.Store, migration int64) ([]report.Failure, error) {
	list := []report.Failure{}
	err := store.Failures(ctx, migration, checkpoint.Filter{Limit: report.MaxFailures}, func(f checkpoint.Failure) error {
		list = append(list, report.Failure{Key: f.Key, Connector: f.Connector, Reason: f.Reason, Detail: f.Detail})
		return nil
	})
	return list, err
}

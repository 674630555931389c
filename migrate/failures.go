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

// showSubjects fills in whose tokens the failures are. The checkpoint does not
// know: their rows are read again. What has no row any more stays without.
func (p *pass) showSubjects(ctx context.Context, failures []report.Failure) error {
	keys := make([]string, len(failures))
	for i := range failures {
		keys[i] = failures[i].Key
	}
	rows, err := p.rereads.Rows(ctx, keys)
	if err != nil {
		return err
	}
	subjects := make(map[string]string, len(rows))
	for i := range rows {
		subjects[rows[i].Key] = rows[i].Token.Subject.ID
	}
	for i := range failures {
		failures[i].Subject = subjects[failures[i].Key]
	}
	return nil
}

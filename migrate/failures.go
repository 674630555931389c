package migrate

import (
	"context"
	"errors"
	"slices"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// Failures returns tokens of a migration that are not imported, as a report lists
// them: in the order of their keys the first, and where there are more than a
// report lists also some of each of reasons, which counts rows by reason. totals are
// the migration's tokens by outcome, as far as they are known. It reads no further
// than it has to find these, and nothing where all are imported. What it found comes
// also with an error.
func Failures(ctx context.Context, store *checkpoint.Store, migration int64, totals, reasons map[string]int64) ([]report.Failure, error) {
	listed := newListing()
	left := int64(0)
	for outcome, n := range totals {
		if outcome != string(checkpoint.Imported) {
			left += n
		}
	}
	if left == 0 && len(totals) > 0 {
		return listed.failures, nil
	}
	found := errors.New("enough was found")
	err := store.Failures(ctx, migration, checkpoint.Filter{}, func(f checkpoint.Failure) error {
		took := listed.add(report.Failure{Key: f.Key, Connector: f.Connector, Reason: f.Reason, Detail: f.Detail})
		if left--; left == 0 || took && listed.enough(reasons) {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		err = nil
	}
	return listed.failures, err
}

// fewest is how many failures with one reason are listed at least, if there are
// so many.
const fewest = 20

// listing chooses the failures that a report lists.
type listing struct {
	failures []report.Failure // never nil; at most report.MaxFailures
	by       map[string]int   // how many of them, by reason
}

func newListing() *listing { return &listing{failures: []report.Failure{}, by: map[string]int{}} }

// add keeps a failure, while there is room, and reports whether it did. A rare
// reason takes the place of one that is listed often: samples of each are wanted
// most.
func (l *listing) add(f report.Failure) bool {
	if len(l.failures) == report.MaxFailures {
		often := f.Reason
		for reason, n := range l.by {
			if n > l.by[often] || n == l.by[often] && reason < often { // the same list each time
				often = reason
			}
		}
		if l.by[f.Reason] >= min(fewest, l.by[often]) {
			return false
		}
		for i := len(l.failures) - 1; i >= 0; i-- {
			if l.failures[i].Reason == often {
				l.failures = slices.Delete(l.failures, i, i+1)
				break
			}
		}
		l.by[often]--
	}
	l.failures = append(l.failures, f)
	l.by[f.Reason]++
	return true
}

// enough reports whether the list is full and has some of each reason.
func (l *listing) enough(reasons map[string]int64) bool {
	if len(l.failures) < report.MaxFailures {
		return false
	}
	for reason, n := range reasons {
		if int64(l.by[reason]) < min(fewest, n) {
			return false
		}
	}
	return true
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

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/report"
)

// judgeEnd is the verdict over a run whose walks are done, or that reached its
// limit, which leaves tokens pending on purpose.
func (p *pass) judgeEnd(limited bool) error {
	tally, _ := p.ledger.current()
	p.mu.Lock()
	var said []string
	all := true
	for at, c := range tally.Connectors {
		if words, ok := p.stopped[at.Connector]; ok {
			said = append(said, at.Connector+": "+words)
		} else if c.Imported+c.Unchanged+c.Failed+c.Unknown+c.Pending > 0 {
			all = false
		}
	}
	p.mu.Unlock()
	if all && len(said) > 0 {
		slices.Sort(said)
		return fmt.Errorf("%w every connector: %s", ErrRefused, strings.Join(slices.Compact(said), "; "))
	}
	if limited {
		return nil
	}
	err := notImported(tally.Counts(), p.o)
	if err != nil && len(said) > 0 {
		slices.Sort(said)
		err = fmt.Errorf("%w; refused by %s", err, strings.Join(slices.Compact(said), "; "))
	}
	return err
}

// notImported compares what is not imported with what the policy allows of the whole
// migration. The counts are of one shard, which has about as many rows as each of the
// others: what is wrong with that alone is too much in any case. Whether all together
// have too much is for the last of them.
func notImported(c report.Counts, o *Options) error {
	return tooMany(c, o.Policy.MaxFailed(c.Read*int64(max(o.Shards, 1))))
}

// tooMany compares what is not imported with what is allowed.
func tooMany(c report.Counts, allowed int64) error {
	bad := c.NotImported()
	if bad <= allowed {
		return nil
	}
	return fmt.Errorf("%w: %d of %d rows (%d failed, %d invalid, %d unknown, %d pending), policy.max_failed allows %d",
		ErrNotImported, bad, c.Read, c.Failed, c.Invalid, c.Unknown, c.Pending, allowed)
}

// stopError gives errors their final form: after a signal nothing but "stopped"
// is true, whatever else happened.
func stopError(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrStopped):
		return err
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return ErrStopped
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrStopped, err)
	case errors.Is(err, checkpoint.ErrLeaseLost):
		return fmt.Errorf("%w: %w", ErrHeld, err)
	case errors.Is(err, checkpoint.ErrNewerSchema):
		return fmt.Errorf("%w: %w", ErrConfig, err)
	case pgerr.ClassOf(err) == pgerr.Again && !errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

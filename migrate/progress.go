package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tokenmigrate/migrate/report"
)

// remaining is how many rows the walk has not reached; nothing once a walk is
// complete, since further walks only look for changes. Rows of the page that is
// being handed out are counted already, so they are not among the remaining.
func (p *pass) remaining() report.Remaining {
	if p.walkNo.Load() > 1 {
		return report.Remaining{}
	}
	total, estimated := p.rowsInAll()
	return report.Remaining{Rows: max(total-p.rows.Load(), 0), Estimated: estimated}
}

// again returns the walk that is under way, or was the last, if it is not the first.
func (p *pass) again() *report.Walk {
	n := p.walkNo.Load()
	if n <= 1 {
		return nil
	}
	return &report.Walk{Number: n, Open: p.ahead()}
}

// ahead is how many rows of the walk are read and will be sent, and are not yet.
func (p *pass) ahead() int64 { return max(p.ledger.waiting()-p.letGo.Load(), 0) }

// rowsInAll returns how many rows the source has: the planner's estimate at
// first, at least what was read already, and what was counted once a walk has
// read its last page.
func (p *pass) rowsInAll() (rows int64, estimated bool) {
	if p.counted.Load() {
		return p.total.Load(), false
	}
	return max(p.total.Load(), p.rows.Load()), true
}

// estimate asks for the number of rows, which is only an estimate.
func (p *pass) estimate(ctx context.Context) {
	total, err := p.src.Estimate(ctx)
	if err != nil {
		p.log.Warn().Err(err).Msg("the number of rows cannot be estimated")
		return
	}
	p.total.Store(total)
	p.log.Info().Int64("total", total).Bool("estimated", true).Msg("rows of the source")
}

// reachedEnd notes that the walk has read its last page, of which rows are not
// counted yet: the source's rows are known.
func (p *pass) reachedEnd(rows int) {
	p.total.Store(p.rows.Load() + int64(rows))
	p.counted.Store(true)
}

// progress logs where the run stands, until ctx ends.
func (p *pass) progress(ctx context.Context) {
	for sleep(ctx, progressEvery) == nil {
		if !p.o.ProgressShown {
			p.logProgress()
		}
	}
}

func (p *pass) logProgress() {
	tally, calls := p.ledger.current()
	c := tally.Counts()
	rows, estimated := p.rowsInAll()
	total := max(rows, c.Read)
	if p.o.Watch.dry() { // which sends nothing, and so waits for nothing
		p.log.Info().Int64("done", c.Read).Int64("total", total).Bool("estimated", estimated).
			Int64("pending", c.Pending).Str("waiting", p.wait.what()).Msg("progress")
		return
	}
	rpm, _ := p.pace.state()
	waiting := p.waitingFor()
	left := total - c.Read + c.Pending
	event := p.log.Info().Int64("done", c.Read-c.Pending).Int64("total", total).Bool("estimated", estimated)
	if again := p.again(); again != nil {
		left += again.Open
		event = event.Int64("changed_tokens_left", again.Open)
	}
	event.Int64("imported", c.Imported).Int64("pending", c.Pending).
		Int64("calls", calls.Made).Float64("requests_per_minute", rpm).
		Str("left", p.left(left, calls, rpm, waiting)).Str("waiting", waiting).
		Int32("walk", p.walkNo.Load()).Msg("progress")
}

// logPage tells of a page that is handed out, with the totals so far.
func (p *pass) logPage(rows int) {
	tally, calls := p.ledger.current()
	c := tally.Counts()
	total, estimated := p.rowsInAll()
	p.log.Info().Int("rows", rows).Int64("read", p.read.Load()).Int64("total", total).Bool("estimated", estimated).
		Int64("imported", c.Imported).Int64("unchanged", c.Unchanged).Int64("failed", c.Failed).Int64("invalid", c.Invalid).
		Int64("skipped", c.Skipped).Int64("unknown", c.Unknown).Int64("pending", c.Pending).
		Int64("calls", calls.Made).Int32("walk", p.walkNo.Load()).Msg("page")
}

// waitingFor returns what the run waits for, in words: a database or a lease
// before the operator's pause, a throttling, and else its own pace.
func (p *pass) waitingFor() string {
	if what := p.wait.what(); what != "" {
		return what
	}
	if _, what := p.pace.state(); what != "" {
		return what
	}
	return "pace"
}

// left estimates the time that rows rows take: at the pace, from how many tokens a
// call carried so far, and no less than the report says, which looks at the progress,
// too. Nobody knows while the run waits for anything else.
func (p *pass) left(rows int64, calls report.Calls, rpm float64, waiting string) string {
	if waiting != "pace" {
		return "not known while it waits"
	}
	perCall := float64(p.ceiling())
	if calls.Made > 0 {
		perCall = float64(calls.Tokens) / float64(calls.Made)
	}
	if rows <= 0 || perCall <= 0 || rpm <= 0 {
		return "0s"
	}
	d := time.Duration(float64(rows) / perCall / rpm * float64(time.Minute))
	d = max(d, time.Duration(p.o.Watch.Now().Report.SecondsLeft()*float64(time.Second)))
	return d.Round(time.Second).String()
}

// account fills the report from the run.
func (p *pass) account(r *report.Report, limited bool) {
	tally, calls := p.ledger.current()
	tally.Fill(r)
	r.Calls = calls
	r.Store = p.readAs()
	r.Pace = p.paceNow()
	if p.run != 0 {
		p.sample()
		r.Progress = p.samples.points()
	}
	r.Warnings = append(r.Warnings, p.refusals(&tally)...)
	r.Remaining, r.Walk = p.remaining(), p.again()
	if p.ledger.walked() {
		r.Remaining = report.Remaining{}
	}
	if limited {
		r.StoppedBy = "limit"
	}
}

// refusals tells of the connectors that take no calls any more, and why, by name.
func (p *pass) refusals(tally *report.Tally) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	pending := map[string]int64{}
	for at, c := range tally.Connectors {
		pending[at.Connector] += c.Pending
	}
	var list []string
	for _, connector := range slices.Sorted(maps.Keys(p.stopped)) {
		list = append(list, fmt.Sprintf("%sno more calls were made to it and %d of its tokens stay pending: %s",
			refuses(connector), pending[connector], strings.TrimSuffix(p.stopped[connector], ".")))
	}
	return list
}

// refuses is how a warning that a connector refuses begins.
func refuses(connector string) string { return "connector " + connector + " refuses, " }

// Refusals returns the warnings of a report that tell that a connector refused in
// its run, and why.
func Refusals(r *report.Report, connector string) []string {
	return slices.DeleteFunc(slices.Clone(r.Warnings), func(w string) bool { return !strings.HasPrefix(w, refuses(connector)) })
}

// finish gives a report its end.
func (o *Options) finish(r *report.Report, err error) *report.Report {
	now := time.Now().UTC()
	r.FinishedAt = &now
	switch {
	case errors.Is(err, ErrStopped):
		r.StoppedBy = "signal"
	case err != nil && !errors.Is(err, ErrNotImported):
		r.StoppedBy = "error"
	}
	if err != nil {
		r.Error = err.Error()
		if o.Redact != nil {
			r.Error = o.Redact(r.Error)
		}
	}
	return r
}

// What a run still does with the checkpoint when it is over is bounded: its end
// and the lease first, then what only the report wants, which walks over all
// tokens.
const (
	closing  = 10 * time.Second
	counting = time.Minute
)

// close writes the end of the run, gives the lease up and fills in what only the
// checkpoint knows. What fails here is only logged: the outcomes are recorded. It
// returns how the run ended: as err says, unless the last of several shards finds
// that all together have more tokens that are not imported than the policy allows.
// ctx is only looked at: once it has ended, that says "stopped", as all else does then.
func (p *pass) close(ctx context.Context, r *report.Report, err error) error {
	fail := func(what string, err error) {
		if err != nil {
			p.log.Warn().Err(err).Msg(what)
		}
	}
	kept := p.kept()
	kept.Remaining, kept.Walk, kept.StoppedBy, kept.Warnings, kept.Progress = r.Remaining, r.Walk, r.StoppedBy, r.Warnings, r.Progress
	counts, cerr := json.Marshal(kept)
	fail("the counts could not be written", cerr)
	gone := false
	drain := ctx
	p.within(closing, func(ctx context.Context) {
		var ferr error
		err, ferr = p.writeEnd(ctx, drain, r, counts, err)
		fail("the end of the run could not be written", ferr)
		if gone = away(ferr); gone {
			return // it is the checkpoint that stayed away, not the source: the rest would wait in vain, too
		}
		fail("the lease could not be released; it lapses by itself", p.store.Release(ctx, p.tenure.lease))
	})
	if gone {
		return err
	}
	p.within(counting, func(ctx context.Context) {
		totals, err := p.store.Totals(ctx, p.migration.ID)
		fail("the totals could not be counted; the report has none", err)
		for outcome, n := range totals {
			r.Totals[string(outcome)] = n
		}
		r.Failures, err = Failures(ctx, p.store, p.migration.ID, r.Totals, r.Reasons)
		fail("the failures could not all be read; the report may list too few", err)
		if p.o.ShowSubjects {
			fail("the failures' rows could not be read again; the report shows no subject ids", p.showSubjects(ctx, r.Failures))
		}
	})
	return err
}

// writeEnd writes how the run ended, and fills it into its report. For the last of
// several shards that is how they ended all together, if that is worse.
func (p *pass) writeEnd(ctx, drain context.Context, r *report.Report, counts []byte, err error) (ended, problem error) {
	write := func(err error) (last bool, problem error) {
		r.ExitCode = new(p.o.ExitCode(err))
		return p.store.FinishRun(ctx, p.tenure.lease, p.run, *r.ExitCode, counts, r.Error, p.o.ExitCode(nil), p.o.ExitCode(ErrNotImported))
	}
	last, problem := write(err)
	if problem != nil || !last || p.o.Shards <= 1 {
		return err, problem
	}
	r.LastShard = true
	if err != nil {
		return err, nil
	}
	whole, problem := p.whole(ctx)
	if problem != nil {
		return nil, problem
	}
	if err = tooMany(whole.Counts, p.o.Policy.MaxFailed(whole.Counts.Read)); err != nil {
		err = stopError(drain, fmt.Errorf("all %d shards together: %w", p.o.Shards, err))
		p.o.finish(r, err)
		_, problem = write(err)
	}
	return err, problem
}

// whole returns where the migration stands with all of its shards.
func (p *pass) whole(ctx context.Context) (*report.Report, error) {
	runs, err := p.store.Runs(ctx, p.migration.ID)
	if err != nil {
		return nil, err
	}
	return Status(ctx, p.store, p.migration, runs)
}

// within calls do with a context that outlives the run for at most d.
func (p *pass) within(d time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.cut), d)
	defer cancel()
	do(ctx)
}

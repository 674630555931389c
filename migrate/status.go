package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// FullReport is Status with the migration's totals and first failures, which are a
// walk over all of its tokens.
//
// Errors: checkpoint.ErrNoRun, and those of the store.
func FullReport(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration, runs []checkpoint.Run) (*report.Report, error) {
	r, err := Status(ctx, store, m, runs)
	if err != nil {
		return nil, err
	}
	totals, err := store.Totals(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for outcome, n := range totals {
		r.Totals[string(outcome)] = n
	}
	r.Failures, err = Failures(ctx, store, m.ID, r.Totals, r.Reasons)
	return r, err
}

// Status is StatusReport with the calls that are in doubt.
//
// Errors: checkpoint.ErrNoRun, and those of the store.
func Status(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration, runs []checkpoint.Run) (*report.Report, error) {
	r, err := StatusReport(m, runs)
	if err != nil {
		return nil, err
	}
	var alive []int64
	for i := range runs {
		if runs[i].Alive {
			alive = append(alive, runs[i].ID)
		}
	}
	calls, tokens, err := store.InDoubt(ctx, m.ID, alive)
	if calls > 0 {
		r.InDoubt = &report.InDoubt{Calls: calls, Tokens: tokens}
	}
	return r, err
}

// StatusReport makes a report from the newest runs of a migration, one a shard, as
// Store.Runs returns them, each with the counts that its transactions wrote: it is
// true at any time, also after a crash. Of shards that were never started it says so, and guesses their
// rows from those of the others, which are cut alike. Totals and failures stay
// empty: they are a walk over all tokens. So do calls in doubt.
//
// Errors: checkpoint.ErrNoRun.
func StatusReport(m checkpoint.Migration, runs []checkpoint.Run) (*report.Report, error) {
	if len(runs) == 0 {
		return nil, fmt.Errorf("migration %s: %w", m.Name, checkpoint.ErrNoRun)
	}
	r := report.New(m.Name, runs[0].Mode)
	r.StartedAt, r.Paused = time.Time{}, m.Paused
	var sum report.Tally
	parts := make([]report.RunCounts, len(runs))
	for i := range runs {
		if err := json.Unmarshal(runs[i].Counts, &parts[i]); err != nil {
			return nil, fmt.Errorf("run %d: its counts cannot be read: %w", runs[i].ID, err)
		}
	}
	if m.Shards > 1 {
		r.Shards = m.Shards
	}
	for i := range runs {
		run, c := &runs[i], &parts[i]
		for _, part := range c.Connectors {
			sum.At(place{Connector: part.Connector, Environment: part.Environment}).Add(part.Counts)
		}
		for code, n := range c.Reasons {
			sum.Reason(code, n)
		}
		r.Calls.Add(c.Calls)
		r.Remaining.Rows += c.Remaining.Rows
		r.Remaining.Estimated = r.Remaining.Estimated || c.Remaining.Estimated
		if r.StartedAt.IsZero() || run.StartedAt.Before(r.StartedAt) {
			r.StartedAt = run.StartedAt.UTC()
		}
		addStore(&r.Store, c.Store)
		for _, w := range c.Warnings {
			if !slices.Contains(r.Warnings, w) {
				r.Warnings = append(r.Warnings, w)
			}
		}
		// The pace is one for all shards.
		r.Pace.RequestsPerMinute = max(r.Pace.RequestsPerMinute, c.Pace.RequestsPerMinute)
		r.Pace.Current = max(r.Pace.Current, c.Pace.Current)
		if run.Alive && run.Waiting != "" && (r.Pace.Waiting == "" || r.Pace.Waiting == "pace") {
			r.Pace.Waiting = run.Waiting // the first that waits for more than its turn
		}
		r.Runs = append(r.Runs, stateOf(run, c))
	}
	r.Walk = laterWalk(runs, parts)
	addMissing(r, parts)
	sum.Fill(r)
	r.Progress = mergeProgress(r.StartedAt, runs, parts)
	end(r, runs, parts)
	return r, nil
}

// laterWalk returns the walk that all shards are in that have not ended, or if
// all have, were in; nil: the first, of one of them at least.
func laterWalk(runs []checkpoint.Run, parts []report.RunCounts) *report.Walk {
	over := !slices.ContainsFunc(runs, func(r checkpoint.Run) bool { return r.FinishedAt.IsZero() })
	var sum *report.Walk
	for i := range runs {
		w := parts[i].Walk
		switch {
		case !over && !runs[i].FinishedAt.IsZero():
			continue
		case w == nil && !over:
			return nil
		case w == nil:
			continue
		case sum == nil:
			sum = new(report.Walk)
		}
		sum.Number, sum.Open = max(sum.Number, w.Number), sum.Open+w.Open
	}
	return sum
}

// addMissing adds the shards that were never started, with as many rows as the
// others have on average.
func addMissing(r *report.Report, parts []report.RunCounts) {
	missing := r.Shards - len(r.Runs)
	if missing <= 0 {
		return
	}
	var rows, known int64
	for i := range parts {
		if n := parts[i].Read + parts[i].Remaining.Rows; n > 0 {
			rows, known = rows+n, known+1
		}
	}
	each := rows / max(known, 1)
	for shard := range r.Shards {
		if !slices.ContainsFunc(r.Runs, func(s report.RunState) bool { return s.Shard == shard }) {
			r.Runs = append(r.Runs, report.RunState{Shard: shard, State: report.Missing, Left: each})
		}
	}
	slices.SortStableFunc(r.Runs, func(a, b report.RunState) int { return cmp.Compare(a.Shard, b.Shard) })
	r.Remaining.Rows += each * int64(missing)
	r.Remaining.Estimated = true
}

// precedence is the order in which exit codes speak for several shards.
var precedence = []int{75, 78, 4, 5, 6, 1, 3, 0}

// end fills in how it ended, if all shards did: of several exit codes the first
// in precedence speaks for the migration, with the words of its shard. While one
// is at work it is not over, whatever became of the others.
func end(r *report.Report, runs []checkpoint.Run, parts []report.RunCounts) {
	is := func(state string) bool {
		return slices.ContainsFunc(r.Runs, func(s report.RunState) bool { return s.State == state })
	}
	switch {
	case is(report.Running):
		return
	case is(report.Died), is(report.Missing):
		r.StoppedBy, r.Error = "error", r.ShardTrouble()
		return
	}
	worst, speaks := len(precedence), 0
	for i := range runs {
		at := slices.Index(precedence, code(&runs[i]))
		if at < 0 { // not one of ours
			at = slices.Index(precedence, 1)
		}
		if at < worst || at == worst && parts[speaks].StoppedBy == "" {
			worst, speaks = at, i
		}
		if at := runs[i].FinishedAt.UTC(); r.FinishedAt == nil || at.After(*r.FinishedAt) {
			r.FinishedAt = &at
		}
	}
	r.ExitCode, r.StoppedBy = new(code(&runs[speaks])), parts[speaks].StoppedBy
	if r.Error = runs[speaks].LastError; r.Error != "" && len(runs) > 1 {
		r.Error = fmt.Sprintf("shard %d: %s", runs[speaks].Shard, r.Error)
	}
}

// code returns the exit code of a run that has ended.
func code(run *checkpoint.Run) int {
	if run.ExitCode == nil {
		return 1
	}
	return *run.ExitCode
}

// stateOf returns what the checkpoint tells of a run itself.
func stateOf(run *checkpoint.Run, c *report.RunCounts) report.RunState {
	s := report.RunState{
		Run: run.ID, Shard: run.Shard, Version: run.Version, State: report.Died,
		StartedAt: run.StartedAt.UTC(), HeartbeatAt: run.HeartbeatAt.UTC(), ExitCode: run.ExitCode, LastError: run.LastError,
		Done: c.Read - c.Pending, Left: c.Pending + c.Remaining.Rows,
	}
	if c.Walk != nil {
		s.Left += c.Walk.Open
	}
	switch {
	case !run.FinishedAt.IsZero():
		s.State, s.FinishedAt = report.Ended, new(run.FinishedAt.UTC())
	case run.Alive:
		s.State, s.Waiting = report.Running, run.Waiting
	}
	return s
}

// addStore adds what one shard read to what the others did.
func addStore(sum *report.Store, s report.Store) {
	sum.Name = cmp.Or(sum.Name, s.Name)
	sum.Encrypted, sum.Plain = sum.Encrypted+s.Encrypted, sum.Plain+s.Plain
	for _, w := range s.Warnings {
		if !slices.Contains(sum.Warnings, w) {
			sum.Warnings = append(sum.Warnings, w)
		}
	}
}

// mergeProgress adds up the shards' progress: at each moment at which one of them
// was sampled, each counts as it was sampled last.
func mergeProgress(start time.Time, runs []checkpoint.Run, parts []report.RunCounts) []report.ProgressPoint {
	type sample struct {
		shard int
		report.ProgressPoint
	}
	var all []sample
	for i := range runs {
		late := runs[i].StartedAt.Sub(start).Seconds()
		for _, at := range parts[i].Progress {
			at.Seconds += late
			all = append(all, sample{i, at})
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.Seconds, b.Seconds) })
	last := make([]report.ProgressPoint, len(runs))
	var line report.Timeline
	for _, at := range all {
		last[at.shard] = at.ProgressPoint
		sum := report.ProgressPoint{Seconds: at.Seconds}
		for _, l := range last {
			sum.Done, sum.Imported = sum.Done+l.Done, sum.Imported+l.Imported
			sum.Calls, sum.Throttled = sum.Calls+l.Calls, sum.Throttled+l.Throttled
		}
		line.Add(sum)
	}
	return line.Points()
}

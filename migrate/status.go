package migrate

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// StatusReport makes a report from the newest runs of a migration, one a shard.
// Totals and failures stay empty: they are a walk over all tokens.
//
// Errors: checkpoint.ErrNoRun.
func StatusReport(m checkpoint.Migration, runs []checkpoint.Run) (*report.Report, error) {
	if len(runs) == 0 {
		return nil, fmt.Errorf("migration %s: %w", m.Name, checkpoint.ErrNoRun)
	}
	r := report.New(m.Name, runs[0].Mode)
	r.StartedAt = time.Time{}
	var sum report.Tally
	for i := range runs {
		run := &runs[i]
		var c report.RunCounts
		if err := json.Unmarshal(run.Counts, &c); err != nil {
			return nil, fmt.Errorf("run %d: its counts cannot be read: %w", run.ID, err)
		}
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
		if run.LastError != "" {
			r.Error = run.LastError
		}
		if c.StoppedBy != "" && r.StoppedBy != "error" {
			r.StoppedBy = c.StoppedBy
		}
	}
	sum.Fill(r)
	end(r, runs)
	return r, nil
}

// precedence is the order in which exit codes speak for several shards.
var precedence = []int{75, 78, 4, 5, 6, 1, 3, 0}

// end fills in how it ended, if all shards did: of several exit codes the first
// in precedence speaks for the migration.
func end(r *report.Report, runs []checkpoint.Run) {
	worst := len(precedence) - 1
	for i := range runs {
		if runs[i].FinishedAt.IsZero() || runs[i].ExitCode == nil {
			if !runs[i].Alive {
				r.StoppedBy, r.Error = "error", "the worker died without a word (killed, or its machine failed); the same command goes on from here"
			}
			return
		}
		if at := slices.Index(precedence, *runs[i].ExitCode); at >= 0 {
			worst = min(worst, at)
		}
		if at := runs[i].FinishedAt.UTC(); r.FinishedAt == nil || at.After(*r.FinishedAt) {
			r.FinishedAt = &at
		}
	}
	r.ExitCode = &precedence[worst]
}

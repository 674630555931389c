package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// reportAddsUp checks a report by itself.
func reportAddsUp(r *report.Report) error {
	var places report.Counts
	for _, c := range r.Connectors {
		places.Add(c.Counts)
	}
	var reasons int64
	for _, n := range r.Reasons {
		reasons += n
	}
	c := r.Counts
	if c.Read != c.Sum() || places != c || reasons != c.Failed+c.Invalid+c.Skipped+c.Unknown {
		return fmt.Errorf("the report does not add up: counts %+v, connectors %+v, reasons %v", c, r.Connectors, r.Reasons)
	}
	for _, n := range []int64{c.Imported, c.Unchanged, c.Failed, c.Invalid, c.Skipped, c.Unknown, c.Pending} {
		if n < 0 {
			return fmt.Errorf("the report counts %+v", c)
		}
	}
	return nil
}

// carried compares the calls that the report counts with those that the endpoint
// saw, from the audit's number on, and did not turn away.
func (k *modelCheck) carried(r *report.Report, from int) error {
	var calls, tokens int64
	for _, c := range k.end.Audit().Calls[from:] {
		if len(c.Tokens) > 0 && fateOf(&c, &c.Tokens[0]) != whole {
			calls, tokens = calls+1, tokens+int64(len(c.Tokens))
		}
	}
	if r.Calls.Made < calls || r.Calls.Tokens < tokens {
		return fmt.Errorf("the report counts %d calls with %d tokens, the endpoint has seen %d with %d", r.Calls.Made, r.Calls.Tokens, calls, tokens)
	}
	if last := r.Progress; len(last) > 0 {
		if p := last[len(last)-1]; p.Done != r.Counts.Read-r.Counts.Pending || p.Imported != r.Counts.Imported || p.Calls != r.Calls.Made {
			return fmt.Errorf("the report counts %+v in %d calls, its progress ends with %+v", r.Counts, r.Calls.Made, p)
		}
	}
	return nil
}

// reportedAgain compares the report with the one that is made from the
// checkpoint, and both with the table tokens.
func (k *modelCheck) reportedAgain(ctx context.Context, r *report.Report, tokens map[string]tokenRow, standing map[string]bool, cut bool) error {
	store, err := checkpoint.Open(ctx, k.db.Config(), k.worker.schema)
	if err != nil {
		return err
	}
	defer store.Close()
	migration, err := store.Migration(ctx, k.worker.o.Migration)
	if err != nil {
		return err
	}
	runs, err := store.Runs(ctx, migration.ID)
	if err != nil {
		return err
	}
	again, err := FullReport(ctx, store, migration, runs)
	if errors.Is(err, checkpoint.ErrNoRun) && r.Pace.RequestsPerMinute == 0 {
		return nil // it was stopped before it began, and so was every run before it
	}
	if err != nil {
		return err
	}
	if cut {
		// A transaction that was given up may commit after the report was made.
		again.Totals, again.Failures = r.Totals, r.Failures
	}
	totals, missing := map[string]int64{}, 0
	for _, t := range tokens {
		if totals[t.Outcome]++; t.Outcome != string(checkpoint.Imported) {
			missing++
		}
	}
	if !cut && (!maps.Equal(again.Totals, totals) || len(again.Failures) != min(missing, report.MaxFailures)) {
		return fmt.Errorf("the report from the checkpoint has the totals %v and %d failures, the table %v and %d", again.Totals, len(again.Failures), totals, missing)
	}
	if doubt := again.InDoubt; !cut && (doubt != nil) != (len(standing) > 0) || doubt != nil && doubt.Tokens < int64(len(standing)) {
		return fmt.Errorf("the report from the checkpoint has %+v in doubt, and %d keys have intents", doubt, len(standing))
	}
	if r.Pace.RequestsPerMinute == 0 {
		return nil // it was stopped before it began
	}
	// The database has a clock of its own, and only the checkpoint knows of shards, and of
	// calls that others left behind.
	again.StartedAt, again.FinishedAt, again.Runs, again.InDoubt = r.StartedAt, r.FinishedAt, r.Runs, nil
	is, err := json.Marshal(again)
	if err != nil {
		return err
	}
	if want, err := json.Marshal(r); err != nil || string(is) != string(want) {
		return fmt.Errorf("the report from the checkpoint is\n%s\nand the run's own\n%s (%v)", is, want, err)
	}
	return nil
}

// reported compares the report with the checkpoint and the source.
func (k *modelCheck) reported(ctx context.Context, r *report.Report, ended error, tokens map[string]tokenRow, standing map[string]bool, static bool) error {
	if err := reportAddsUp(r); err != nil {
		return err
	}
	if r.StoppedBy != "" || ended != nil && !errors.Is(ended, ErrNotImported) {
		return nil // the walk is not complete
	}
	texts, err := query(ctx, k.db, pgx.RowTo[string], `SELECT counts::text FROM tokenmigrate.runs ORDER BY id DESC LIMIT 1`)
	if err != nil {
		return err
	}
	var kept report.RunCounts
	if err := json.Unmarshal([]byte(texts[0]), &kept); err != nil || kept.Counts != r.Counts {
		return fmt.Errorf("the table runs counts %+v, the report %+v (%v)", kept.Counts, r.Counts, err)
	}
	least, most := k.src.watched()
	if r.Counts.Read < int64(least) || r.Counts.Read > int64(most) {
		return fmt.Errorf("%d rows were read, the source had %d all the time and %d in all", r.Counts.Read, least, most)
	}
	if len(standing) > 0 {
		return fmt.Errorf("after a complete walk intents stand for %q", sortedKeys(standing))
	}
	if !static || r.Counts.Pending > 0 {
		return nil
	}
	var want report.Counts
	reasons := map[string]int64{}
	for _, key := range sortedKeys(k.src.snapshot()) {
		t, known := tokens[key]
		if !known {
			return violated(key, "the walk is complete, and the checkpoint does not know the row")
		}
		want.Read++
		switch checkpoint.Outcome(t.Outcome) {
		case checkpoint.Imported:
			want.Imported++
		case checkpoint.Failed:
			want.Failed++
		case checkpoint.Invalid:
			want.Invalid++
		case checkpoint.Skipped:
			want.Skipped++
		case checkpoint.Unknown:
			want.Unknown++
		}
		if t.Reason != "" {
			reasons[t.Reason]++
		}
	}
	got := r.Counts
	got.Imported, got.Unchanged = got.Imported+got.Unchanged, 0
	if got != want || fmt.Sprint(r.Reasons) != fmt.Sprint(reasons) {
		return fmt.Errorf("the report counts %+v %v, the checkpoint has %+v %v", r.Counts, r.Reasons, want, reasons)
	}
	return nil
}

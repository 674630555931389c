package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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

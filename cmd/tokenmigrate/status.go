package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := a.withConfig(&cobra.Command{
		Use:   "status -c FILE",
		Short: "Where the migration stands, from the checkpoint",
		Long:  "Reads only the checkpoint, and works while a run is under way, from any machine.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCheckpoint(cmd, needCheckpoint, func(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) error {
				runs, err := store.Runs(ctx, m.ID)
				if err != nil {
					return err
				}
				for i := range runs {
					// The lease of a worker that was killed outlives it by a moment.
					runs[i].Alive = runs[i].Alive && !holderDead(runs[i].Holder)
				}
				r, err := migrate.StatusReport(m, runs)
				if err != nil {
					return err
				}
				if asJSON {
					return r.WriteJSON(a.stdout)
				}
				return writeStatus(a.stdout, r, runs)
			})
		},
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// withCheckpoint opens the checkpoint of a migration that was run before.
func (a *app) withCheckpoint(cmd *cobra.Command, parts need, do func(context.Context, *checkpoint.Store, checkpoint.Migration) error) error {
	cfg, err := a.load(cmd, parts)
	if err != nil {
		return err
	}
	start, cancel := context.WithTimeout(cmd.Context(), connectTimeout)
	defer cancel()
	store, err := a.openCheckpoint(start, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := store.Migration(start, cfg.Migration)
	if absent(err) {
		return fmt.Errorf("migration %s: %w: nothing was run yet, or %s names another migration, checkpoint.url or checkpoint.schema", cfg.Migration, checkpoint.ErrNoMigration, cfg.File)
	}
	if err != nil {
		return err
	}
	return do(cmd.Context(), store, m)
}

// writeStatus prints the status for a person: each shard's run, then the counts.
func writeStatus(w io.Writer, r *report.Report, runs []checkpoint.Run) error {
	for _, run := range runs {
		state := "died without a word"
		switch {
		case run.Alive:
			state = "running"
		case !run.FinishedAt.IsZero() && run.ExitCode != nil:
			state = fmt.Sprintf("ended %s with exit code %d", run.FinishedAt.UTC().Format(time.RFC3339), *run.ExitCode)
		}
		if _, err := fmt.Fprintf(w, "shard %d: run %d %s, started %s, last heard of %s\n", run.Shard, run.ID, state,
			run.StartedAt.UTC().Format(time.RFC3339), run.HeartbeatAt.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
		if run.Alive && run.Waiting != "" {
			fmt.Fprintf(w, "  waiting for: %s\n", run.Waiting)
		}
		if run.LastError != "" {
			fmt.Fprintf(w, "  last error: %s\n", run.LastError)
		}
	}
	return r.WriteText(w)
}

func (a *app) failuresCommand() *cobra.Command {
	var format, reason, connector string
	cmd := a.withConfig(&cobra.Command{
		Use:   "failures -c FILE",
		Short: "Every token not imported: key, connector, reason, detail",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var write func(checkpoint.Failure) error
			flush := func() error { return nil }
			switch format {
			case "csv":
				c := csv.NewWriter(a.stdout)
				if err := c.Write([]string{"key", "connector", "environment", "outcome", "reason", "detail", "attempts", "updated_at"}); err != nil {
					return err
				}
				write = func(f checkpoint.Failure) error {
					return c.Write([]string{f.Key, f.Connector, f.Environment, string(f.Outcome), f.Reason, f.Detail, fmt.Sprint(f.Attempts), f.UpdatedAt.UTC().Format(time.RFC3339)})
				}
				flush = func() error { c.Flush(); return c.Error() }
			case "jsonl":
				enc := json.NewEncoder(a.stdout)
				enc.SetEscapeHTML(false)
				write = func(f checkpoint.Failure) error { return enc.Encode(failureLine(f)) }
			default:
				return &usageError{cmd.CommandPath(), fmt.Errorf("--format %q: use csv or jsonl", format)}
			}
			if reason != "" && !reasonCode.MatchString(reason) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--reason %q is not a reason code; %s", reason, reasonRemedy(reason))}
			}
			found := false
			err := a.withCheckpoint(cmd, needCheckpoint, func(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) error {
				return store.Failures(ctx, m.ID, checkpoint.Filter{Reason: reason, Connector: connector}, func(f checkpoint.Failure) error {
					found = true
					return write(f)
				})
			})
			if err == nil && !found && reason != "" && !slices.Contains(report.Reasons(), reason) {
				// A store may have reasons of its own, so that it is no error.
				fmt.Fprintf(a.stderr, "tokenmigrate: no token has the reason %s; %s\n", reason, reasonRemedy(reason))
			}
			return errors.Join(err, flush())
		},
	})
	cmd.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	cmd.Flags().StringVar(&reason, "reason", "", "only this reason code")
	cmd.Flags().StringVar(&connector, "connector", "", "only this connector")
	return cmd
}

var reasonCode = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reasonRemedy says what reason may have been meant.
func reasonRemedy(reason string) string {
	if near := nearest(reason, report.Reasons()); near != "" {
		return "did you mean " + near + "?"
	}
	return "known: " + strings.Join(report.Reasons(), ", ") + ", and those of the store"
}

// failureLine is one line of failures --format jsonl.
func failureLine(f checkpoint.Failure) any {
	return struct {
		Key         string    `json:"key"`
		Connector   string    `json:"connector"`
		Environment string    `json:"environment"`
		Outcome     string    `json:"outcome"`
		Reason      string    `json:"reason"`
		Detail      string    `json:"detail"`
		Attempts    int       `json:"attempts"`
		UpdatedAt   time.Time `json:"updatedAt"`
	}{f.Key, f.Connector, f.Environment, string(f.Outcome), f.Reason, f.Detail, f.Attempts, f.UpdatedAt.UTC()}
}

func (a *app) checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "checkpoint", Short: "The checkpoint's tables",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var schema string
	ddl := &cobra.Command{
		Use:   "ddl",
		Short: "Print the statements that make the checkpoint's tables, for a DBA",
		RunE: func(*cobra.Command, []string) error {
			text, err := checkpoint.DDL(schema)
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.stdout, text)
			return err
		},
	}
	ddl.Flags().StringVar(&schema, "schema", "tokenmigrate", "the schema, checkpoint.schema in the configuration")
	wrapArgs(ddl)
	cmd.AddCommand(ddl)
	return cmd
}

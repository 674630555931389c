package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

func (a *app) failuresCommand() *cobra.Command {
	var format, reason, connector string
	cmd := a.withConfig(&cobra.Command{
		Use:   "failures -c FILE",
		Short: "Every token not imported: key, connector, reason, detail",
		Long: `Prints every token of the migration that is not imported, over all runs, as CSV
with a header line or as JSON lines, in the order of their keys. It reads page by
page, so that ten million of them take no memory to speak of, also while a run is
under way.

Rows that are pending were not sent yet: they are no failures, and stderr tells how
many the newest run left, and which connectors refused.

Values stand in the CSV as they are. A key may begin with =, +, - or @, which
spreadsheets take for a formula: import such a file with all columns as text.`,
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
				out := bufio.NewWriterSize(a.stdout, 64<<10)
				enc := json.NewEncoder(out)
				flush = out.Flush
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
				err := store.Failures(ctx, m.ID, checkpoint.Filter{Reason: reason, Connector: connector}, func(f checkpoint.Failure) error {
					found = true
					return write(f)
				})
				if err == nil && reason == "" {
					err = a.tellPending(ctx, store, m, connector, found)
				}
				return err
			})
			if err == nil && !found && reason != "" && !slices.Contains(report.Reasons(), reason) {
				// A store may have reasons of its own, so that it is no error.
				fmt.Fprintf(a.stderr, "tokenmigrate: no token has the reason %s; %s\n", reason, reasonRemedy(reason))
			}
			if err != nil && !found {
				return err // without a header that promises a list
			}
			return errors.Join(err, flush())
		},
	})
	cmd.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	cmd.Flags().StringVar(&reason, "reason", "", "only this reason code")
	cmd.Flags().StringVar(&connector, "connector", "", "only this connector")
	return cmd
}

// tellPending says on stderr how many rows the newest run left pending, which have
// no outcome that could be listed, and why: of one connector, or with "" of all. Of a
// connector without failures and rows it says that, too.
func (a *app) tellPending(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration, connector string, found bool) error {
	r, err := statusReport(ctx, store, m)
	if errors.Is(err, checkpoint.ErrNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	if known := names(r.Connectors); connector != "" && !found && !slices.Contains(known, connector) {
		remedy := "known: " + strings.Join(known, ", ")
		if near := nearest(connector, known); near != "" {
			remedy = "did you mean " + near + "?"
		}
		fmt.Fprintf(a.stderr, "tokenmigrate: no row is for the connector %q; %s\n", connector, remedy)
		return nil
	}
	pending, whose := int64(0), ""
	var why []string
	seen := map[string]bool{}
	for _, c := range r.Connectors {
		if connector != "" && c.Connector != connector {
			continue
		}
		if pending += c.Pending; c.Pending > 0 && !seen[c.Connector] {
			seen[c.Connector] = true
			why = append(why, migrate.Refusals(r, c.Connector)...)
		}
	}
	if pending == 0 {
		return nil
	}
	if connector != "" {
		whose = " of connector " + strconv.Quote(connector)
	}
	fmt.Fprintf(a.stderr, "tokenmigrate: %s rows%s are pending, and not among the failures: not sent yet, or sent by calls whose answers are not recorded\n", grouped(pending), whose)
	for _, words := range why {
		fmt.Fprintln(a.stderr, "tokenmigrate:", words)
	}
	return nil
}

// names returns the names of connectors, which are sorted by them, each once.
func names(connectors []report.Connector) []string {
	var list []string
	for _, c := range connectors {
		if c.Connector != "" {
			list = append(list, c.Connector)
		}
	}
	return slices.Compact(list)
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

const reportUsage = "write the report to FILE, by its ending .html, .json or .txt; - is JSON on stdout; may be repeated"

func (a *app) reportCommand() *cobra.Command {
	var paths []string
	var from string
	var subjects bool
	cmd := a.withConfig(&cobra.Command{
		Use:   "report -c FILE | --from REPORT.json",
		Short: "The report again, from the checkpoint or from its JSON",
		Long: `Makes the report of the newest run again: at any later time, from any machine that
reaches the checkpoint, also while it runs and after a crash. It reads only the
checkpoint.

With --from it makes any face of a report from its JSON, without a configuration
or a database: of what --report FILE.json wrote, or of a log that has the JSON of
--report - among its lines (--from - reads it from stdin):

  kubectl logs job/rehearsal | tokenmigrate report --from - --report page.html

The checkpoint has no subject ids, so that --show-subjects works only with --from,
where the run or dry run was asked for them, too.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkReports(paths); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			switch {
			case from != "" && typed(cmd, "config") && !typed(cmd, "from"):
				from = "" // the environment is for what the command line leaves open
			case from != "" && typed(cmd, "config"):
				return &usageError{cmd.CommandPath(), errors.New("give -c or --from, not both")}
			case from == "" && subjects && typed(cmd, "show-subjects"):
				return &usageError{cmd.CommandPath(), errors.New("--show-subjects: the checkpoint has no subject ids; use it with run or dry-run, or explain KEY --show-subjects for one row")}
			}
			if from != "" {
				r, err := readReport(from, cmd.InOrStdin())
				if err != nil {
					return err
				}
				if !subjects {
					r.HideSubjects()
				}
				return a.writeReports(r, paths, true)
			}
			return a.withCheckpoint(cmd, needCheckpoint, func(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) error {
				r, err := a.fullReport(ctx, store, m)
				if err != nil {
					return err
				}
				return a.writeReports(r, paths, true)
			})
		},
	})
	cmd.Flags().StringArrayVar(&paths, "report", nil, reportUsage)
	cmd.Flags().StringVar(&from, "from", "", "make it from this JSON report, or log that has one; - is stdin")
	cmd.Flags().BoolVar(&subjects, "show-subjects", false, "with --from: keep the subject ids that the JSON has")
	return cmd
}

// fullReport returns the report of the newest run of each shard.
func (a *app) fullReport(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) (*report.Report, error) {
	runs, err := newestRuns(ctx, store, m)
	if err != nil {
		return nil, err
	}
	return migrate.FullReport(ctx, store, m, runs)
}

// typed reports whether a flag stands on the command line; its value may also be
// from the environment.
func typed(cmd *cobra.Command, name string) bool {
	f := cmd.Flags().Lookup(name)
	return f.Changed && f.Annotations[givenBy] == nil
}

// readReport reads a report's JSON; what is wrong with it is an error of usage.
func readReport(path string, stdin io.Reader) (*report.Report, error) {
	in := io.NopCloser(stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%w: --from: %w", migrate.ErrConfig, err)
		}
		in = f
	}
	defer in.Close()
	r, err := report.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%w: --from %s: %w", migrate.ErrConfig, path, err)
	}
	return r, nil
}

// newestRuns returns the newest run of each shard. The lease of a worker that was
// killed outlives it by a moment; on its own machine that is known at once.
func newestRuns(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) ([]checkpoint.Run, error) {
	runs, err := store.Runs(ctx, m.ID)
	for i := range runs {
		runs[i].Alive = runs[i].Alive && !holderDead(runs[i].Holder)
	}
	return runs, err
}

// checkReports finds what is wrong with --report flags before anything is done:
// the end of a run of days is a bad time to find out.
func checkReports(paths []string) error {
	var problems []error
	for _, path := range paths {
		if path == "-" {
			continue
		}
		dir := filepath.Dir(path)
		if !slices.Contains([]string{".html", ".json", ".txt"}, filepath.Ext(path)) {
			problems = append(problems, fmt.Errorf("--report %s: the ending must be .html, .json or .txt", path))
		} else if folder, err := os.Stat(dir); err != nil || !folder.IsDir() {
			problems = append(problems, fmt.Errorf("--report %s: its folder does not exist", path))
		} else if is, err := os.Stat(path); err == nil && is.IsDir() {
			problems = append(problems, fmt.Errorf("--report %s: it is a folder", path))
		} else if f, err := os.CreateTemp(dir, ".report.*"); err != nil {
			problems = append(problems, fmt.Errorf("--report %s: its folder cannot be written to", path))
		} else {
			_ = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	return errors.Join(problems...)
}

// writeReports writes the report's files, and where show says so its text to
// stdout, unless that carries the JSON already.
func (a *app) writeReports(r *report.Report, paths []string, show bool) error {
	var problems []error
	switch {
	case slices.Contains(paths, "-"):
		problems = append(problems, r.WriteJSON(a.stdout))
	case show && a.colored():
		problems = append(problems, r.WriteTerminal(a.stdout))
	case show:
		problems = append(problems, r.WriteText(a.stdout))
	}
	for _, path := range paths {
		if path != "-" {
			problems = append(problems, writeFile(path, func(w io.Writer) error { return writeAs(r, w, filepath.Ext(path)) }))
		}
	}
	return errors.Join(problems...)
}

// writeAs writes one face of a report.
func writeAs(r *report.Report, w io.Writer, ext string) error {
	switch ext {
	case ".html":
		return r.WriteHTML(w, report.HTMLOptions{})
	case ".json":
		return r.WriteJSON(w)
	}
	return r.WriteText(w)
}

// colored reports whether stdout is a terminal whose user has nothing against
// colours.
func (a *app) colored() bool {
	plain, _ := a.getenv("NO_COLOR")
	return plain == "" && terminal(a.stdout)
}

// writeFile writes a file whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write the report %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

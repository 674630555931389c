package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

// statusFlags are the flags of status.
type statusFlags struct {
	json, watch bool
	interval    time.Duration
}

func (a *app) statusCommand() *cobra.Command {
	var f statusFlags
	cmd := a.withConfig(&cobra.Command{
		Use:   "status -c FILE",
		Short: "Where the migration stands, from the checkpoint",
		Long: `Tells what is done and left, the pace, the time left, what it waits for and the
last error, for each connector and each shard. It reads only the checkpoint, and
works while a run is under way, from any machine. It exits with 0 whatever it finds.

--watch shows it anew every 2 seconds (--interval), in place on a terminal, until
Ctrl-C, and goes on while the database is away for a while. --json prints the
report of the newest run, without what is a walk over all tokens (totals and
failures; see report); with --watch as one line each time.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.interval < minInterval {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--interval %s: give at least %s", f.interval, minInterval)}
			}
			err := a.withCheckpoint(cmd, needCheckpoint, func(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) error {
				if f.watch {
					return a.watchStatus(ctx, store, m, &f)
				}
				r, err := statusReport(ctx, store, m)
				if err != nil {
					return err
				}
				if f.json {
					return r.WriteJSON(a.stdout)
				}
				return r.WriteStatus(a.stdout, report.StatusOptions{Color: a.colored(), Now: time.Now()})
			})
			if f.watch && cmd.Context().Err() != nil {
				return nil // Ctrl-C is how one stops looking
			}
			return err
		},
	})
	cmd.Flags().BoolVar(&f.json, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "show it anew until Ctrl-C")
	cmd.Flags().DurationVar(&f.interval, "interval", 2*time.Second, "how often --watch looks")
	return cmd
}

const (
	// minInterval is how often --watch may look.
	minInterval = 100 * time.Millisecond
	// lookTimeout is how long --watch waits for an answer of the database.
	lookTimeout = 5 * time.Second
	// mostLines bounds each table of a screen.
	mostLines = 12
)

// statusReport makes the report of the newest run of each shard, without what takes a
// walk over all tokens.
func statusReport(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) (*report.Report, error) {
	runs, err := newestRuns(ctx, store, m)
	if err != nil {
		return nil, err
	}
	return migrate.Status(ctx, store, m, runs)
}

// watchStatus shows the status again and again, until ctx ends. While the
// database is away the last one stays, with a line that says so.
func (a *app) watchStatus(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration, f *statusFlags) error {
	term, _ := a.getenv("TERM")
	s := &screen{w: a.stdout, inPlace: !f.json && terminal(a.stdout) && term != "dumb"}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	var last *report.Report
	var since time.Time // when the database was first found away; zero: it is there
	for {
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		r, err := statusReport(look, store, m)
		cancel()
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			last, since = r, time.Time{}
		case last == nil || pgerr.ClassOf(err) != pgerr.Again && !errors.Is(err, context.DeadlineExceeded):
			return err
		case since.IsZero():
			since = now
		}
		if err := a.showStatus(s, last, f, now, since, err); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showStatus shows one status of a watch.
func (a *app) showStatus(s *screen, r *report.Report, f *statusFlags, now, since time.Time, away error) error {
	if f.json {
		if away != nil {
			fmt.Fprintln(a.stderr, "tokenmigrate: the checkpoint database is away, trying again:", a.cfg.Redact(away.Error()))
			return nil
		}
		return json.NewEncoder(a.stdout).Encode(r)
	}
	var text bytes.Buffer
	o := report.StatusOptions{Color: a.colored(), Now: now}
	if s.inPlace {
		o.Most = mostLines
	}
	if err := r.WriteStatus(&text, o); err != nil {
		return err
	}
	at := now.UTC().Format(time.TimeOnly)
	if away == nil {
		fmt.Fprintf(&text, "\n%s UTC\n", at)
	} else {
		fmt.Fprintf(&text, "\n%s UTC: the checkpoint database is away since %s, trying again: %s\n", at, since.UTC().Format(time.TimeOnly), strings.Join(strings.Fields(a.cfg.Redact(away.Error())), " "))
	}
	return s.show(text.String())
}

// screen shows texts one after the other, or on a terminal each in the place of
// the one before. There it uses the alternate screen, which leaves what stood on
// the terminal as it was, and no line wraps.
type screen struct {
	w       io.Writer
	inPlace bool
	last    string
}

func (s *screen) open() error {
	if !s.inPlace {
		return nil
	}
	_, err := io.WriteString(s.w, "\x1b[?1049h\x1b[?7l\x1b[?25l")
	return err
}

func (s *screen) show(text string) error {
	switch {
	case s.inPlace:
		// Lines are overwritten and what was longer is cleared, so that nothing flickers.
		s.last, text = text, "\x1b[H"+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J"
	case s.last != "":
		text = "\n" + text
		fallthrough
	default:
		s.last = text
	}
	_, err := io.WriteString(s.w, text)
	return err
}

// close gives the terminal back and leaves what was shown last on it.
func (s *screen) close() {
	if s.inPlace {
		_, _ = io.WriteString(s.w, "\x1b[?25h\x1b[?7h\x1b[?1049l"+s.last)
	}
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
		return withRemedy(err, "checkpoint.url", "checkpoint.password")
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

func (a *app) checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "checkpoint", Short: "The checkpoint's tables",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var schema string
	var from int
	ddl := &cobra.Command{
		Use:   "ddl",
		Short: "Print the statements that make the checkpoint's tables, for a DBA",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := checkpoint.DDL(schema, from)
			if err != nil {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--from %d: %w", from, err)}
			}
			_, err = io.WriteString(a.stdout, text)
			return err
		},
	}
	ddl.Flags().StringVar(&schema, "schema", "tokenmigrate", "the schema, checkpoint.schema in the configuration")
	ddl.Flags().IntVar(&from, "from", 0, "only what brings tables of this version up to date; SELECT version FROM schema_version tells theirs")
	wrapArgs(ddl)
	cmd.AddCommand(ddl)
	return cmd
}

package main

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tokenmigrate/migrate"
	"tokenmigrate/source"
	"tokenmigrate/source/stores"
)

func (a *app) explainCommand() *cobra.Command {
	var asJSON, subjects bool
	cmd := a.withConfig(&cobra.Command{
		Use:   "explain KEY -c FILE",
		Short: "Everything known of one row, and what it would be sent as now, masked",
		Long: `Tells what the checkpoint has recorded of a row, what the source has of it now,
and what the next run makes of that, and why. KEY is the row's key: failures and the
JSON report have it exactly, other reports may cut it. Control characters may stand
as these print them (\n). It makes no call, writes nothing, and needs no API
credential.

Of credentials it tells only their length, and whether the row is what was imported
last. Subject ids and names are hidden unless --show-subjects asks for them. While the
source is away it tells what the checkpoint knows. A key that neither knows is an
error (78). A KEY that begins with - goes behind --.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("explain: give one thing, the row's key, as failures prints it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load(cmd, needSource|needDestination|needCheckpoint)
			if err != nil {
				return err
			}
			log, err := a.logger(cmd)
			if err != nil {
				return err
			}
			log = log.Level(max(log.GetLevel(), zerolog.WarnLevel)) // somebody reads one answer
			ctx := cmd.Context()
			start, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			store, err := a.openCheckpoint(start, cfg)
			if err != nil {
				return withRemedy(err, "checkpoint.url", "checkpoint.password")
			}
			defer store.Close()
			client, err := newClient(cfg, time.Second)
			if err != nil {
				return err
			}
			defer client.Close() // it only names the destination
			database, tables := "", ""
			src, plan, away := openSource(ctx, cfg, log)
			if src != nil {
				defer src.Close()
				database, tables = src.Info().Database, plan.Tables()
			}
			o := a.migrateOptions(cfg, &runFlags{subjects: subjects}, database, tables, client, log)
			m := migrate.New(o, src, store, nil)
			e, err := m.Explain(ctx, args[0], away)
			if key := unprinted(args[0]); errors.Is(err, migrate.ErrUnknownKey) && key != args[0] {
				if other, oerr := m.Explain(ctx, key, away); !errors.Is(oerr, migrate.ErrUnknownKey) {
					e, err = other, oerr
				}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return e.WriteJSON(a.stdout)
			}
			return e.WriteText(a.stdout, a.colored())
		},
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	cmd.Flags().BoolVar(&subjects, "show-subjects", false, "show the subject's id and names")
	return cmd
}

var escape = regexp.MustCompile(`\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[abfnrtv])`)

// unprinted returns the key that a report prints as printed, where it escapes
// control characters; printed itself where that is no text.
func unprinted(printed string) string {
	key := escape.ReplaceAllStringFunc(printed, func(e string) string {
		s, err := strconv.Unquote(`"` + e + `"`)
		if err != nil {
			return e
		}
		return s
	})
	if !utf8.ValidString(key) || strings.Contains(key, "\x00") {
		return printed
	}
	return key
}

// openSource opens the source; a nil reader comes with the reason.
func openSource(ctx context.Context, cfg *Config, log zerolog.Logger) (*source.Reader, *stores.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	from, err := readAs(ctx, cfg, log)
	if err != nil {
		return nil, nil, withRemedy(err, "source.url", "source.password")
	}
	src, err := source.Open(ctx, cfg.Source.DB, from.options)
	return src, &from.plan, withRemedy(err, "source.url", "source.password")
}

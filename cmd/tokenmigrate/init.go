package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"tokenmigrate/source/stores"
)

// sourceVariable is what a starter configuration reads the source's connection
// string from, and init itself.
const sourceVariable = "SOURCE_DATABASE_URL"

func (a *app) initCommand() *cobra.Command {
	var url string
	var limits stores.Limits
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Look at a database, recognise its store, write a starter configuration",
		Long: `Looks at the database of ` + sourceVariable + `, finds out which known stores'
tables it has, counts their tokens by provider, and writes a starter configuration
to stdout, what it found to stderr:

  tokenmigrate init > acme.yaml

It reads the catalogue, counts, and a few rows to see whether values are encrypted;
it prints no token. Where it knows no store it lists the tables that look like one,
and drafts a query for the likeliest, or, where its values are encrypted, names the
store that opens them. Of several stores or tables, --store and --table choose.`,
		// Cobra would quote the argument, which may be a URL with a password.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("init takes no arguments; the database is that of " + sourceVariable + " or --url")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := a.sourceDatabase(cmd, url)
			if err != nil {
				return err
			}
			if limits.Store != "" {
				store, err := storeNamed(limits.Store)
				if err != nil {
					return &usageError{cmd.CommandPath(), fmt.Errorf("--store: %w", err)}
				}
				limits.Store = store.Name
			}
			s, err := stores.Recognise(cmd.Context(), db, limits)
			if errors.Is(err, stores.ErrNotThere) {
				_, _ = io.WriteString(a.stderr, surveyText(s))
				return &nothingFound{"no configuration was written: " + oneLine(err.Error())}
			}
			if err != nil {
				return withRemedy(err, "the connection string", "PGPASSWORD")
			}
			return a.tellSurvey(s)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "the database, instead of "+sourceVariable+"; without a password, which may come from PGPASSWORD or a password file")
	cmd.Flags().StringVar(&limits.Store, "store", "", "where a database has several, write the configuration for this store")
	cmd.Flags().StringVar(&limits.Table, "table", "", "likewise, for this table")
	return cmd
}

// sourceDatabase returns the database that init looks at.
func (a *app) sourceDatabase(cmd *cobra.Command, url string) (*pgx.ConnConfig, error) {
	usage := func(format string, args ...any) error {
		return &usageError{cmd.CommandPath(), fmt.Errorf(format, args...)}
	}
	name, dsn, seen := "--url", url, ", which other processes can see"
	if by := cmd.Flags().Lookup("url").Annotations[givenBy]; len(by) > 0 {
		name, seen = by[0], " and stands for --url, which must hold none"
	}
	if !cmd.Flags().Changed("url") {
		name, dsn = sourceVariable, ""
		if text, ok := a.getenv(sourceVariable); ok {
			dsn = text
		}
	}
	if strings.TrimSpace(dsn) == "" {
		return nil, usage("no database: set %s to its connection string, or give --url", sourceVariable)
	}
	written := dsnSettings(dsn)
	a.cfg = &Config{}
	a.cfg.secrets.add(written["password"], written["sslpassword"])
	if name != sourceVariable && (written["password"] != "" || written["sslpassword"] != "") {
		return nil, usage("%s holds a password%s; leave it out and set PGPASSWORD, or set %s to the whole string", name, seen, sourceVariable)
	}
	cfg, why := parseDSN(dsn)
	switch {
	case cfg == nil:
		return nil, usage("%s %s", name, why)
	case lacksSSLMode(cfg, written):
		return nil, usage("%s %s", name, needsSSLMode)
	}
	a.cfg.secrets.add(cfg.Password)
	return cfg, nil
}

// nothingFound is a database without anything that looks like tokens.
type nothingFound struct{ text string }

func (e *nothingFound) Error() string { return e.text }

// tellSurvey writes the starter configuration to stdout and what was found to
// stderr.
func (a *app) tellSurvey(s *stores.Survey) error {
	if _, err := io.WriteString(a.stderr, surveyText(s)); err != nil {
		return err
	}
	if len(s.Found) == 0 && len(s.Drafts) == 0 {
		return &nothingFound{nothingText(s)}
	}
	f := &starter{survey: s}
	f.write()
	if _, err := io.WriteString(a.stdout, f.String()); err != nil {
		return err
	}
	_, err := io.WriteString(a.stderr, f.nextSteps())
	return err
}

// nothingText says why there is no configuration to write.
func nothingText(s *stores.Survey) string {
	where := fmt.Sprintf("database %s, as role %s", oneLine(s.Database), oneLine(s.User))
	switch {
	case len(s.Answers) > 0:
		return "no configuration was written: nothing in " + where + " keeps tokens"
	case s.Tables == 0:
		return "no configuration was written: " + where + ", has no tables. Is it the right database?"
	}
	return fmt.Sprintf("no configuration was written: of the %s in %s, none looks like a store of tokens. Is it the right database? If it is, write a query of your own: the README tells its columns",
		plural(int64(s.Tables), "table"), where)
}

var migrationUnfit = regexp.MustCompile(`[^a-z0-9]+`)

// migrationFor makes a migration's name of a database's.
func migrationFor(database string) string {
	name := migrationUnfit.ReplaceAllString(strings.ToLower(database), "-")
	if name = strings.Trim(name[:min(len(name), 63)], "-"); name == "" {
		return "tokens"
	}
	return name
}

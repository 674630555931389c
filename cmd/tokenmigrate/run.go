package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
	"tokenmigrate/source/stores"
)

// runFlags are the flags of run and dry-run.
type runFlags struct {
	reports      []string
	limit        int64
	retryFailed  bool
	acceptChange bool
	subjects     bool
	listen       string
	shardText    string // as given
	shard        shard
}

func (f *runFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.reports, "report", nil, reportUsage)
	cmd.Flags().BoolVar(&f.subjects, "show-subjects", false, "let the report's failures show the subject ids, of rows that are still there")
	cmd.Flags().Int64Var(&f.limit, "limit", 0, "a canary: stop after so many tokens are sent, or in a dry run would be; counts for each shard")
	cmd.Flags().BoolVar(&f.retryFailed, "retry-failed", false, "send refused and rejected tokens again")
	cmd.Flags().StringVar(&f.listen, "listen", "", "serve the live report at /, /metrics, /healthz and /readyz on HOST:PORT or :PORT; read-only, without credentials")
	cmd.Flags().StringVar(&f.shardText, "shard", "", "work on part I of N of the keys, counted from 0, such as 0/4; each part needs a worker (default: JOB_COMPLETION_INDEX of TOKENMIGRATE_SHARDS, else all)")
	cmd.Flags().BoolVar(&f.acceptChange, "accept-config-change", false, "go on with a checkpoint that was made with another configuration: the same tokens are meant, and those that now belong elsewhere are sent there")
}

// check finds what is wrong with the flags before anything is done.
func (f *runFlags) check(cmd *cobra.Command, getenv func(string) (string, bool)) error {
	var problems []error
	var err error
	if f.shard, err = shardOf(f.shardText, getenv); err != nil {
		problems = append(problems, err)
	}
	if f.limit < 1 && cmd.Flags().Changed("limit") {
		problems = append(problems, fmt.Errorf("--limit %d: it must be at least 1; leave it out for no limit", f.limit))
	}
	problems = append(problems, checkReports(f.reports))
	if err := errors.Join(problems...); err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	return nil
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := a.withConfig(&cobra.Command{
		Use:   "run -c FILE",
		Short: "Migrate; run it again to resume",
		Long: `Reads every row, sends what has to be sent, and records the outcome of each token.
Run it again after anything: it goes on where it was, and a second run over a
finished migration makes no call. After a worker that was killed it waits for its
lease, at most 30 seconds.

The first SIGINT or SIGTERM drains: calls in flight finish and are recorded, for
at most send.timeout and 5 seconds, then it exits with 75. A second one does not
wait, and leaves their tokens in doubt.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.migrate(cmd, &f, needAll, func(m *migrate.Migrator) (*report.Report, error) {
				return m.Run(cmd.Context(), a.cut)
			})
		},
	})
	f.add(cmd)
	return cmd
}

func (a *app) dryRunCommand() *cobra.Command {
	var f runFlags
	cmd := a.withConfig(&cobra.Command{
		Use:   "dry-run -c FILE",
		Short: "Read, map and validate everything; call and write nothing",
		Long: `Judges every row as run would, against the checkpoint as it stands, and reports
what would be sent, what would not and why, and how many calls and how much time
that takes. It needs no credential and no more than SELECT.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.migrate(cmd, &f, needSource|needDestination|needCheckpoint, func(m *migrate.Migrator) (*report.Report, error) {
				return m.DryRun(cmd.Context())
			})
		},
	})
	f.add(cmd)
	return cmd
}

const (
	// connectTimeout is how long the checkpoint's database may take to answer at the
	// start. Connecting to the source has limits of its own.
	connectTimeout = 10 * time.Second
	// lookLimit is how long looking may take then: a large catalogue, or a lock on
	// the source's table, takes longer than connecting.
	lookLimit = time.Minute
)

// migrate opens what a run or a dry run works with, and ends with its report.
func (a *app) migrate(cmd *cobra.Command, f *runFlags, parts need, do func(*migrate.Migrator) (*report.Report, error)) error {
	ctx := cmd.Context()
	if err := f.check(cmd, a.getenv); err != nil {
		return err
	}
	cfg, err := a.load(cmd, parts)
	if err != nil {
		return err
	}
	log, err := a.logger(cmd)
	if err != nil {
		return err
	}
	if a.logsJSON() {
		a.log = &log
	}
	for _, w := range cfg.Warnings {
		log.Warn().Msg(w.String())
	}
	watch := new(migrate.Watch)
	unlisten, err := a.listen(cmd, f, cfg, watch, log)
	if err != nil {
		return err
	}
	defer unlisten()
	removeBar := func() {}
	if a.barShown() {
		removeBar = a.showBar(watch)
	}
	defer removeBar()
	calls := parts&needCredential != 0
	client, err := newClient(cfg, cfg.Send.Timeout)
	if err != nil {
		return err
	}
	defer client.Close()

	start, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	from, err := readAs(start, cfg, log)
	if err != nil {
		return withRemedy(err, "source.url", "source.password")
	}
	from.options.Shard, from.options.Shards = f.shard.n, f.shard.of
	for _, w := range from.plan.Warnings {
		log.Warn().Str("store", cfg.Source.Store).Msg(w)
	}
	src, err := source.Open(start, cfg.Source.DB, from.options)
	if err != nil {
		return withRemedy(err, "source.url", "source.password")
	}
	defer src.Close()
	store, err := a.openCheckpoint(ctx, cfg)
	if err != nil {
		return withRemedy(err, "checkpoint.url", "checkpoint.password")
	}
	defer store.Close()

	o := a.migrateOptions(cfg, f, src.Info().Database, from.plan.Tables(), client, log)
	o.Store = report.Store{Name: cfg.Source.Store, Warnings: from.plan.Warnings}
	o.Watch, o.ProgressShown = watch, a.barShown()
	o.Stalled = func(err error) { a.endStalled(ctx, err) }
	if !calls {
		client = nil
	}
	r, err := do(migrate.New(o, src, store, client))
	a.ended = r
	removeBar()
	r = a.wholeReport(ctx, store, r, log)
	if werr := a.writeReports(r, f.reports, r.Counts.Read > 0 || r.StoppedBy != "error"); werr != nil {
		if err == nil {
			return werr
		}
		log.Error().Err(werr).Msg("the report could not be written")
	}
	return err
}

// wholeReport returns the report of all shards where r is of the last of several to
// finish, else r.
func (a *app) wholeReport(ctx context.Context, store *checkpoint.Store, r *report.Report, log zerolog.Logger) *report.Report {
	if !r.LastShard {
		return r
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var whole *report.Report
	m, err := store.Migration(ctx, r.Migration)
	if err == nil {
		whole, err = a.fullReport(ctx, store, m)
	}
	if err != nil {
		log.Warn().Err(err).Msg("the report of all shards could not be made; this is that of the last one, `report` makes it again")
		return r
	}
	log.Info().Int("shards", m.Shards).Msg("the last shard has finished; this is the report of all of them")
	return whole
}

// newClient returns a client of the configured endpoint.
func newClient(cfg *Config, timeout time.Duration) (*connect.Client, error) {
	client, err := connect.New(connect.Options{
		URL: cfg.Destination.URL, Credential: cfg.Credential, TeamID: cfg.Destination.TeamID, Slug: cfg.Destination.Slug,
		Timeout: timeout, UserAgent: "tokenmigrate/" + programVersion(),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: destination: %w", migrate.ErrConfig, err)
	}
	return client, nil
}

// openCheckpoint connects to the checkpoint. One that cannot be reached within
// connectTimeout is an error of class pgerr.Again.
func (a *app) openCheckpoint(ctx context.Context, cfg *Config) (*checkpoint.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	store, err := checkpoint.Open(ctx, cfg.Checkpoint.DB, cfg.Checkpoint.Schema)
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w: the checkpoint database does not answer within %s: %w", migrate.ErrUnavailable, connectTimeout, err)
	}
	return store, err
}

// reading is how the source is read.
type reading struct {
	options source.Options
	plan    stores.Plan // the zero Plan for a query of the user's own
}

// readAs returns how the source is read: by its store's preset, which looks at
// the database, or by the configuration's query. Errors as of
// stores.Store.Prepare.
func readAs(ctx context.Context, cfg *Config, log zerolog.Logger) (*reading, error) {
	missing := cfg.Source.MissingExpiry
	r := &reading{options: source.Options{
		Query:         cfg.Source.Query,
		Where:         cfg.Source.Where,
		Routes:        source.Routes{Connector: cfg.Destination.Connector, ByProvider: cfg.Destination.Connectors},
		Environment:   cfg.Destination.Environment,
		MissingExpiry: source.MissingExpiry{Default: missing.Default, ByProvider: missing.ByProvider},
		PageSize:      pageSize(cfg),
		Log:           log,
	}}
	store, ok := stores.ByName(cfg.Source.Store)
	if !ok {
		return r, nil
	}
	plan, err := store.Prepare(ctx, cfg.Source.DB, cfg.Source.Params, cfg.Source.Decrypt)
	if err != nil {
		return nil, err
	}
	r.plan = *plan
	r.options.Query, r.options.Open, r.options.Skips = plan.Query, plan.Open, store.Skips
	r.options.LostKeys = cfg.Policy.MaxFailed != MaxFailed{}
	if !missing.Given {
		r.options.MissingExpiry = store.MissingExpiry
	}
	log.Info().Str("store", store.Name).Str("found", plan.Match.Variant).Msg("reading")
	return r, nil
}

// pageSize keeps pages so small that their rows are sent before they are old: a
// page takes at most half of the time for which a row counts as young.
func pageSize(cfg *Config) int {
	sent := cfg.Send.RequestsPerMinute * cfg.Send.ChunkTokens / 4
	return min(cfg.Source.PageSize, max(sent, 100))
}

// crashStep is set in binaries that are built for the crash tests.
var crashStep func(name string, tokens int)

func (a *app) migrateOptions(cfg *Config, f *runFlags, database, tables string, client *connect.Client, log zerolog.Logger) migrate.Options {
	target, hashed := targetOf(cfg, database, tables, client)
	return migrate.Options{
		Migration: cfg.Migration, Target: target, Hashed: hashed,
		Destination: client.Destination(),
		Version:     programVersion(),
		Holder:      holder(), Dead: holderDead,
		AcceptConfigChange: f.acceptChange, RetryFailed: f.retryFailed, Limit: f.limit, ShowSubjects: f.subjects,
		Shard: f.shard.n, Shards: f.shard.of,
		RequestsPerMinute: float64(cfg.Send.RequestsPerMinute),
		ChunkTokens:       cfg.Send.ChunkTokens, ChunkBytes: cfg.Send.ChunkBytes,
		Concurrency: cfg.Send.Concurrency, CallTimeout: cfg.Send.Timeout,
		MaxAttempts: cfg.Send.MaxAttempts, OutageWait: cfg.Send.OutageWait,
		Policy:     policyOf(cfg),
		Step:       crashStep,
		StallAfter: stallAfter,
		Credential: cfg.Credential, CredentialChanges: cfg.Destination.TokenFile != "",
		Redact: cfg.Redact, ExitCode: exitCode,
		Log: log,
	}
}

// policyOf returns what is decided by policy.
func policyOf(cfg *Config) migrate.Policy {
	return migrate.Policy{
		SendExpired:       cfg.Policy.Expired == "send",
		SkipChanged:       cfg.Policy.Changed == "skip",
		InDoubt:           migrate.InDoubt(cfg.Policy.InDoubt),
		SendDuplicates:    cfg.Policy.Duplicates == "send",
		Passes:            cfg.Policy.Passes,
		MaxFailed:         cfg.Policy.MaxFailed.Of,
		StopAfterFailures: float64(cfg.Policy.StopAfterFailures) / float64(100*percent),
	}
}

// targetOf returns what the migration is between: in clear, and what is kept as
// hashes. database is the source's, as its server calls it; tables are those that
// hold the store's tokens, "" where the configuration has a query.
func targetOf(cfg *Config, database, tables string, client *connect.Client) (target, hashed map[string]string) {
	target = map[string]string{
		"destination": client.Destination(),
		"source":      fmt.Sprintf("%s database %s", cfg.Source.DB.Host, database),
		"store":       cfg.Source.Store,
		"connectors":  connectorsText(cfg),
		"environment": cfg.Destination.Environment,
		"cipher":      cipherName(cfg),
	}
	if tables != "" {
		target[migrate.TargetTables] = tables
	}
	return target, map[string]string{"query": cfg.Source.Query, "where": cfg.Source.Where, "params": pairs(cfg.Source.Params)}
}

// cipherName tells by what values are opened: the store's cipher, if keys for it
// are given.
func cipherName(cfg *Config) string {
	if len(cfg.Source.Decrypt) == 0 {
		return ""
	}
	return cfg.Source.Store
}

func connectorsText(cfg *Config) string {
	if cfg.Destination.Connector != "" {
		return cfg.Destination.Connector
	}
	return pairs(cfg.Destination.Connectors)
}

// pairs writes a map as "a=b, c=d", sorted.
func pairs(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, ", ")
}

// absent tells that an error only says that nothing was run yet.
func absent(err error) bool {
	return errors.Is(err, checkpoint.ErrNoMigration) || errors.Is(err, checkpoint.ErrNoSchema) || pgerr.CodeOf(err) == "3F000"
}

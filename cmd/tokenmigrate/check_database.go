package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/checkpoint/pgserver"
	"tokenmigrate/migrate"
)

const (
	staleAfter     = 30 * time.Second // a standby further behind gives tokens that were replaced since
	fewConnections = 10               // a worker takes one of the source and up to four of the checkpoint
	oldestTested   = 12               // the oldest major version whose behaviour is known to do
)

// server looks at one of the two databases. It returns nil where that cannot be
// had. writes: it has to take writes.
func (c *checkup) server(ctx context.Context, section string, cfg *pgx.ConnConfig, writes bool) *pgserver.Server {
	s, err := pgserver.Look(ctx, cfg)
	if err != nil {
		c.failure("reachable", section, err)
		return nil
	}
	c.ok("reachable", "%s answers: database %s, role %s", s.Host, s.Database, s.User)
	if s.Number < oldestTested*10000 {
		c.warn("version", fmt.Sprintf("try a dry run first, or use Postgres %d or newer", oldestTested), "Postgres %s is older than what tokenmigrate is tested with", s.Version)
	} else {
		c.ok("version", "Postgres %s", s.Version)
	}
	c.tls(section, s)
	c.standby(s, writes)
	switch s.Pooler {
	case pgserver.NoPooler:
		c.ok("pooler", "no pooler in between")
	case pgserver.Transaction:
		c.ok("pooler", "a pooler such as PgBouncer in between, in transaction mode, which works")
	default:
		c.ok("pooler", "a pooler such as PgBouncer in between, in session mode as far as can be seen; transaction mode works too, and takes fewer connections")
	}
	if s.FreeConnections < fewConnections {
		c.warn("connections", fmt.Sprintf("raise max_connections, or close idle clients: a worker takes up to 5 connections; keep %d free", fewConnections),
			"only %d of the server's %d connections are free", s.FreeConnections, s.MaxConnections)
	} else {
		c.ok("connections", "%d of the server's %d connections are free", s.FreeConnections, s.MaxConnections)
	}
	return s
}

func (c *checkup) tls(section string, s *pgserver.Server) {
	switch {
	case s.TLS != "" && s.Verified:
		c.ok("tls", "%s, the server's certificate is verified", s.TLS)
	case s.TLS != "":
		c.ok("tls", "%s; the server's certificate is not verified (sslmode=verify-full does that)", s.TLS)
	case s.Local:
		c.ok("tls", "no TLS, and none is needed: the connection does not leave this machine")
	default:
		c.warn("tls", "set sslmode=verify-full (or require) in "+section+".url, unless the network is trusted", "the connection is not encrypted, and leaves this machine")
	}
}

// standby tells of a server that takes no writes. The source needs none.
func (c *checkup) standby(s *pgserver.Server, writes bool) {
	switch {
	case writes && s.Standby:
		c.fail("writable", "point checkpoint.url at the primary", "the server is a hot standby and takes no writes")
	case writes && s.ReadOnly:
		c.fail("writable", "ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off, or use another role", "transactions are read-only")
	case writes:
		c.ok("writable", "a primary that takes writes")
	case s.Standby && s.Lag < 0:
		c.warn("standby", "see pg_stat_replication on the primary, or read from there", "a hot standby that does not tell how far it is behind: tokens that were replaced meanwhile would be sent as they were")
	case s.Standby && s.Lag > staleAfter:
		c.warn("standby", "wait until it has caught up, or read from the primary", "a hot standby, %s behind: tokens that were replaced meanwhile would be sent as they were", s.Lag.Round(time.Second))
	case s.Standby:
		c.ok("standby", "a hot standby, %s behind; that will do", s.Lag.Round(time.Second))
	case s.ReadOnly:
		c.ok("standby", "a primary; transactions are read-only, which will do")
	default:
		c.ok("standby", "a primary")
	}
}

// checkpoint looks at the checkpoint's database and at what is in it.
func (c *checkup) checkpoint(ctx context.Context) {
	c.group = groupCheckpoint
	cfg := c.cfg.Checkpoint.DB
	if cfg == nil || c.broken("checkpoint.url", "checkpoint.password") {
		c.leftOut("it needs checkpoint.url")
		return
	}
	if c.server(ctx, "checkpoint", cfg, true) == nil || c.broken("checkpoint.schema") {
		return
	}
	start, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	store, err := c.a.openCheckpoint(start, c.cfg)
	if err != nil {
		c.failure("tables", "checkpoint", err)
		return
	}
	defer store.Close()
	state := store.Ready(start)
	if !c.tables(state) {
		return
	}
	c.privileges(start, store, state)
	if state == nil {
		c.migration(start, store)
	}
}

// tables tells in what state the checkpoint's tables are, and reports whether
// there is more to look at.
func (c *checkup) tables(state error) bool {
	schema := c.cfg.Checkpoint.Schema
	switch {
	case state == nil:
		c.ok("tables", "the tables in schema %s are of this program's version", schema)
	case errors.Is(state, checkpoint.ErrNoSchema):
		c.ok("tables", "there are no tables in schema %s yet; the first run makes them", schema)
	case errors.Is(state, checkpoint.ErrOlderSchema):
		c.warn("tables", "`tokenmigrate run` upgrades them; until then dry-run refuses", "%v", state)
	case errors.Is(state, checkpoint.ErrNewerSchema), errors.Is(state, checkpoint.ErrRowSecurity), errors.Is(state, checkpoint.ErrNoTriggers):
		text, remedy := splitRemedy(state.Error())
		c.fail("tables", remedy, "%s", text)
		return false
	case pgerr.CodeOf(state) != "42501": // of which privileges tells
		c.failure("tables", "checkpoint", state)
		return false
	}
	return true
}

func (c *checkup) privileges(ctx context.Context, store *checkpoint.Store, state error) {
	missing, err := store.MissingPrivileges(ctx, state)
	if err != nil {
		c.failure("privileges", "checkpoint", err)
		return
	}
	for _, sentence := range missing {
		text, remedy := splitRemedy(sentence)
		c.fail("privileges", remedy, "%s", text)
	}
	switch {
	case len(missing) > 0:
	case state != nil && pgerr.CodeOf(state) == "42501":
		c.failure("privileges", "checkpoint", state)
	case errors.Is(state, checkpoint.ErrNoSchema):
		c.ok("privileges", "the role may make the tables")
	default:
		c.ok("privileges", "the role may read and write the tables as a run does")
	}
}

// migration looks at what the checkpoint knows of this migration.
func (c *checkup) migration(ctx context.Context, store *checkpoint.Store) {
	m, err := store.Migration(ctx, c.cfg.Migration)
	if errors.Is(err, checkpoint.ErrNoMigration) {
		c.ok("migration", "migration %s was not run yet", c.cfg.Migration)
		return
	}
	if err != nil {
		c.failure("migration", "checkpoint", err)
		return
	}
	c.target(ctx, store, m)
	if m.Paused {
		c.warn("paused", "`tokenmigrate resume -c "+c.cfg.File+"`", "migration %s is paused by an operator: a run would make no call", m.Name)
	}
	c.workers(ctx, store, m)
	c.pace(ctx, store, m)
}

// target compares what the checkpoint was made for with the configuration.
func (c *checkup) target(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) {
	if c.client == nil || c.database == "" || c.broken("source", "destination.connector", "destination.connectors", "destination.environment") {
		return
	}
	tables := c.stored
	if tables == "" && c.cfg.Source.Store != "" { // not found; of which reading tells
		tables = m.Target[migrate.TargetTables]
	}
	target, hashed := targetOf(c.cfg, c.database, tables, c.client)
	err := migrate.CheckTarget(ctx, migrate.Options{Migration: m.Name, Target: target, Hashed: hashed}, store, m)
	if err == nil {
		c.ok("target", "migration %s was run before, and a run may go on with what it keeps", m.Name)
		return
	}
	if !errors.Is(err, migrate.ErrConfig) {
		c.failure("target", "checkpoint", err)
		return
	}
	text, remedy := splitRemedy(strings.TrimPrefix(err.Error(), migrate.ErrConfig.Error()+": "))
	c.fail("target", remedy, "%s", text)
}

// workers tells of workers that are at work already.
func (c *checkup) workers(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) {
	runs, err := store.Runs(ctx, m.ID)
	if err != nil {
		c.failure("worker", "checkpoint", err)
		return
	}
	alive := false
	for _, run := range runs {
		if !run.Alive || holderDead(run.Holder) {
			continue
		}
		alive = true
		c.warn("worker", "see `tokenmigrate status`; a second run would wait for it, at most 2 minutes, and end with 6",
			"%s is at work on shard %d, since %s", checkpoint.HolderName(run.Holder), run.Shard, run.StartedAt.UTC().Format(time.RFC3339))
	}
	if !alive {
		c.ok("worker", "no worker is at work on it")
	}
}

// pace tells of what operators and other workers ask of a run.
func (c *checkup) pace(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) {
	if c.client == nil {
		return
	}
	host, team := migrate.Budget(c.client.Destination())
	s, err := store.Steering(ctx, m.ID, host, team, c.client.Destination())
	switch {
	case err != nil:
		c.failure("pace", "checkpoint", err)
	case s.PausedFor > 0:
		c.warn("pace", "wait; a run does so by itself", "the endpoint asked all workers to wait, for %s more", s.PausedFor.Round(time.Second))
	case s.RequestsPerMinute > 0:
		c.ok("pace", "%v calls a minute, set by `tokenmigrate pace`", s.RequestsPerMinute)
	}
}
